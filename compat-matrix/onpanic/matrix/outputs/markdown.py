"""The matrix as ``MATRIX.md``, for GitHub and a pager: accepted values first, then facts."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from onpanic.core.untrusted import printable
from onpanic.matrix.libvirts.libvirt_table import libvirt_table
from onpanic.matrix.model.matrix import DECIDED, POLICY, Build, Matrix, Range
from onpanic.matrix.model.ranges import DEFAULT
from onpanic.matrix.outputs.cells import FALLBACK, NOTIFIER, VALUES, Cell, cells, columns, machine_of

__all__ = ("markdown",)

_HEAD = """\
# What QEMU does when its guest panics

Built from the {records} records in `records/` by `onpanic matrix build`; do not edit.
`index.html` beside this file shows every machine type, and the QMP conversation behind each answer.

**y** yes, **n** no, **?** unknown, **-** not applicable: the build has no such machine type, or it does
not start; **y+** accepted, also with `coredump='yes'`.

## Which `<on_panic>` values are accepted

Each row is about builds with the same answers, and about machine types that exist in several versions:
aliases such as `pc`, and the default one.  The notifier is the best one that works.  "Machine types": on how
many machine types of the newest build `restart` is accepted.
"""

_FACTS_HEAD = """
## Facts

Facts about machine types are about the default one, or `virt` if there is no default; a number refers to a
note about other machine types.  "At or before" a version: the release before it was not measured.

| fact | question |
|---|---|
"""

_LIBVIRTS_HEAD = """
## What libvirt does

Built from the {records} records in `libvirts/`.  Accepted: **y** yes, **n** known and refused, **not known**
refused as a word that does not exist.  What a panic ends in: libvirt's state, **reset** if the guest was
reset, QEMU's run state where the two differ, and the format of the core dump.  On Xen, **new domain** is one
with another ID, and **crashed domain kept** means that the domain that crashed is still there.  `index.html`
shows the events, and what libvirt was asked.
"""

# What a Markdown table or HTML would interpret
_ESCAPES = (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("`", "'"))


def markdown(matrix: Matrix) -> str:
    """Return the text of the file."""
    lines = [_HEAD.format(records=len(matrix.builds))]
    lines += _values(matrix)
    lines += _libvirts(matrix)
    lines.append(_FACTS_HEAD)
    lines += [f"| `{fact.name}` | {_escaped(fact.asks)} |\n" for fact in matrix.facts]
    for target, group in groupby(matrix.builds, key=lambda build: build.target):
        builds = list(group)
        lines.append(f"\n### {_escaped(target) or 'unknown target'}\n")
        lines += _ranges(matrix, builds)
        lines += _notifiers(matrix, builds)
        lines += _facts(matrix, builds)
    return "".join(lines)


def _values(matrix: Matrix) -> Iterator[str]:
    """Yield the table of accepted values: a row for builds and machine types with the same answers."""
    of = [NOTIFIER, *(POLICY + value for value in VALUES)]
    yield "\n| emulator | builds | machine type | notifier | " + " | ".join(VALUES) + " | machine types |\n"
    yield "|---|---|---|---|" + ":-:|" * len(VALUES) + "---|\n"
    ordered = sorted(matrix.builds, key=lambda one: (one.target, one.emulator, one.line))  # a stable sort
    for (emulator, line), group in groupby(ordered, key=lambda one: (one.emulator, one.line)):
        same_line = list(group)
        rows: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
        members = {build.id: build for build in same_line}
        for family in _families(same_line):
            having = [
                (one, cells(matrix, one, family, of=of)) for one in same_line if machine_of(one, family)
            ]
            for texts, run in groupby(having, key=lambda pair: tuple(cell.text for cell in pair[1])):
                rows.setdefault((tuple(build.id for build, _ in run), texts), []).append(family)
        for (ids, texts), families in rows.items():
            if set(texts) != {"-"}:
                run_builds = [members[one] for one in ids]
                names = ", ".join(f"`{_escaped(family)}`" for family in families)
                what = [f"`{_escaped(emulator)}`", _escaped(f"{line} {_versions(run_builds)}"), names, *texts]
                yield f"| {' | '.join(what)} | {_count(matrix, run_builds[-1])} |\n"


def _libvirts(matrix: Matrix) -> Iterator[str]:
    """Yield the tables of libvirts: one for each group of questions, with a column for each that answers."""
    if not matrix.libvirts:
        return
    yield _LIBVIRTS_HEAD.format(records=len(matrix.libvirts))
    for table in libvirt_table(matrix.libvirts).groups():
        names = [_escaped(f"{column.name}, {column.about}") for column in table.columns]
        group = _escaped(table.rows[0].group)
        yield f"\n| {group} | {' | '.join(names)} |\n|---|{'---|' * len(names)}\n"
        for row in table.rows:
            yield f"| {_escaped(row.name)} | {' | '.join(_escaped(cell.text) for cell in row.cells)} |\n"


def _families(builds: Sequence[Build]) -> list[str]:
    """Return the machine types that are followed across versions: aliases, and the default one."""
    names: dict[str, None] = {}
    for build in builds:
        for machine in build.machines:
            named = [machine.name] if machine.default or machine.name == FALLBACK else []
            names |= dict.fromkeys(machine.aliases or named)
    return list(names)


def _versions(builds: Sequence[Build]) -> str:
    first, last = builds[0].version, builds[-1].version
    return first if len(builds) == 1 else f"{first} to {last} ({len(builds)} builds)"


def _count(matrix: Matrix, build: Build) -> str:
    """Return on how many machine types of a build a value is accepted that needs a notifier."""
    profiles = [matrix.profiles[machine.profile] for machine in build.machines if machine.name != "none"]
    started = [profile for profile in profiles if profile.started]
    return f"{sum(DECIDED[0] in profile.accepted for profile in started)} of {len(started)}"


def _ranges(matrix: Matrix, builds: Sequence[Build]) -> Iterator[str]:
    """Yield the ranges of an architecture's first emulator, with a row per fact and a column per line."""
    emulator = builds[0].emulator
    lines = sorted({build.line for build in builds if build.emulator == emulator})
    found: dict[tuple[str, str], list[Range]] = {}
    ranges = [one for one in matrix.ranges if one.emulator == emulator and not one.notifier]
    machine = DEFAULT if any(one.machine == DEFAULT for one in ranges) else FALLBACK
    for one in ranges:
        if one.machine in ("", machine):
            found.setdefault((one.fact, one.line), []).append(one)
    yield f"\n| `{_escaped(emulator)}` | {' | '.join(map(_escaped, lines))} |\n|---|{'---|' * len(lines)}\n"

    def words_of(fact: str) -> tuple[str, ...]:
        return tuple(_words(found.get((fact, line), [])) for line in lines)

    values: dict[tuple[str, ...], list[str]] = {}
    for value in DECIDED:
        values.setdefault(words_of(POLICY + value), []).append(value)
    rows = [(", ".join(alike), words) for words, alike in values.items()]
    rows += [(fact.name, words_of(fact.name)) for fact in matrix.facts]
    for name, words in rows:
        if set(words) != {"?"}:
            yield f"| {name} | {' | '.join(words)} |\n"


def _words(ranges: Sequence[Range]) -> str:
    return "; ".join(f"{one.answer}: {_escaped(one.text)}" for one in ranges) or "?"


def _notifiers(matrix: Matrix, builds: Sequence[Build]) -> Iterator[str]:
    """Yield since when `restart` is accepted with each notifier, with a row per machine type and line."""
    emulators = {build.emulator for build in builds}
    found: dict[tuple[str, str, str], dict[str, list[Range]]] = {}
    for one in matrix.ranges:
        if one.notifier and one.fact == POLICY + DECIDED[0] and one.emulator in emulators:
            key = (one.emulator, one.machine, one.line)
            found.setdefault(key, {}).setdefault(one.notifier, []).append(one)
    models = list(dict.fromkeys(notifier.model for notifier in matrix.notifiers))
    models = [model for model in models if any(model in row for row in found.values())]
    if not models:
        return
    yield f"\n| `{DECIDED[0]}` is accepted with | line | {' | '.join(models)} |\n"
    yield f"|---|---|{'---|' * len(models)}\n"
    for (emulator, machine, line), row in found.items():
        words = [_words(row[model]) if model in row else "-" for model in models]
        yield f"| `{_escaped(emulator)}` {_escaped(machine)} | {_escaped(line)} | {' | '.join(words)} |\n"


def _facts(matrix: Matrix, builds: Sequence[Build]) -> Iterator[str]:
    """Yield a table with a row per build and a column per fact, and its notes."""
    notes: dict[str, int] = {}
    of = [column for column in columns(matrix) if not column.startswith(POLICY)]
    yield "\n| build | " + " | ".join(of) + " |\n"
    yield "|---|" + ":-:|" * len(of) + "\n"
    for build in builds:
        texts = [_numbered(cell, notes) for cell in cells(matrix, build, of=of)]
        package = f" ({_escaped(build.package)})" if build.package else ""
        yield f"| `{_escaped(build.emulator)}` {_escaped(build.version)}{package} | {' | '.join(texts)} |\n"
    if notes:
        yield "\n" + "".join(f"{number}. {_escaped(note)}\n" for note, number in notes.items())


def _numbered(cell: Cell, notes: dict[str, int]) -> str:
    """Return a cell's text with the number of its note, which is added if it is new."""
    return f"{cell.text} {notes.setdefault(cell.note, len(notes) + 1)}" if cell.note else cell.text


def _escaped(text: str) -> str:
    """Return a text, which may come from an emulator, as plain text for Markdown."""
    text = printable(text)
    for character, escape in _ESCAPES:
        text = text.replace(character, escape)
    return text
