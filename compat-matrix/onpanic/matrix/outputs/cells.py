"""The cells of a table that shows one letter per fact, with notes.

A cell is about one machine type of a build.  If other machine types of the build have another answer,
a note names them.
"""

from collections.abc import Sequence

import msgspec

from onpanic.matrix.model.matrix import Build, Matrix, MatrixMachine, Profile

__all__ = ("FALLBACK", "Cell", "cells", "machine_of")

#: The machine type that is shown if a build has no default one.
FALLBACK = "virt"

_LETTERS = {"yes": "y", "no": "n", "unknown": "?"}
_WORDS = {letter: word for word, letter in _LETTERS.items()}
_NOTHING = "-"
_MAX_NAMES = 4  # machine types that a note names


class Cell(msgspec.Struct, frozen=True):
    """One build's answer to one question.

    :param letter: ``y``, ``n`` or ``?``; ``-`` if the build has no such machine type, or it does not
        start.
    :param note: The machine types with another answer; empty if there are none.
    """

    letter: str
    note: str = ""


def machine_of(build: Build, name: str = "") -> MatrixMachine | None:
    """Return a machine type of a build.

    :param name: A name or an alias; empty for the default one, or `FALLBACK` if there is no default.
    :return: None if the build has no such machine type.
    """
    for machine in build.machines:
        if (name and name in (machine.name, *machine.aliases)) or (not name and machine.default):
            return machine
    return None if name else next((m for m in build.machines if FALLBACK in (m.name, *m.aliases)), None)


def cells(matrix: Matrix, build: Build, machine: str = "") -> list[Cell]:
    """Return a build's answers to all questions, in the order of the matrix.

    :param machine: See `machine_of`.
    """
    return [_cell(matrix, build, fact.name, machine) for fact in matrix.facts]


def _cell(matrix: Matrix, build: Build, fact: str, machine: str) -> Cell:
    if fact in build.facts:
        return Cell(_LETTERS[matrix.statements[build.facts[fact]].answer])
    chosen = machine_of(build, machine)
    letter = _letter(matrix, matrix.profiles[chosen.profile], fact) if chosen else _NOTHING
    others: dict[str, list[str]] = {}
    for other in build.machines:
        if other.name == "none":  # runs no guest
            continue
        other_letter = _letter(matrix, matrix.profiles[other.profile], fact)
        if other_letter != letter and other_letter in "yn" and letter != _NOTHING:
            others.setdefault(other_letter, []).append(other.name)
    notes = [f"{_WORDS[other]} on {_shortened(names)}" for other, names in sorted(others.items())]
    return Cell(letter, "; ".join(notes))


def _letter(matrix: Matrix, profile: Profile, fact: str) -> str:
    if not profile.started or fact not in profile.facts:
        return _NOTHING
    return _LETTERS[matrix.statements[profile.facts[fact]].answer]


def _shortened(names: Sequence[str]) -> str:
    """Return names, the first ones only if there are many."""
    more = len(names) - _MAX_NAMES
    return ", ".join(names if more <= 1 else [*names[:_MAX_NAMES], f"and {more} more"])
