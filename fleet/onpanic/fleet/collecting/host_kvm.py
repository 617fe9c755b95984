"""Asking the kernel about KVM, as a program that would use it does: ioctl(2) on /dev/kvm."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from onpanic.fleet.hosts.host_record import HostAnswer, HostKvm

__all__ = ("Ioctl", "host_kvm")

#: Makes a request of a device: a descriptor, a request, and its argument.
Ioctl = Callable[[int, int, int], int]

# Linux' include/uapi/linux/kvm.h
_GET_API_VERSION = 0xAE00
_CHECK_EXTENSION = 0xAE03
_CAP_HYPERV = 44
_API_VERSION = 12  # the only one since Linux 2.6.22

_X86 = ("x86_64", "i386", "i486", "i586", "i686")


def host_kvm(device: Path, architecture: str, ioctl: Ioctl = fcntl.ioctl) -> HostKvm:
    """Return whether the host has KVM that this user can use.  Creates no virtual machine.

    :param device: KVM's device, /dev/kvm.
    :param architecture: The host's, as ``uname -m`` prints it.
    :param ioctl: What asks the device.
    """
    hyperv: HostAnswer = "unknown" if architecture in _X86 else "no"
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        absent = isinstance(error, FileNotFoundError)
        return HostKvm(usable="no", hyperv="no" if absent else hyperv, detail=f"{device}: {error.strerror}")
    try:
        version = ioctl(descriptor, _GET_API_VERSION, 0)
        if version != _API_VERSION:
            return HostKvm(usable="no", hyperv=hyperv, detail=f"KVM's API has version {version}, not 12")
        if architecture not in _X86:
            return HostKvm(usable="yes", hyperv="no", detail=f"KVM's API has version {version}")
        found = ioctl(descriptor, _CHECK_EXTENSION, _CAP_HYPERV)
        said = f"KVM's API has version {version}; KVM_CAP_HYPERV: {found}"
        return HostKvm(usable="yes", hyperv="yes" if found > 0 else "no", detail=said)
    except OSError as error:
        return HostKvm(usable="no", hyperv=hyperv, detail=f"{device}: ioctl: {error.strerror}")
    finally:
        os.close(descriptor)
