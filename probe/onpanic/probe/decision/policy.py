"""A policy: what is to happen when a guest panics, and when it crashes.

The words are those of Paolo Bonzini's proposal of 21 August 2013 ("Start fixing the pvpanic
mess", RFC v2).
"""

from typing import Literal

import msgspec

__all__ = ("LONGEST_GRACE", "ON_CRASH", "ON_PANIC", "WAITING", "Hypervisor", "Policy", "is_grace")

Hypervisor = Literal["qemu", "xen"]

#: The values of ``<on_panic>``.
ON_PANIC = ("default", "crash", "ignore", "restart", "destroy", "preserve", "rename-restart", "pause")

#: The values of ``<on_crash>``; libvirt spells the first two with a coredump ``coredump-…``.
ON_CRASH = ("destroy", "restart", "preserve", "rename-restart")

#: The values of ``<on_panic>`` that can be carried out after a grace period: they end or restart the guest.
WAITING = ("restart", "destroy", "rename-restart")

#: The longest grace period, in seconds: a day.
LONGEST_GRACE = 86400.0


class Policy(msgspec.Struct, frozen=True):
    """What is to happen when a guest panics, and when it crashes.

    :param on_panic: ``default``, ``crash``, ``ignore``, ``restart``, ``destroy``, ``preserve``,
        ``rename-restart`` or ``pause``.
    :param coredump: Dump the guest's memory first.
    :param on_crash: ``destroy``, ``restart``, ``preserve`` or ``rename-restart``, or libvirt's
        ``coredump-destroy`` and ``coredump-restart``; None to leave it out.
    :param on_crash_coredump: Dump the guest's memory first when it crashes.
    :param grace: The grace period in seconds, from 0 to 86400: after a panic the guest runs on, and
        ``on_panic`` is carried out only if the guest has not helped itself within this time.  0 for no grace
        period, None for the watcher's setting.
    """

    on_panic: str
    coredump: bool = False
    on_crash: str | None = None
    on_crash_coredump: bool = False
    grace: float | None = None

    @property
    def crash_action(self) -> str | None:
        """The policy's ``<on_crash>`` as libvirt and xl write it: with values instead of an attribute."""
        dumps = self.on_crash_coredump and self.on_crash in ("destroy", "restart")
        return f"coredump-{self.on_crash}" if dumps else self.on_crash


def is_grace(seconds: float) -> bool:
    """Return whether a number of seconds can be a grace period."""
    return 0 <= seconds <= LONGEST_GRACE
