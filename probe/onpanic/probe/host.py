"""The host's own emulator, and emulators by name."""

import os
import shutil
from collections.abc import Sequence

from onpanic.core.errors import StartError
from onpanic.probe.xen.xen_below import xen_below

__all__ = ("host_emulator", "qemu_target", "resolve_command")

# What the kernel or libvirt call an architecture and what QEMU calls it, where they differ
_TARGETS = {
    "i486": "i386",
    "i586": "i386",
    "i686": "i386",
    "armv6l": "arm",
    "armv7l": "arm",
    "armv8l": "arm",
    "ppc64le": "ppc64",
}
# RHEL installs its only emulator here, outside the PATH
_RHEL = "/usr/libexec/qemu-kvm"


def qemu_target(architecture: str) -> str:
    """Return QEMU's name of an architecture.

    :param architecture: As the kernel or libvirt call it.
    """
    return _TARGETS.get(architecture, architecture)


def host_emulator(architecture: str | None = None) -> str:
    """Return the path of the host's emulator for an architecture.

    :param architecture: As the kernel or libvirt call it; the host's own if None.
    :raise StartError: When the host has none.
    """
    machine = architecture or os.uname().machine
    name = f"qemu-system-{qemu_target(machine)}"
    rhel = machine == os.uname().machine and os.access(_RHEL, os.X_OK)
    found = shutil.which(name) or (_RHEL if rhel else None)
    if found is None:
        raise StartError(f"no {name} on this host", _instead(), missing=True)
    return found


def _instead() -> str:
    xen = xen_below()
    if xen and xen.is_dom0:
        return "this is a dom0 of Xen: onpanic probe --hypervisor xen"
    return "install QEMU, or name an emulator"


def resolve_command(command: Sequence[str]) -> list[str]:
    """Return a command with its program's path, as the shell would find it; unchanged if it would not."""
    return [shutil.which(command[0]) or command[0], *command[1:]]
