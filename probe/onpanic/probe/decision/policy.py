"""A policy: what is to happen when a guest panics, and when it crashes.

The words are those of Paolo Bonzini's proposal of 21 August 2013 ("Start fixing the pvpanic
mess", RFC v2).
"""

from typing import Literal

import msgspec

__all__ = ("ON_CRASH", "ON_PANIC", "Hypervisor", "Policy")

Hypervisor = Literal["qemu", "xen"]

#: The values of ``<on_panic>``.
ON_PANIC = ("default", "crash", "ignore", "restart", "destroy", "preserve", "rename-restart", "pause")

#: The values of ``<on_crash>``; libvirt spells the first two with a coredump ``coredump-…``.
ON_CRASH = ("destroy", "restart", "preserve", "rename-restart")


class Policy(msgspec.Struct, frozen=True):
    """What is to happen when a guest panics, and when it crashes.

    :param on_panic: One of `ON_PANIC`.
    :param coredump: Dump the guest's memory first.
    :param on_crash: One of `ON_CRASH`, or libvirt's ``coredump-destroy`` and ``coredump-restart``;
        None to leave it out.
    :param on_crash_coredump: Dump the guest's memory first when it crashes.
    """

    on_panic: str
    coredump: bool = False
    on_crash: str | None = None
    on_crash_coredump: bool = False
