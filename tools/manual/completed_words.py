"""What completes each argument: words, files, folders, emulators, or nothing that a shell could know."""

from dataclasses import dataclass
from typing import Literal

from manual.parsers import Argument, Command
from onpanic.cli.codes import CODES
from onpanic.matrix.sources.apt_sources import SUITES
from onpanic.probe.decision.policy import ON_CRASH, ON_PANIC
from onpanic.watch.rules.dump_files import FORMATS

__all__ = ("HEAD", "Completed", "completed", "groups_of")

#: The first line of every shell's completion, behind what the shell itself requires.
HEAD = "# Completion of onpanic for {name}.  Written by make man from the parsers of its command line."

Source = Literal["", "file", "folder", "emulator"]

#: Arguments that take any value, but for which these are the usual ones, by their names.
_USUAL: dict[str, tuple[str, ...]] = {
    "code": tuple(CODES),
    "debian": SUITES,
    "debian_libvirts": SUITES,
    "dump_format": tuple(FORMATS),
    "on_crash": tuple(ON_CRASH),
    "on_panic": tuple(ON_PANIC),
    "policy": tuple(ON_PANIC),
    "value": tuple(ON_PANIC),
}

#: What the values are that have these names.
_SOURCES: dict[Source, tuple[str, ...]] = {
    "file": (
        *("A", "ADDRESS", "B", "COMMAND", "DIR|FILE", "DOMAIN.xml", "DUMP", "FILE", "FILE.prom", "MATRIX"),
        *("NEW", "OLD", "PATH", "RECORD"),
    ),
    "folder": ("DIR", "OUT"),
    "emulator": ("EMULATOR",),
    "": (
        *(
            "AGE",
            "DOMAIN",
            "HOST",
            "HOURS",
            "M",
            "N",
            "NAME",
            "SECONDS",
            "SIZE",
            "T",
            "TARGET",
            "TEXT",
            "URI",
        ),
        *("X.Y.Z", "[HOST:]PORT"),
    ),
}


@dataclass(frozen=True)
class Completed:
    """What completes an argument.

    :param words: These words.
    :param source: And what the host has of these.
    """

    words: tuple[str, ...]
    source: Source


def completed(argument: Argument) -> Completed:
    """Return what completes an argument.

    Raises `ValueError` when its value has a name that says nothing about it.
    """
    if argument.choices:
        return Completed(argument.choices, "")
    if argument.name == "arch":  # whose value is called A, as a file of matrix diff is
        return Completed((), "")
    for source, names in _SOURCES.items():
        if argument.value in names:
            return Completed((), source)
    if argument.name in _USUAL:
        return Completed(_USUAL[argument.name], "")
    raise ValueError(f"nothing is known about the value {argument.value} of {argument.name}")


def groups_of(commands: list[Command]) -> dict[str, list[Command]]:
    """Return the first words of subcommands that have two, each with its subcommands."""
    groups: dict[str, list[Command]] = {}
    for command in commands:
        first, _, second = command.name.partition(" ")
        if second:
            groups.setdefault(first, []).append(command)
    return groups
