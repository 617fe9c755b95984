"""Explain a code that onpanic has printed, or list all codes."""

from onpanic.cli.codes import CODES
from onpanic.cli.output import print_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from onpanic.probe.decision.catalogue import Explanation

#: The title of each kind of code, in the order of the list.
TITLES = {
    "refusal": "Refusals",
    "help": "What else an accepted policy needs",
    "note": "Notes on a translated domain",
    "finding": "Findings of a check",
    "fact": "Facts",
}


def configure(parser: "argparse.ArgumentParser") -> None:
    """Add the options."""
    parser.add_argument("code", nargs="?", metavar="CODE", help="for example cont-refused-after-panic")
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="form of the output (default: text)"
    )


def run(arguments: "argparse.Namespace") -> int:
    """Print one entry, or the whole catalogue.

    :raise UsageError: When there is no such code.
    """
    code = arguments.code
    if arguments.format == "text":
        return _print_text(code)
    import msgspec

    from onpanic.probe.decision.catalogue import CATALOGUE

    for entry in CATALOGUE.values() if code is None else [_in_catalogue(code)]:
        print_json(msgspec.json.encode(entry))
    return 0


def run_plain(argv: "Sequence[str]") -> int | None:
    """Do the same for ``explain`` and ``explain CODE``, without a parser."""
    if len(argv) > 1 or any(argument.startswith("-") for argument in argv):
        return None
    return _print_text(argv[0] if argv else None)


def _print_text(code: str | None) -> int:
    if code is None:
        _print_list()
        return 0
    if code in CODES:
        kind, reason, remedy, severity = CODES[code]
    else:  # one that `make docs` has not written yet
        entry = _in_catalogue(code)
        kind, reason, remedy, severity = entry.kind, entry.reason, entry.remedy, ""
    finding = f"finding, {severity}" if severity else ""
    kinds = finding if kind == "finding" else "; ".join(filter(None, (kind, finding)))
    print(f"{code} ({kinds})\n  {reason}\n  {'Known from:' if kind == 'fact' else 'What to do:'} {remedy}")
    return 0


def _print_list() -> None:
    width = max(map(len, CODES))
    for kind, title in TITLES.items():
        print(f"{title}:")
        for code, entry in CODES.items():
            if entry[0] == kind:
                print(f"  {code:{width}} {entry[1]}")


def _in_catalogue(code: str) -> "Explanation":
    from onpanic.core.errors import UsageError
    from onpanic.probe.decision.catalogue import CATALOGUE

    if code not in CATALOGUE:
        raise UsageError(f"no such code: {code}", "onpanic explain lists them all")
    return CATALOGUE[code]
