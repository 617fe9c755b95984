"""Explain a code that onpanic has printed, or list them all."""

import argparse

from onpanic.cli import print_json
from onpanic.probe import OnpanicError
from onpanic.probe.catalogue import CATALOGUE, Entry

HELP = "what a code means, and what to do about it"

_TITLES = {
    "refusal": "Refusals",
    "help": "Help that an accepted policy needs",
    "note": "Notes on a translated domain",
    "finding": "Findings of a check",
    "fact": "Facts",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("code", nargs="?", metavar="CODE", help="for example cont-refused-after-panic")
    parser.add_argument("--format", choices=("text", "json"), default="text")


def run(arguments: argparse.Namespace) -> int:
    """Print one entry, or the whole catalogue."""
    if arguments.code and arguments.code not in CATALOGUE:
        raise OnpanicError(f"no such code: {arguments.code}", "onpanic explain lists them all")
    entries = [CATALOGUE[arguments.code]] if arguments.code else list(CATALOGUE.values())
    if arguments.format == "json":
        import msgspec

        for entry in entries:
            print_json(msgspec.json.encode(entry))
        return 0
    if arguments.code:
        entry = entries[0]
        print(f"{entry.code} ({_kind(entry)})\n  {entry.reason}\n  {_lead(entry.kind)} {entry.remedy}")
        return 0
    width = max(len(entry.code) for entry in entries)
    for kind, title in _TITLES.items():
        print(f"{title}:")
        for entry in entries:
            if entry.kind == kind:
                print(f"  {entry.code:{width}} {entry.reason}")
    return 0


def _kind(entry: Entry) -> str:
    """Say what kind of code it is; for a finding of a check, how bad, too."""
    from onpanic.check.tags import TAGS

    tag = TAGS.get(entry.code)
    finding = f"finding, {tag.severity}" if tag else ""
    return finding if entry.kind == "finding" else "; ".join(filter(None, (entry.kind, finding)))


def _lead(kind: str) -> str:
    return "Known from:" if kind == "fact" else "What to do:"
