"""The cells of a table that shows one letter for each ``<on_panic>`` value and fact, with notes.

A cell is about one machine type of a build, and about one notifier of it: the machine type's own,
or the one that was chosen.  If other machine types of the build have another answer, a note names them.
"""

from collections.abc import Sequence

import msgspec

from onpanic.matrix.model.matrix import DECIDED, POLICY, Build, Matrix, MatrixMachine, MatrixNotifier, Profile

__all__ = ("COREDUMP", "FALLBACK", "NOTIFIER", "VALUES", "Cell", "cells", "columns", "machine_of")

#: The machine type that is shown if a build has no default one.
FALLBACK = "virt"

#: The ``<on_panic>`` values that tables show: ``crash`` is for Xen.
VALUES = (*DECIDED, "ignore", "default")

#: The column that says which notifier the answers are about.
NOTIFIER = "notifier"

#: Follows the letter of a value that is also accepted with ``coredump='yes'``.
COREDUMP = "+"

_LETTERS = {"yes": "y", "no": "n", "unknown": "?"}
_NOTHING = "-"
_INCONCLUSIVE = "probe-inconclusive"  # the refusal of a value because a fact is unknown
_MAX_NAMES = 4  # machine types that a note names


class Cell(msgspec.Struct, frozen=True):
    """One build's answer to one question.

    :param text: ``y``, ``n`` or ``?``; ``-`` if the build has no such machine type, or it does not
        start.  `COREDUMP` may follow.  It is a word if the question asks for one: what a panic leads to,
        or a notifier's model.
    :param note: The machine types with another answer; empty if there are none.
    """

    text: str
    note: str = ""


def columns(matrix: Matrix, notifier: str = "") -> list[str]:
    """Return the names of the columns: `POLICY` and a value, `NOTIFIER`, then facts.

    :param notifier: The model that was chosen; empty for each machine type's own.
    """
    facts = [fact.name for fact in sorted(matrix.facts, key=lambda fact: fact.scope == "emulator")]
    return [*(POLICY + value for value in VALUES), *([] if notifier else [NOTIFIER]), *facts]


def machine_of(build: Build, name: str = "") -> MatrixMachine | None:
    """Return a machine type of a build.

    :param name: A name or an alias; empty for the default one, or `FALLBACK` if there is no default.
    :return: None if the build has no such machine type.
    """
    for machine in build.machines:
        if (name and name in (machine.name, *machine.aliases)) or (not name and machine.default):
            return machine
    return None if name else next((m for m in build.machines if FALLBACK in (m.name, *m.aliases)), None)


def cells(
    matrix: Matrix, build: Build, machine: str = "", notifier: str = "", *, of: Sequence[str] = ()
) -> list[Cell]:
    """Return a build's answers.

    :param machine: See `machine_of`.
    :param notifier: See `columns`.
    :param of: The columns; all of them if it is empty.
    """
    reader = _Reader(matrix, build, notifier)
    chosen = machine_of(build, machine)
    return [reader.cell(column, chosen) for column in of or columns(matrix, notifier)]


class _Reader:
    """Reads the answers of one build about each machine type's own notifier, or about the one chosen."""

    def __init__(self, matrix: Matrix, build: Build, notifier: str) -> None:
        self._matrix, self._build, self._notifier = matrix, build, notifier
        self._profiles = {machine.profile for machine in build.machines}
        self._about = {fact.name for fact in matrix.facts if fact.scope == "notifier"}

    def cell(self, column: str, chosen: MatrixMachine | None) -> Cell:
        """Return the answer about a machine type; None if the build has no such machine type."""
        if column in self._build.facts:
            return Cell(self._letter(self._build.facts[column]))
        if chosen is None:
            return Cell(_NOTHING)
        texts = {index: self._text(self._matrix.profiles[index], column) for index in self._profiles}
        text = texts[chosen.profile]
        different = {index for index, other in texts.items() if other not in (text, _NOTHING, "?")}
        others: dict[str, list[str]] = {}
        for other in self._build.machines if different and text != _NOTHING else ():
            if other.profile in different and other.name != "none":  # runs no guest
                others.setdefault(texts[other.profile], []).append(other.name)
        notes = [f"{_word(other)} on {_shortened(names)}" for other, names in sorted(others.items())]
        return Cell(text, "; ".join(notes))

    def _text(self, profile: Profile, column: str) -> str:
        source = self._source(profile)
        if not profile.started or source is None:
            return _NOTHING
        if column == NOTIFIER:
            return profile.notifier or _NOTHING
        if column.startswith(POLICY):
            return _acceptance(source, column.removeprefix(POLICY))
        facts = source.facts if column in self._about else profile.facts
        return self._letter(facts[column]) if column in facts else _NOTHING

    def _source(self, profile: Profile) -> Profile | MatrixNotifier | None:
        """Return what answers about a notifier are read from; None if the machine type says nothing."""
        if not self._notifier:
            return profile
        found = (self._matrix.notifiers[index] for index in profile.notifiers)
        return next((one for one in found if one.model == self._notifier), None)

    def _letter(self, index: int) -> str:
        answer = self._matrix.statements[index].answer
        return _LETTERS.get(answer, answer)


def _acceptance(source: Profile | MatrixNotifier, value: str) -> str:
    if value in source.accepted:
        return "y" + COREDUMP * source.accepted[value]
    if value in source.refused:
        return "?" if source.refused[value] == _INCONCLUSIVE else "n"
    return _NOTHING


def _word(text: str) -> str:
    return {"y": "yes", "y" + COREDUMP: "yes", "n": "no"}.get(text, text)


def _shortened(names: Sequence[str]) -> str:
    """Return names, the first ones only if there are many."""
    more = len(names) - _MAX_NAMES
    return ", ".join(names if more <= 1 else [*names[:_MAX_NAMES], f"and {more} more"])
