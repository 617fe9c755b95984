"""What records can be made of: emulators here, in other Debians, and what others have written down.

A subject knows by which files it would be seen to have changed, so that nothing is asked
twice; a command that runs elsewhere has none, and is asked each time.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from onpanic.probe.foreign import wellformed
from onpanic.probe.launch import name_of

from .debian import Root

__all__ = ("Subject", "emulator", "in_suite", "recording", "replies", "stamp")


class Subject(msgspec.Struct, frozen=True):
    """Something that a record can be made of.

    :param name: What messages call it.
    :param kind: How a record is made of it: by asking an emulator, or by reading a file.
    :param command: How the emulator is started; the file, if it is one.
    :param known_as: How the record names the command: no path of the host's, where it does not matter.
    :param source: What the record says of where it comes from, see `Probed.source`.
    :param files: What would change with it.
    :param variant: What to add to the record's name, where builds say the same of themselves.
    """

    name: str
    kind: Literal["emulator", "recording", "replies"]
    command: list[str]
    known_as: list[str]
    source: str
    files: list[str]
    variant: str = ""

    @property
    def key(self) -> str:
        """What tells it from all others."""
        moves = self.kind == "emulator" and self.source  # where a suite is unpacked does not matter
        parts = [self.kind, self.source, *self.known_as, *(() if moves else self.command)]
        return str(wellformed("\0".join(parts)))


def emulator(command: Sequence[str]) -> Subject:
    """Return an emulator of the host's, or a whole command."""
    path = shutil.which(command[0]) if len(command) == 1 else None
    files = _files(Path(path)) if path else []
    return Subject(name_of(command), "emulator", list(command), list(command), "", files)


def in_suite(root: Root) -> Iterator[Subject]:
    """Yield the emulators of an unpacked Debian suite, each one once."""
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
    """Return a recording, see `onpanic.probe.recording`."""
    named = path.name if path.is_absolute() else path  # no place of the host's goes into a record
    return Subject(str(path), "recording", [str(path)], [], f"recording {named}", [str(path)])


def replies(path: Path) -> Subject:
    """Return a file of recorded QMP replies, as libvirt's tests have them."""
    _, plus, variant = path.name.removesuffix(".replies").partition("+")
    return Subject(
        str(path), "replies", [str(path)], [], f"libvirt {path.name}", [str(path)], f"{plus}{variant}"
    )


def stamp(subject: Subject) -> list[int]:
    """Return numbers that change when the subject does; none if nothing would tell.

    Sizes, and times in nanoseconds, of `Subject.files` as links lead to them.
    """
    try:
        found = [Path(name).stat() for name in subject.files]
    except OSError:
        return []
    return [number for one in found for number in (one.st_size, one.st_mtime_ns, one.st_ctime_ns)]


def _files(program: Path) -> list[str]:
    """Return what would change with a program: itself, its modules and its firmware.

    Of a script nobody knows what it starts; there is nothing that would tell.
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
