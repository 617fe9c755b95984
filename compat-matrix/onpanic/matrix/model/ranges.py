"""The versions of a line in which an answer holds, derived from the versions that were measured.

Between two measured versions with the same answer, the answer is assumed to be the same.  Before the
first and after the last one, nothing is assumed.  If there are unmeasured releases between two
different answers, the answer changed "at or before" the later one.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from onpanic.matrix.model.matrix import Build, Profile, Range, Statement
from onpanic.matrix.model.versions import follows, order_of, series_of

__all__ = ("DEFAULT", "derive", "overlaps")

#: `Range.machine` of the default machine type.
DEFAULT = "default"

# A measurement: the version and the answer
_Point = tuple[str, str]


def derive(
    builds: Sequence[Build], profiles: Sequence[Profile], statements: Sequence[Statement]
) -> list[Range]:
    """Return the ranges of every fact, by emulator, line, and alias of the machine type.

    Machine types are followed by their aliases, which mean the newest one of a family, and by being the
    default one (`DEFAULT`).  No other name exists in all versions.
    """
    points: dict[tuple[str, str, str, str], list[_Point]] = {}
    for build in builds:
        for name, index in build.facts.items():
            key = (name, build.emulator, build.line, "")
            points.setdefault(key, []).append((build.version, statements[index].answer))
        for machine in build.machines:
            for alias in [*machine.aliases, *([DEFAULT] if machine.default else [])]:
                for name, index in profiles[machine.profile].facts.items():
                    key = (name, build.emulator, build.line, alias)
                    points.setdefault(key, []).append((build.version, statements[index].answer))
    return [found for key, measured in points.items() for found in _ranges(key, measured)]


def overlaps(ranges: Iterable[Range]) -> Iterator[tuple[Range, Range]]:
    """Yield ranges of the same fact and line that share a version, although their answers differ."""
    key = lambda r: (r.fact, r.emulator, r.line, r.machine)  # noqa: E731
    for _, same in groupby(ranges, key):
        chain = list(same)
        for before, after in zip(chain, chain[1:], strict=False):
            if order_of(after.first) <= order_of(before.last):
                yield before, after


def _ranges(key: tuple[str, str, str, str], measured: Iterable[_Point]) -> Iterator[Range]:
    """Yield the ranges of one fact: runs of measured versions with the same answer."""
    known = sorted({p for p in measured if p[1] != "unknown"}, key=lambda p: (order_of(p[0]), p[0], p[1]))
    runs = [list(run) for _, run in groupby(known, key=lambda p: p[1])]
    fact, emulator, line, machine = key
    for index, run in enumerate(runs):
        before = runs[index - 1][-1][0] if index else None
        after = runs[index + 1][0][0] if index + 1 < len(runs) else None
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
    """Return a range in words.

    :param before: The last measured version before the range, which has another answer.
    :param after: The first measured version after the range, which has another answer.
    """
    ends = after is not None and follows(last, after)
    start, end = _named(first, before), _named(last, after)
    one_series = series_of(first) == series_of(last)
    if before is None and after is None and answer == "no":
        return f"never in {end}" if one_series else f"never from {start} to {end}"
    if one_series and before is None and after is not None:
        return f"{end}, maybe before" if ends else f"{end}, maybe before and after"
    if one_series and before is not None and follows(before, first) and ends:
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
    """Return a version's release, or the version itself if the answer changed within the release."""
    series = series_of(version)
    return version if other is not None and series_of(other) == series else series
