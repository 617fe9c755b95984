"""The matrix as ``MATRIX.md``, for GitHub and a pager: one table for each architecture."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from onpanic.matrix.model.matrix import Build, Matrix, Range
from onpanic.matrix.model.ranges import DEFAULT
from onpanic.matrix.outputs.cells import FALLBACK, cells

__all__ = ("markdown",)

_HEAD = """\
# What QEMU does when its guest panics

Built from the {records} records in `records/` by `onpanic matrix build`; do not edit.
`index.html` beside this file shows every machine type, and the QMP conversation behind each answer.

**y** yes, **n** no, **?** unknown, **-** not applicable: the build has no such machine type, or it does
not start.  Facts about machine types are about the default one, or `virt` if there is no default; a number
refers to a note about other machine types.  "At or before" a version: the release before it was not measured.

| fact | question |
|---|---|
"""

# What a Markdown table or HTML would interpret
_ESCAPES = (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("`", "'"), ("\n", " "))


def markdown(matrix: Matrix) -> str:
    """Return the text of the file."""
    lines = [_HEAD.format(records=len(matrix.builds))]
    lines += [f"| `{fact.name}` | {_escaped(fact.asks)} |\n" for fact in matrix.facts]
    for target, group in groupby(matrix.builds, key=lambda build: build.target):
        builds = list(group)
        lines.append(f"\n## {_escaped(target) or 'unknown target'}\n")
        lines += _ranges(matrix, builds)
        lines += _table(matrix, builds)
    return "".join(lines)


def _ranges(matrix: Matrix, builds: Sequence[Build]) -> Iterator[str]:
    """Yield the ranges of an architecture's first emulator, with a row per fact and a column per line."""
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
        columns = [found.get((fact.name, line), []) for line in lines]
        if any(columns):
            words = ["; ".join(f"{one.answer}: {one.text}" for one in ranges) or "?" for ranges in columns]
            yield f"| {fact.name} | {' | '.join(words)} |\n"


def _table(matrix: Matrix, builds: Sequence[Build]) -> Iterator[str]:
    """Yield a table with a row per build and a column per fact, and its notes."""
    notes: dict[str, int] = {}
    yield "\n| build | " + " | ".join(fact.name for fact in matrix.facts) + " |\n"
    yield "|---|" + ":-:|" * len(matrix.facts) + "\n"
    for build in builds:
        columns = []
        for one in cells(matrix, build):
            mark = f" {notes.setdefault(one.note, len(notes) + 1)}" if one.note else ""
            columns.append(one.letter + mark)
        package = f" ({_escaped(build.package)})" if build.package else ""
        yield f"| `{build.emulator}` {_escaped(build.version)}{package} | {' | '.join(columns)} |\n"
    if notes:
        yield "\n" + "".join(f"{number}. {_escaped(note)}\n" for note, number in notes.items())


def _escaped(text: str) -> str:
    """Return a text, which may come from an emulator, as plain text for Markdown."""
    for character, escape in _ESCAPES:
        text = text.replace(character, escape)
    return text
