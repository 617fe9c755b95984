"""In which versions of a line an answer holds: derived from what was measured, never typed.

A range says no more than its ends: between two measured versions with one answer the
answer is taken to be the same, beyond them nothing is said.  Where releases lie unmeasured
between two answers, it changed "at or before" the later one.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from .identity import follows, order_of, series_of
from .model import Build, Profile, Range, Statement

__all__ = ("DEFAULT", "derive", "overlaps")

DEFAULT = "default"
"""What `Range.machine` is for the machine type that is started if none is named."""

# What is measured: the version and the answer
_Point = tuple[str, str]


def derive(
    builds: Sequence[Build], profiles: Sequence[Profile], statements: Sequence[Statement]
) -> list[Range]:
    """Return the ranges of every fact, by emulator, line, and alias of the machine type.

    Facts of machine types are told by their aliases, which stand for the newest of a family, and
    for the default one (`DEFAULT`): no other name lives through all versions.
    """
    points: dict[tuple[str, str, str, str], list[_Point]] = {}
    for build in builds:
        for name, place in build.facts.items():
            key = (name, build.emulator, build.line, "")
            points.setdefault(key, []).append((build.version, statements[place].answer))
        for machine in build.machines:
            for alias in [*machine.aliases, *([DEFAULT] if machine.default else [])]:
                for name, place in profiles[machine.profile].facts.items():
                    key = (name, build.emulator, build.line, alias)
                    points.setdefault(key, []).append((build.version, statements[place].answer))
    return [found for key, measured in points.items() for found in _ranges(key, measured)]


def overlaps(ranges: Iterable[Range]) -> Iterator[tuple[Range, Range]]:
    """Yield ranges of one fact and line that share a version, although their answers differ."""
    key = lambda r: (r.fact, r.emulator, r.line, r.machine)  # noqa: E731
    for _, same in groupby(ranges, key):
        chain = list(same)
        for before, after in zip(chain, chain[1:], strict=False):
            if order_of(after.first) <= order_of(before.last):
                yield before, after


def _ranges(key: tuple[str, str, str, str], measured: Iterable[_Point]) -> Iterator[Range]:
    known = sorted({p for p in measured if p[1] != "unknown"}, key=lambda p: (order_of(p[0]), p[0], p[1]))
    runs = [list(run) for _, run in groupby(known, key=lambda p: p[1])]
    fact, emulator, line, machine = key
    for place, run in enumerate(runs):
        before = runs[place - 1][-1][0] if place else None
        after = runs[place + 1][0][0] if place + 1 < len(runs) else None
        answer = run[0][1]
        first, last = run[0][0], run[-1][0]
        yield Range(
            fact=fact,
            emulator=emulator,
            line=line,
            answer="yes" if answer == "yes" else "no",
            first=first,
            last=last,
            text=_text(answer, first, last, before, after),
            machine=machine,
            exact=before is not None and follows(before, first),
        )


def _text(answer: str, first: str, last: str, before: str | None, after: str | None) -> str:
    """Say a range in words.

    :param before: The last version before it that was measured, with another answer.
    :param after: The first one behind it.
    """
    ends = after is not None and follows(last, after)
    start, end = _named(first, before), _named(last, after)
    alone = series_of(first) == series_of(last)
    if before is None and after is None and answer == "no":
        return f"never in {end}" if alone else f"never from {start} to {end}"
    if alone and before is None and after is not None:
        return f"{end}, maybe before" if ends else f"{end}, maybe before and after"
    if alone and before is not None and follows(before, first) and ends:
        return f"{start} only" if start == end else f"since {start}, until {end}"
    if before is None:
        begin = f"at or before {start}"
    elif follows(before, first):
        begin = f"since {start}"
    else:
        begin = f"after {_named(before, first)}, at or before {start}"
    if after is None:
        return begin
    return f"{begin}, until {end}" if ends else f"{begin}, until {end} or later"


def _named(version: str, other: str | None) -> str:
    """Return a version's release, or the version itself where the answer changed within the release."""
    series = series_of(version)
    return version if other is not None and series_of(other) == series else series
