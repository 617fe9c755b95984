"""What a record can be made of: an emulator of this host or of a Debian suite, or a file.

A subject lists the files that change when it changes, so that a second run need not ask it again.  A
command that runs elsewhere has no such files, and is asked in every run.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from onpanic.core.untrusted import wellformed
from onpanic.matrix.sources.debian_suites import Root
from onpanic.probe.emulator.command_line import program_name

__all__ = ("Subject", "emulator", "in_suite", "known_as", "record", "recording", "replies", "stamp")


class Subject(msgspec.Struct, frozen=True):
    """Something that a record can be made of.

    :param name: Its name in messages.
    :param kind: How a record is made of it: by asking an emulator, or by reading a file.
    :param command: The command that starts the emulator, or the path of the file.
    :param known_as: The command as the record shows it, without paths of this host.
    :param source: Where the record comes from, see `Probed.source`.
    :param files: The files that change when it changes.
    :param variant: A suffix of the record's name, for builds that report the same version and package.
    """

    name: str
    kind: Literal["emulator", "recording", "replies", "record"]
    command: list[str]
    known_as: list[str]
    source: str
    files: list[str]
    variant: str = ""

    @property
    def key(self) -> str:
        """A string that no other subject has."""
        moves = self.kind == "emulator" and self.source  # the folder of a suite does not matter
        parts = [self.kind, self.source, *self.known_as, *(() if moves else self.command)]
        return str(wellformed("\0".join(parts)))


def emulator(command: Sequence[str]) -> Subject:
    """Return an emulator on this host, or a command that starts one."""
    path = shutil.which(command[0]) if len(command) == 1 else None
    files = _files(Path(path)) if path else []
    return Subject(program_name(command), "emulator", list(command), list(command), "", files)


def in_suite(root: Root) -> Iterator[Subject]:
    """Yield the emulators of an unpacked Debian suite, each once."""
    for name in root.programs():
        path = root.path / "usr/bin" / name
        yield Subject(
            f"{name} of {root.suite}",
            "emulator",
            root.command(name),
            [name],
            f"Debian {root.suite}",
            _files(path),
        )


def recording(path: Path) -> Subject:
    """Return a recording, see `onpanic.probe.conversation.recording`."""
    named = path.name if path.is_absolute() else path  # records contain no path of this host
    return Subject(str(path), "recording", [str(path)], [], f"recording {named}", [str(path)])


def replies(path: Path) -> Subject:
    """Return a file of QMP replies, see `onpanic.matrix.sources.libvirt_replies`."""
    _, plus, variant = path.name.removesuffix(".replies").partition("+")
    return Subject(
        str(path), "replies", [str(path)], [], f"libvirt {path.name}", [str(path)], f"{plus}{variant}"
    )


def record(path: Path) -> Subject:
    """Return a record that was made elsewhere, by ``onpanic probe --format json``."""
    return Subject(str(path), "record", [str(path)], [], "", [str(path)])


def known_as(command: Sequence[str]) -> list[str]:
    """Return a command as a record shows it: without the emulator's folder, and without a wrapper."""
    name = program_name(command) if command else ""
    index = max((i for i, word in enumerate(command) if Path(word).name == name), default=0)
    return [name, *command[index + 1 :]] if command else []


def stamp(subject: Subject) -> list[int]:
    """Return numbers that change when the subject changes; none if nothing would show it.

    They are the sizes and the times (in nanoseconds) of `Subject.files`, links followed.
    """
    try:
        found = [Path(name).stat() for name in subject.files]
    except OSError:
        return []
    return [number for one in found for number in (one.st_size, one.st_mtime_ns, one.st_ctime_ns)]


def _files(program: Path) -> list[str]:
    """Return the files that change with a program: itself, its modules and its firmware.

    A script returns none, as it may start any program.
    """
    try:
        with program.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                return []
    except OSError:
        return []
    prefix = program.resolve().parent.parent
    modules = [*prefix.glob("lib/qemu"), *prefix.glob("lib/*/qemu"), *prefix.glob("lib64/qemu*")]
    inside = [path for folder in modules for path in sorted(folder.glob("*.so"))]
    firmware = [*prefix.glob("share/qemu"), *prefix.glob("share/seabios")]
    return [str(path) for path in (program, *sorted(modules), *inside, *sorted(firmware))]
