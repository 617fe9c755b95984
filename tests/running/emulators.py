"""Other Debian suites' emulators and libvirts, unpacked for the tests."""

import fcntl
import os
from pathlib import Path

from onpanic.matrix.debian import PACKAGES, Root, fetch
from onpanic.matrix.sources.debian_libvirts import LIBVIRT_PACKAGES

from .libvirtd import EVERY
from .ssh_hosts import HOST_PACKAGES

__all__ = ("FULL_SUITE", "HOSTS", "emulators_folder", "suite_root")

#: The suites that hosts to log in to run, each with its version of Python.
HOSTS = {"bookworm": "3.11", "trixie": "3.13", "sid": "3.14"}

#: One suite has the emulators of all architectures; they are large.
FULL_SUITE = "trixie"
OTHER_ARCHITECTURES = tuple(f"qemu-system-{name}" for name in ("arm", "misc", "ppc", "riscv", "s390x"))


def suite_root(suite: str) -> Root:
    """Return a suite's unpacked emulators, and its libvirt if tests run on it; fetch what is missing.

    :raise FetchError: When they cannot be fetched.
    """
    packages = (
        *PACKAGES,
        *(OTHER_ARCHITECTURES if suite == FULL_SUITE else ()),
        *(LIBVIRT_PACKAGES if suite in EVERY else ()),
        *(HOST_PACKAGES if suite in HOSTS else ()),
    )
    folder = emulators_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{suite}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test run may want the same
        return fetch(suite, packages, into=folder)


def emulators_folder() -> Path:
    """Return the folder that ONPANIC_EMULATORS names, or one in the user's cache."""
    named = os.environ.get("ONPANIC_EMULATORS")
    if named:
        return Path(named)
    cache_home = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache_home) if cache_home else Path.home() / ".cache") / "onpanic" / "emulators"
