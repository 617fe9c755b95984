"""The matrix as ``MATRIX.md``: what GitHub and a pager show, one table an architecture."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from .model import Build, Matrix, Range
from .ranges import DEFAULT
from .summary import FALLBACK, cells

__all__ = ("markdown",)

_HEAD = """\
# What QEMU does when its guest panics

Made from the {records} records in `records/` by `onpanic matrix build`; not written by hand.
`index.html` beside this file has every machine type, with the lines of QMP that each answer was read from.

**y** yes, **n** no, **?** not known, **-** nothing to ask: no such machine type here, or it does not
start.  Facts of machine types are about the default one, or `virt` where there is no default; a number
points to a note on other machine types.  "At or before" a version: no release just before it was measured.

| fact | question |
|---|---|
"""


def markdown(matrix: Matrix) -> str:
    """Return the page."""
    lines = [_HEAD.format(records=len(matrix.builds))]
    lines += [f"| `{fact.name}` | {_escaped(fact.asks)} |\n" for fact in matrix.facts]
    for target, group in groupby(matrix.builds, key=lambda build: build.target):
        builds = list(group)
        lines.append(f"\n## {_escaped(target) or 'target not told'}\n")
        lines += _ranges(matrix, builds)
        lines += _table(matrix, builds)
    return "".join(lines)


def _ranges(matrix: Matrix, builds: Sequence[Build]) -> Iterator[str]:
    """Yield the ranges of the first emulator of an architecture, a row a fact and a column a line."""
    emulator = builds[0].emulator
    lines = sorted({build.line for build in builds if build.emulator == emulator})
    found: dict[tuple[str, str], list[Range]] = {}
    ranges = [one for one in matrix.ranges if one.emulator == emulator]
    machine = DEFAULT if any(one.machine == DEFAULT for one in ranges) else FALLBACK
    for one in ranges:
        if one.machine in ("", machine):
            found.setdefault((one.fact, one.line), []).append(one)
    yield f"\n| `{emulator}` | {' | '.join(lines)} |\n|---|{'---|' * len(lines)}\n"
    for fact in matrix.facts:
        told = [found.get((fact.name, line), []) for line in lines]
        if any(told):
            words = ["; ".join(f"{one.answer}: {one.text}" for one in ranges) or "?" for ranges in told]
            yield f"| {fact.name} | {' | '.join(words)} |\n"


def _table(matrix: Matrix, builds: Sequence[Build]) -> Iterator[str]:
    """Yield builds down and facts across, and the notes below."""
    notes: dict[str, int] = {}
    yield "\n| build | " + " | ".join(fact.name for fact in matrix.facts) + " |\n"
    yield "|---|" + ":-:|" * len(matrix.facts) + "\n"
    for build in builds:
        said = []
        for one in cells(matrix, build):
            mark = f" {notes.setdefault(one.note, len(notes) + 1)}" if one.note else ""
            said.append(one.letter + mark)
        package = f" ({_escaped(build.package)})" if build.package else ""
        yield f"| `{build.emulator}` {_escaped(build.version)}{package} | {' | '.join(said)} |\n"
    if notes:
        yield "\n" + "".join(f"{number}. {_escaped(note)}\n" for note, number in notes.items())


def _escaped(text: str) -> str:
    """Emulators have a say in it: leave out what a table or HTML would obey."""
    for mark, name in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("`", "'"), ("\n", " ")):
        text = text.replace(mark, name)
    return text
