"""The versions of a line in which an answer holds, derived from the versions that were measured.

Between two measured versions with the same answer, the answer is assumed to be the same.  Before the
first and after the last one, nothing is assumed.  If there are unmeasured releases between two
different answers, the answer changed "at or before" the later one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple, cast

from onpanic.matrix.model.matrix import (
    DECIDED,
    POLICY,
    Build,
    MatrixNotifier,
    Profile,
    Range,
    RangeAnswer,
    RangeNotifier,
    Statement,
)
from onpanic.matrix.model.versions import follows, order_of, series_of

__all__ = ("DEFAULT", "derive", "overlaps")

#: `Range.machine` of the default machine type.
DEFAULT = "default"

_ATTACHABLE = "pvpanic-attachable"
_INCONCLUSIVE = "probe-inconclusive"  # the refusal of a value because a fact is unknown

# A measurement: the version and the answer
_Point = tuple[str, str]


class _Key(NamedTuple):
    """What a range is about, in the order in which ranges are sorted."""

    fact: str
    emulator: str
    machine: str
    notifier: str
    line: str


def derive(
    builds: Sequence[Build],
    profiles: Sequence[Profile],
    notifiers: Sequence[MatrixNotifier],
    statements: Sequence[Statement],
) -> list[Range]:
    """Return the ranges of every fact and ``<on_panic>`` value, sorted.

    They are by emulator, line, alias of the machine type and notifier.  Machine types are followed by
    their aliases, which mean the newest one of a family, and by being the default one (`DEFAULT`).  No
    other name exists in all versions.  Of a notifier about which no question is ever answered with yes,
    only the range of `pvpanic-attachable` is returned.
    """
    points: dict[_Key, list[_Point]] = {}

    def add(about: Build, machine: str, notifier: str, answers: Mapping[str, str]) -> None:
        for name, answer in answers.items():
            key = _Key(name, about.emulator, machine, notifier, about.line)
            points.setdefault(key, []).append((about.version, answer))

    of_profile = [_answers(one, statements) for one in profiles]
    of_notifier = [_answers(one, statements) for one in notifiers]
    for build in builds:
        add(build, "", "", {name: statements[index].answer for name, index in build.facts.items()})
        for machine in build.machines:
            for alias in [*machine.aliases, *([DEFAULT] if machine.default else [])]:
                add(build, alias, "", of_profile[machine.profile])
                for index in profiles[machine.profile].notifiers:
                    add(build, alias, notifiers[index].model, of_notifier[index])
    absent = _absent(points)
    return [
        found
        for key in sorted(points)
        if key.fact == _ATTACHABLE or key[1:] not in absent
        for found in _ranges(key, points[key])
    ]


def _answers(one: Profile | MatrixNotifier, statements: Sequence[Statement]) -> dict[str, str]:
    """Return the answers about a machine type or a notifier, by fact and by `POLICY` and value."""
    answers: dict[str, str] = {name: statements[index].answer for name, index in one.facts.items()}
    for value in DECIDED:
        if value in one.accepted:
            answers[POLICY + value] = "yes"
        elif value in one.refused:
            answers[POLICY + value] = "unknown" if one.refused[value] == _INCONCLUSIVE else "no"
    return answers


def overlaps(ranges: Iterable[Range]) -> Iterator[tuple[Range, Range]]:
    """Yield ranges of the same fact and line that share a version, although their answers differ."""
    key = lambda r: (r.fact, r.emulator, r.machine, r.notifier, r.line)  # noqa: E731
    for _, same in groupby(ranges, key):
        chain = list(same)
        for before, after in zip(chain, chain[1:], strict=False):
            if order_of(after.first) <= order_of(before.last):
                yield before, after


def _absent(points: Mapping[_Key, Sequence[_Point]]) -> set[tuple[str, ...]]:
    """Return the keys, without the fact, of notifiers about which no question has the answer yes."""
    answers: dict[tuple[str, ...], set[str]] = {}
    for key, measured in points.items():
        if key.notifier:
            answers.setdefault(key[1:], set()).update(answer for _, answer in measured)
    return {key for key, found in answers.items() if "yes" not in found}


def _ranges(key: _Key, measured: Iterable[_Point]) -> Iterator[Range]:
    """Yield the ranges of one fact: runs of measured versions with the same answer."""
    known = sorted({p for p in measured if p[1] != "unknown"}, key=lambda p: (order_of(p[0]), p[0], p[1]))
    runs = [list(run) for _, run in groupby(known, key=lambda p: p[1])]
    for index, run in enumerate(runs):
        before = runs[index - 1][-1][0] if index else None
        after = runs[index + 1][0][0] if index + 1 < len(runs) else None
        answer, first, last = run[0][1], run[0][0], run[-1][0]
        yield Range(
            fact=key.fact,
            emulator=key.emulator,
            line=key.line,
            answer=cast("RangeAnswer", answer),
            first=first,
            last=last,
            text=_text(answer, first, last, before, after),
            machine=key.machine,
            notifier=cast("RangeNotifier", key.notifier),
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
