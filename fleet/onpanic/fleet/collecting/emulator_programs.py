"""Programs that are named like QEMU's system emulators."""

import os
import re
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from onpanic.core.untrusted import printable
from onpanic.fleet.hosts.emulator_places import EMULATOR_NAME, FIXED_FOLDERS
from onpanic.fleet.hosts.guest_architectures import guest_architectures

__all__ = (
    "EmulatorProgram",
    "ProgramsFound",
    "architectures_of",
    "find_programs",
    "identity_of",
    "preferred",
)

# What Debian and others also call a target, by links to its program
_OTHER_NAMES = {
    "amd64": "x86_64",
    "arm64": "aarch64",
    "armel": "arm",
    "armhf": "arm",
    "loong64": "loongarch64",
    "powerpc": "ppc",
    "ppc64el": "ppc64",
    "ppc64le": "ppc64",
}


class EmulatorProgram(msgspec.Struct, frozen=True):
    """A program that is named like an emulator.

    :param path: Its path.
    :param identity: Equal for two names of the same emulator, see `identity_of`.
    """

    path: str
    identity: tuple[str, str]


class ProgramsFound(msgspec.Struct, frozen=True):
    """The programs of a host.

    :param programs: In the order in which a shell looks for them; a program may have several names.
    :param problems: Links to missing files, and folders that cannot be read.
    """

    programs: tuple[EmulatorProgram, ...] = ()
    problems: tuple[str, ...] = ()


def find_programs(folders: Iterable[Path], host_target: str) -> ProgramsFound:
    """Return the programs in some folders.

    :param folders: Relative ones, and those that do not exist, are left out.
    :param host_target: QEMU's name of the host's own architecture, which ``kvm`` is for.
    """
    programs: list[EmulatorProgram] = []
    problems: list[str] = []
    for folder in _distinct(folders):
        try:
            names = sorted(name for name in os.listdir(folder) if EMULATOR_NAME.fullmatch(name))  # noqa: PTH208
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if folder in FIXED_FOLDERS or not isinstance(error, PermissionError):  # as a shell does
                problems.append(printable(f"{folder}: {error.strerror}"))
            continue
        for name in names:
            path = folder / name
            try:
                mode = path.stat().st_mode
            except OSError as error:
                problems.append(printable(_broken(path, error)))
                continue
            if stat.S_ISREG(mode) and mode & 0o111:
                programs.append(EmulatorProgram(str(path), identity_of(str(path), host_target)))
    return ProgramsFound(tuple(programs), tuple(problems))


def _distinct(folders: Iterable[Path]) -> Iterable[Path]:
    """Return folders, each once; one that is a link to another one, as /bin is, has its usual name."""
    usual = {os.path.realpath(folder): folder for folder in FIXED_FOLDERS}
    found: dict[str, Path] = {}
    for folder in folders:
        if folder.is_absolute():
            real = os.path.realpath(folder)
            found.setdefault(real, usual.get(real, folder))
    return found.values()


def identity_of(path: str, host_target: str) -> tuple[str, str]:
    """Return what two names of one emulator have in common: the program, and the target that it is named for.

    A program may choose its target by its name: one that has the names of two targets is two emulators.
    """
    real = os.path.realpath(path)
    named = _target_in(path) or _target_in(real) or host_target
    return real, named


def architectures_of(program: EmulatorProgram) -> tuple[str, ...]:
    """Return libvirt's names of the architectures whose guests a program with this name runs."""
    name = Path(program.path).name
    target = program.identity[1]
    if name.startswith("qemu-system-") and name.removeprefix("qemu-system-") not in (target, *_OTHER_NAMES):
        return ()  # a variant, such as qemu-system-x86_64-microvm
    return guest_architectures(target)


def preferred(programs: Sequence[EmulatorProgram]) -> EmulatorProgram:
    """Return the name of an emulator that does not depend on the user's PATH, if it has one.

    :param programs: All its names.
    """

    def order(program: EmulatorProgram) -> tuple[bool, bool, bool]:
        path = Path(program.path)
        own = path.name == f"qemu-system-{program.identity[1]}"
        return path.parent not in FIXED_FOLDERS, not own, path.is_symlink()

    return min(programs, key=order)


def _target_in(path: str) -> str:
    _, found, rest = Path(path).name.partition("qemu-system-")
    target = re.split("[^0-9A-Za-z_]", rest)[0] if found else ""
    return _OTHER_NAMES.get(target, target)


def _broken(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        return f"{path}: a link to a missing file, {path.readlink()}"
    return f"{path}: {error.strerror}"
