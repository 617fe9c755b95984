"""Collects the record of a Debian suite's libvirt, whose daemon may end meanwhile."""

from collections.abc import Callable

from onpanic.matrix.libvirts.collect_libvirt import record_libvirt
from onpanic.matrix.libvirts.libvirt_questions import GuestPlan
from onpanic.matrix.libvirts.libvirt_record import LibvirtRecord
from onpanic.matrix.sources.debian_libvirts import LIBVIRT_PACKAGES, DaemonEndedError, libvirt_of
from onpanic.matrix.sources.debian_suites import Root

__all__ = ("record_suite_libvirt",)

# How often the daemon is started
_ATTEMPTS = 3


def record_suite_libvirt(
    root: Root, announce: Callable[[str], None], *, wanted: Callable[[GuestPlan], bool] = lambda _: True
) -> LibvirtRecord:
    """Return the record of a Debian suite's libvirt.  Takes half a minute.

    libvirt 7.0 sometimes aborts when it ends a guest whose QEMU was killed; it is then started again.

    :param root: A suite that was fetched with `LIBVIRT_PACKAGES`.
    :param announce: Called with a line of text about each attempt.
    :param wanted: Which guests to run; all by default.
    :raise FetchError: When the suite's libvirt does not start.
    :raise SourceError: When it cannot be asked, or ends each time.
    :raise MissingExtraError: When libvirt's Python module is not installed.
    """
    version = root.package_version(LIBVIRT_PACKAGES[0])
    package = f"Debian {version}" if version else ""

    def attempt() -> LibvirtRecord:
        announce(f"{root.suite}: starting guests that panic; this takes about half a minute")
        with libvirt_of(root) as daemon:
            return record_libvirt(daemon.uri, package=package, source=f"Debian {root.suite}", wanted=wanted)

    for _ in range(_ATTEMPTS - 1):
        try:
            return attempt()
        except DaemonEndedError as error:
            announce(f"{error.message}; it is started again")
    return attempt()
