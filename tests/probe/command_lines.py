"""Reads `command_lines.toml`: command lines of QEMU as people have them in scripts."""

import shlex
import tomllib
from pathlib import Path
from typing import NamedTuple

__all__ = ("COMMAND_LINES", "CommandLine")


class CommandLine(NamedTuple):
    """A command line.

    :param written: Its words.
    :param left: The words that are left of it for a probe.
    :param machine: The machine type that it names, or the default one.
    """

    written: list[str]
    left: list[str]
    machine: str


def _read() -> dict[str, CommandLine]:
    tables = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return {
        name: CommandLine(shlex.split(table["written"]), shlex.split(table["left"]), table["machine"])
        for name, table in tables.items()
    }


#: By where one finds the like of it.
COMMAND_LINES = _read()
