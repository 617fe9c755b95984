"""Show what changed on a fleet's hosts from one collection of their records to the next.

OLD and NEW are each a folder, a file, or - for standard input.  A host is recognized by its identifier, or
else by its name.  Changes that guests can see come first, then changes of policies, libvirt, machine types,
emulators and KVM, and facts that are no longer known.

Exit status: 0 if nothing changed; 1 if something did; 2 if a collection cannot be read or has no record of a
host.  A new operating system or kernel is shown, but does not count as a change.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from onpanic.cli.exit_status import FOUND, OK
from onpanic.cli.fleet.fleet_lines import host_names, hosts_text, note_lines, plural, uncounted_lines
from onpanic.cli.fleet.fleet_sources import fleet_of
from onpanic.cli.output import print_json
from onpanic.cli.terminal import style_for
from onpanic.core.errors import UsageError
from onpanic.core.untrusted import printable
from onpanic.fleet.documents.fleet import Fleet, Uncounted
from onpanic.probe.record.screen import Style

if TYPE_CHECKING:
    from onpanic.fleet.drift.drift_changes import DriftChange
    from onpanic.fleet.drift.fleet_drift import FleetDrift

_COLOURS = {
    "guest-visible-change": "no",
    "policy-lost": "no",
    "behaviour-lost": "no",
    "evidence-lost": "unknown",
}
_DETAIL = 300  # characters


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("old", metavar="OLD", help="the older records of hosts")
    parser.add_argument("new", metavar="NEW", help="the newer records of hosts")
    parser.add_argument("--all", action="store_true", help="name all hosts, machine types and documents")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="json: one document")
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="print nothing, only return the exit status"
    )
    parser.set_defaults(expected=None, max_age=None)


def run(arguments: argparse.Namespace) -> int:
    """Compare, print the changes, and return the exit status."""
    from onpanic.fleet.drift.drift_of import drift_of  # needs lxml

    if arguments.old == arguments.new == "-":
        raise UsageError("standard input is named twice", "it can be read once")
    old, new = (fleet_of([source], arguments) for source in (arguments.old, arguments.new))
    found = drift_of(old, new)
    if arguments.format == "json" and not arguments.quiet:
        print_json(found.to_json())
    elif not arguments.quiet:
        for line in _lines(found, old, new, everything=arguments.all):
            print(line)
    return FOUND if found.drifted else OK


def _lines(found: "FleetDrift", old: Fleet, new: Fleet, *, everything: bool) -> Iterator[str]:
    style = style_for(sys.stdout)
    for word, fleet in (("old", old), ("new", new)):
        yield f"{word}: {hosts_text(fleet)}"
        yield from (f"     {line}" for line in uncounted_lines(fleet.uncounted, style, everything=everything))
        yield from (f"     {line}" for line in note_lines(fleet.notes, style, everything=everything))
    for group in found.changed:
        names = host_names(group.hosts, everything=everything)
        yield style.paint(f"{plural(len(group.hosts), 'host')}: {names}", "title")
        heads = (_head(change, style, everything=everything) for change in group.changes)
        for head, changes in groupby(zip(heads, group.changes, strict=True), key=lambda one: one[0]):
            yield f"  {head}"
            yield from (f"      {_words(change)}" for _, change in changes)
    yield from _hosts(found, everything=everything)
    if found.not_newer:
        names = host_names(found.not_newer, everything=everything)
        count = plural(len(found.not_newer), "host")
        yield style.paint(f"{count} whose record in NEW is not newer than in OLD: {names}", "unknown")
    for one in found.system:
        before, after = printable(one.old, 100) or "unknown", printable(one.new, 100) or "unknown"
        yield style.paint(f"{plural(one.hosts, 'host')}: {one.what} was {before}, now {after}", "dim")
    if found.reworded:
        names = host_names(found.reworded, everything=everything)
        yield style.paint(
            f"{plural(len(found.reworded), 'host')} whose record differs in wording only: {names}", "dim"
        )
    if not found.drifted:
        yield f"no change on {plural(found.same + len(found.reworded), 'host')}"
    else:
        yield f"{plural(found.same, 'host')} unchanged"


def _head(change: "DriftChange", style: Style, *, everything: bool) -> str:
    """Return the kind of a change, and what it is about."""
    about = [printable(change.about, 100)] if change.about else []
    about += [f"the {change.notifier} notifier"] if change.notifier else []
    about += [", ".join(change.policies)] if change.policies else []
    about += [host_names(change.machines, everything=everything)] if change.machines else []
    kind = style.paint(change.kind, _COLOURS[change.kind]) if change.kind in _COLOURS else change.kind
    return f"{kind}{': ' * bool(about)}{'; '.join(about)}"


def _words(change: "DriftChange") -> str:
    code = f"{change.code}: " if change.code else ""
    return f"{code}{printable(change.detail, _DETAIL)}"


def _hosts(found: "FleetDrift", *, everything: bool) -> Iterator[str]:
    """Yield the lines about hosts that only one collection has, or that have another name or identifier."""
    renamed = [f"{one.old} is {one.new}" for one in found.renamed]
    for words, names in (
        ("gone", found.gone),
        ("no longer counted", _reasons(found.no_longer_counted)),
        ("new", found.added),
        ("counted again", _reasons(found.counted_again)),
        ("renamed", renamed),
        ("reinstalled", found.reinstalled),
    ):
        if names:
            yield f"{plural(len(names), 'host')} {words}: {host_names(names, everything=everything)}"


def _reasons(hosts: Sequence[Uncounted]) -> list[str]:
    return [f"{one.name} ({one.why}: {printable(one.detail, 60)})" for one in hosts]
