"""What QEMU reports about a panic."""

import msgspec

__all__ = ("PanicDetails",)


class PanicDetails(msgspec.Struct, frozen=True):
    """What QEMU reports about a panic.  All of it may come from the guest.

    :param text: All members of QEMU's report, as one printable line; empty if it reports none.
    :param kind: The type of the report: ``hyper-v``, ``s390``, ``tdx``, ``sev``, or what a later QEMU adds.
        Empty if there is no report, which says nothing about the notifier: pvpanic, pseries and a PowerPC
        checkstop have none, and not every QEMU has one for Hyper-V's.
    :param code: The bugcheck code of Windows (``0xd1``), the reason of s390x (``disabled-wait``), the error
        code of TDX, or the set and the code of SEV (``0x1:0x2``); empty if there is none.
    """

    text: str = ""
    kind: str = ""
    code: str = ""
