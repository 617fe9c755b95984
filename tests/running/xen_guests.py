"""Guests for Xen of about 1 KB: ELF files that crash, wait or power off, and do nothing else.

A guest ends by the hypercall ``sched_op`` (29) with ``SCHEDOP_shutdown`` (2) and a pointer to the reason
(public/sched.h of Xen): that is all that a panicked kernel does, too.
"""

import struct

__all__ = ("GUESTS", "KINDS")

KINDS = ("pv", "pvh")

# Reasons of SCHEDOP_shutdown
_POWEROFF, _CRASH = 0, 3

# The address that the file is loaded at, the offset of the code, and what the guest has beside the file
_BASE, _CODE, _SIZE = 0x100000, 0x400, 0x3000

# Notes by which Xen knows a PV guest's entry point, and a PVH guest's (public/elfnote.h)
_ENTRY, _HYPERCALL_PAGE, _VIRT_BASE, _XEN_VERSION, _GUEST_OS, _LOADER, _PAE, _FEATURES, _PHYS32_ENTRY = (
    *(1, 2, 3, 5, 6, 8, 9, 10, 18),
)

# sched_op is called with the command in edi and a pointer in rsi by syscall (PV, 64 bits), or in ebx and ecx
# by vmmcall (PVH, 32 bits)
_PV_SHUTDOWN = "b8 1d000000  bf 02000000  48 8d35 04000000  0f05  ebfe"  # mov, mov, lea rsi: behind the jmp
_PV_WAIT = "b8 1d000000  bf 01000000  31f6  0f05  ebf0"  # SCHEDOP_block, again and again
_PVH_SHUTDOWN = "b8 1d000000  bb 02000000  b9 {reason}  0f01d9  ebfe"
_PVH_WAIT = "b8 1d000000  bb 01000000  31c9  0f01d9  ebef"

# Tells the toolstack where the guest's pages are, or it cannot dump its memory: maps the shared info at
# 0x102000 (update_va_mapping), and copies max_pfn, p2m_vaddr and p2m_cr3 from the start info (at rsi)
_PV_PAGES = (
    "4889f3  bf 00201000  488b7328  4883ce07  ba 02000000  b8 0e000000  0f05  bf 00201000"
    "488b4320  488987 100c0000  488b4b68  48898f 300c0000  488b4358  48c1e80c  488b04c1  48c1e00c"
    "488987 280c0000"
)


def _note(kind: int, content: bytes) -> bytes:
    def padded(value: bytes) -> bytes:
        return value + bytes(-len(value) % 4)

    return struct.pack("<III", 4, len(content), kind) + b"Xen\0" + padded(content)


def _pv(code: str) -> bytes:
    """Return a 64-bit PV guest: one segment with the headers, the notes and the code."""
    notes = b"".join(
        (
            _note(_GUEST_OS, b"onpanic\0"),
            _note(_XEN_VERSION, b"xen-3.0\0"),
            _note(_ENTRY, struct.pack("<Q", _BASE + _CODE)),
            _note(_VIRT_BASE, struct.pack("<Q", 0)),
            _note(_HYPERCALL_PAGE, struct.pack("<Q", _BASE + 0x1000)),
            _note(_LOADER, b"generic\0"),
            _note(_FEATURES, b"!writable_page_tables|pae_pgdir_above_4gb\0"),
            _note(_PAE, b"yes\0"),
        )
    )
    start, content = 64 + 2 * 56, bytes.fromhex(code)
    size = _CODE + len(content)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, _BASE + _CODE, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 7, 0, _BASE, _BASE, size, _SIZE, 0x1000)
    note = struct.pack("<IIQQQQQQ", 4, 4, start, _BASE + start, _BASE + start, len(notes), len(notes), 4)
    return (ident + header + load + note + notes).ljust(_CODE, b"\0") + content


def _pvh(code: str) -> bytes:
    """Return a 32-bit PVH guest; Xen starts it, or a file in the place of hvmloader, with paging off."""
    notes = _note(_PHYS32_ENTRY, struct.pack("<I", _BASE + _CODE))
    start, content = 52 + 2 * 32, bytes.fromhex(code)
    size = _CODE + len(content)
    ident = b"\x7fELF\x01\x01\x01" + bytes(9)
    header = struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, _BASE + _CODE, 52, 0, 0, 52, 32, 2, 0, 0, 0)
    load = struct.pack("<IIIIIIII", 1, 0, _BASE, _BASE, size, _SIZE, 7, 0x1000)
    note = struct.pack("<IIIIIIII", 4, start, _BASE + start, _BASE + start, len(notes), len(notes), 4, 4)
    return (ident + header + load + note + notes).ljust(_CODE, b"\0") + content


def _reason(number: int) -> str:
    return struct.pack("<I", number).hex()


def _pvh_shutdown(number: int, before: str = "") -> str:
    length = len(bytes.fromhex(before + _PVH_SHUTDOWN.format(reason="00" * 4)))
    address = struct.pack("<I", _BASE + _CODE + length).hex()
    return before + _PVH_SHUTDOWN.format(reason=address) + _reason(number)


def _spin(turns: int, loop: str) -> str:
    """Return code that only takes time, about a second for 6e8 turns on a fast host."""
    return "b9" + struct.pack("<I", turns).hex() + loop


#: The guests by their names: ``KIND-crash`` crashes at once, ``KIND-later`` after a while, ``KIND-wait``
#: never ends, ``KIND-poweroff`` ends as it should; ``pv-undumpable`` crashes, and cannot be dumped.
GUESTS = {
    "pv-crash": _pv(_PV_PAGES + _PV_SHUTDOWN + _reason(_CRASH)),
    "pv-later": _pv(_spin(600_000_000, "ffc9 75fc") + _PV_PAGES + _PV_SHUTDOWN + _reason(_CRASH)),
    "pv-wait": _pv(_PV_WAIT),
    "pv-poweroff": _pv(_PV_SHUTDOWN + _reason(_POWEROFF)),
    "pv-undumpable": _pv(_PV_SHUTDOWN + _reason(_CRASH)),
    "pvh-crash": _pvh(_pvh_shutdown(_CRASH)),
    "pvh-later": _pvh(_pvh_shutdown(_CRASH, _spin(600_000_000, "49 75fd"))),
    "pvh-wait": _pvh(_PVH_WAIT),
    "pvh-poweroff": _pvh(_pvh_shutdown(_POWEROFF)),
}
