"""Which build a record is about: the build's name, its target, and the line of builds that it belongs to."""

import hashlib
import re

from onpanic.probe.emulator.command_line import program_name
from onpanic.probe.record.capability_record import Emulator

__all__ = ("build_name", "emulator_name", "line_of", "target_name")

_UPSTREAM = "upstream"
_DISTRIBUTORS = {"el": "RHEL", "fc": "Fedora"}

_MAX_NAME = 160  # characters; a file name may have 255 bytes
_RPM = re.compile(r"-[^-]*\.([a-z]+)[\d_]*[^-]*$")  # the end of a release: -11.el9, -1.amzn2023
_GIT = re.compile(r"(v?\d[\w.]*(-rc\d+)?(-\d+-g[0-9a-f]+)?(-dirty)?)?")  # what git describe prints


def emulator_name(emulator: Emulator) -> str:
    """Return the program's name, such as ``qemu-system-x86_64``."""
    if emulator.command:
        return program_name(emulator.command)
    return f"qemu-system-{emulator.target}" if emulator.target else "qemu"


def target_name(emulator: Emulator) -> str:
    """Return the target, such as ``x86_64``.

    The program's name wins if it is more exact than what the emulator reports: QEMU 11's mipsel
    reports mips.
    """
    named = emulator_name(emulator).partition("qemu-system-")[2].partition("-")[0]
    return named if named.startswith(emulator.target) else emulator.target


def build_name(emulator: Emulator) -> str:
    """Return a name for a build's record that is unique among builds and valid as a file name."""
    parts = (emulator_name(emulator), emulator.version, emulator.package)
    name = "-".join(re.sub(r"[^A-Za-z0-9_.+~]+", "-", part).strip("-") for part in parts if part)
    name = name.lstrip(".-") or "qemu"
    if len(name) <= _MAX_NAME:
        return name
    return f"{name[:_MAX_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def line_of(package: str) -> str:
    """Return the line that a build belongs to: ``Debian``, ``RHEL``, …, or the first word of the package.

    It is ``upstream`` only if the package is empty or comes from QEMU's own git.

    :param package: The package that the greeting reports.
    """
    text = package.strip().lower()
    if _GIT.fullmatch(text):
        return _UPSTREAM
    if "ubuntu" in text:  # Ubuntu's packages call themselves Debian, too
        return "Ubuntu"
    if text.startswith("debian"):
        return "Debian"
    if match := _RPM.search(text):
        return _DISTRIBUTORS.get(match[1], match[1])
    return "RHEL" if text.startswith("qemu-kvm") else package.split()[0].partition("_")[0]
