"""What every answer about a fleet shows: over how many hosts it holds, what was left out, and notes."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from onpanic.core.untrusted import printable
from onpanic.fleet.documents.fleet import Fleet, FleetNote, Uncounted
from onpanic.probe.record.screen import Style

__all__ = ("host_names", "hosts_text", "note_lines", "plural", "uncounted_lines")

_SHOWN = 4
_KINDS = 6
_DETAIL = 100  # characters

_WHY = {
    "unreadable": "unreadable",
    "foreign": "not a host's record",
    "schema-version": "of another schema version",
    "no-answer": "did not answer",
    "superseded": "superseded",
}


def hosts_text(fleet: Fleet) -> str:
    """Return over how many hosts an answer holds, as ``1,000 hosts, 3 not counted``."""
    missing = fleet.missing_count
    return plural(fleet.host_count, "host") + (f", {missing:,} not counted" if missing else "")


def plural(count: int, noun: str) -> str:
    """Return a number with its noun, such as ``1,000 hosts``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def host_names(names: Sequence[str], *, everything: bool = False, shown: int = _SHOWN) -> str:
    """Return names in one line: the first of them, and how many more there are.

    :param everything: All of them.
    :param shown: How many; one more is shown rather than counted.
    """
    first = names if everything or len(names) <= shown + 1 else names[:shown]
    more = len(names) - len(first)
    return ", ".join(printable(name, 100) for name in first) + (f" and {more:,} more" if more else "")


def uncounted_lines(uncounted: Iterable[Uncounted], style: Style, *, everything: bool = False) -> list[str]:
    """Return a line for each reason for which documents or hosts are not counted.

    :param everything: A line for each of them instead, with what is wrong with it.
    """
    kinds: dict[str, list[Uncounted]] = defaultdict(list)
    for one in uncounted:
        kinds[one.why].append(one)
    lines = []
    for why in (why for why in _WHY if why in kinds):
        found = kinds[why]
        head = style.paint(f"{len(found):,} {_WHY[why]}", "dim" if why == "superseded" else "unknown")
        if everything:
            lines += [f"{head}:", *(f"  {_in_full(one)}" for one in found)]
        else:
            first = f"{_called(found[0])} ({printable(found[0].detail, _DETAIL)})"
            rest = [_called(one) for one in found[1:]]
            lines.append(f"{head}: {first}" + (f", {host_names(rest, shown=2)}" if rest else ""))
    return lines


def note_lines(notes: Iterable[FleetNote], style: Style, *, everything: bool = False) -> list[str]:
    """Return a line for each kind of note.

    :param everything: With the names of all hosts.
    """
    kinds: dict[tuple[str, str], list[str]] = defaultdict(list)
    for note in notes:
        kinds[note.code, note.reason] += note.hosts
    lines = []
    shown = list(kinds.items())
    if not everything and len(shown) > _KINDS + 1:
        shown = shown[:_KINDS]
    for (_, reason), hosts in shown:
        head = style.paint(f"{plural(len(hosts), 'host')}: {printable(reason, 300)}", "unknown")
        lines.append(f"{head}: {host_names(hosts, everything=everything)}")
    if len(shown) < len(kinds):
        lines.append(f"and {plural(len(kinds) - len(shown), 'more note')}; --all shows them")
    return lines


def _called(one: Uncounted) -> str:
    """Return what a document or a host is called: by its name, if it says it."""
    return printable(one.name or one.source, 100)


def _in_full(one: Uncounted) -> str:
    """Return what is known about a document: its host's name, where it is, and what is wrong."""
    where = f"{one.name} ({one.source})" if one.name and one.source else one.name or one.source
    return f"{printable(where)}: {printable(one.detail, 300)}"
