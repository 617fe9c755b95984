"""What the host runs, and which host it is: os-release(5), uname(2) and machine-id(5)."""

import errno
import hashlib
import hmac
import os
import re
import shlex
import uuid
from collections.abc import Sequence
from pathlib import Path

from onpanic.core.files import read_at_most
from onpanic.core.untrusted import printable
from onpanic.fleet.hosts.host_record import HostSystem

__all__ = ("APPLICATION_ID", "host_id", "host_system")

#: Keeps a host's identifier from being its machine ID, and from being that of another application.
APPLICATION_ID = uuid.UUID("793b6234-98e5-4bda-8c52-54ea13ccf549")

_LIMIT = 64 * 2**10  # bytes of a file


def host_system(os_release: Sequence[Path], uname: os.uname_result) -> HostSystem:
    """Return what the host runs.

    :param os_release: Where its os-release(5) may be; the first file that exists counts.
    """
    return HostSystem(os=_pretty_name(os_release), kernel=uname.release, architecture=uname.machine)


def host_id(machine_id: Path) -> str | None:
    """Return the host's identifier, which ``systemd-id128 machine-id --app-specific=`` prints as well.

    It is the machine ID's HMAC, as sd_id128_get_machine_app_specific(3) has it: machine-id(5) forbids to
    publish the machine ID itself.

    :param machine_id: The file with the machine ID.
    :return: None if the host has no machine ID, or not yet.
    """
    try:
        text = _contents(machine_id).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    if not re.fullmatch("[0-9a-f]{32}", text) or not int(text, 16):
        return None
    digest = hmac.digest(bytes.fromhex(text), APPLICATION_ID.bytes, hashlib.sha256)
    return uuid.UUID(bytes=digest[:16], version=4).hex


def _pretty_name(files: Sequence[Path]) -> str:
    """Return an operating system's name for people; empty if no file says it."""
    for file in files:
        try:
            lines = _contents(file).decode("utf-8", "replace").splitlines()
        except OSError:
            continue
        values = [line.partition("=")[2] for line in lines if line.startswith("PRETTY_NAME=")]
        return _unquoted(values[-1]) if values else ""
    return ""


def _contents(file: Path) -> bytes:
    """Return what a small file contains.

    :raise OSError: When it cannot be read, or is a pipe or a device, from which nothing may ever come.
    """
    if file.exists() and not file.is_file():
        raise OSError(errno.EINVAL, "not a file")
    return read_at_most(file, _LIMIT)


def _unquoted(value: str) -> str:
    """Return a value as a shell would read it; unchanged if a shell could not."""
    try:
        return printable(" ".join(shlex.split(value)), 200)
    except ValueError:
        return printable(value, 200)
