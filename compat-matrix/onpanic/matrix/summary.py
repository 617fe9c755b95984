"""What a build comes to, where there is room for one letter a fact.

The letter is about one machine type; where others of the build answer otherwise, a note
says which.
"""

from collections.abc import Sequence

import msgspec

from .model import Build, Machine, Matrix, Profile

__all__ = ("FALLBACK", "Cell", "cells", "machine_of")

#: Answers, with ``-`` where there is nothing to ask: no such machine type, or it does not start.
LETTERS = {"yes": "y", "no": "n", "unknown": "?"}
#: The machine type to look at where there is no default one.
FALLBACK = "virt"
_NOTHING = "-"
_SHOWN = 4  # machine types that a note names


class Cell(msgspec.Struct, frozen=True):
    """One build's answer to one question.

    :param letter: One of `LETTERS`, or ``-``.
    :param note: Which machine types answer otherwise; empty if none does.
    """

    letter: str
    note: str = ""


def machine_of(build: Build, name: str = "") -> Machine | None:
    """Return a machine type of a build, by name or alias.

    :param name: Empty for the default one, or `FALLBACK` where there is no default.
    :return: None where the build has no such machine type.
    """
    for machine in build.machines:
        if (name and name in (machine.name, *machine.aliases)) or (not name and machine.default):
            return machine
    return None if name else next((m for m in build.machines if FALLBACK in (m.name, *m.aliases)), None)


def cells(matrix: Matrix, build: Build, machine: str = "") -> list[Cell]:
    """Return a build's answers to all questions, in the order of the matrix.

    :param machine: See `machine_of`.
    """
    return [cell(matrix, build, fact.name, machine) for fact in matrix.facts]


def cell(matrix: Matrix, build: Build, fact: str, machine: str = "") -> Cell:
    """Return a build's answer to one question."""
    if fact in build.facts:
        return Cell(LETTERS[matrix.statements[build.facts[fact]].answer])
    chosen = machine_of(build, machine)
    letter = _letter(matrix, matrix.profiles[chosen.profile], fact) if chosen else _NOTHING
    others: dict[str, list[str]] = {}
    for other in build.machines:
        if other.name == "none":  # no guest can run on it
            continue
        said = _letter(matrix, matrix.profiles[other.profile], fact)
        if said != letter and said in "yn" and letter != _NOTHING:
            others.setdefault(said, []).append(other.name)
    words = {mark: word for word, mark in LETTERS.items()}
    notes = [f"{words[said]} on {_listed(names)}" for said, names in sorted(others.items())]
    return Cell(letter, "; ".join(notes))


def _letter(matrix: Matrix, profile: Profile, fact: str) -> str:
    if not profile.started or fact not in profile.facts:
        return _NOTHING
    return LETTERS[matrix.statements[profile.facts[fact]].answer]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names if more <= 1 else [*names[:_SHOWN], f"and {more} more"])
