"""Guests for Xen of about 1 KB: ELF files that crash, end or wait, and do nothing else.

A guest ends by the hypercall ``sched_op`` (29) with ``SCHEDOP_shutdown`` (2) and a pointer to the reason
(public/sched.h of Xen): that is all that a panicked kernel does, too.
"""

import struct
from typing import Literal

__all__ = ("CRASH", "POWEROFF", "ImageKind", "ending_image", "waiting_image")

#: Reasons of SCHEDOP_shutdown.
POWEROFF, CRASH = 0, 3

#: A PV guest's image has 64 bits; a PVH guest's has 32, with paging off.
ImageKind = Literal["pv", "pvh"]

# The address that the file is loaded at; the offsets of the code, of the page with hypercalls and of the end
# of the stack; and what the guest has beside the file
_BASE, _CODE, _CALLS, _STACK, _SIZE = 0x100000, 0x400, 0x1000, 0x2FF0, 0x5000

# Notes by which Xen knows a PV guest's entry point, and a PVH guest's (public/elfnote.h)
_ENTRY, _HYPERCALL_PAGE, _VIRT_BASE, _XEN_VERSION, _GUEST_OS, _LOADER, _PAE, _FEATURES, _PHYS32_ENTRY = (
    *(1, 2, 3, 5, 6, 8, 9, 10, 18),
)

# PV: sched_op is called by syscall, with the command in edi and a pointer in rsi
_PV_SHUTDOWN = "b8 1d000000  bf 02000000  48 8d35 04000000  0f05  ebfe"  # mov, mov, lea rsi: behind the jmp
_PV_WAIT = "b8 1d000000  bf 01000000  31f6  0f05  ebf0"  # SCHEDOP_block, again and again

# PVH: Xen writes the hypercalls that fit the processor to a page, whose address it gets in the MSR that
# CPUID 0x40000002 names; sched_op, the 29th of 32 bytes each, has the command in ebx and a pointer in ecx
_PVH_START = (
    f"bc {struct.pack('<I', _BASE + _STACK).hex()}  b8 02000040  0fa2  89d9"  # mov esp; cpuid; mov ecx, ebx
    f"b8 {struct.pack('<I', _BASE + _CALLS).hex()}  31d2  0f30"  # mov eax; xor edx, edx; wrmsr
)
_PVH_CALL = f"b8 {struct.pack('<I', _BASE + _CALLS + 29 * 32).hex()}  ffd0"  # mov eax; call eax
_PVH_SHUTDOWN = f"bb 02000000  b9 {{reason}}  {_PVH_CALL}  ebfe"
_PVH_WAIT = f"bb 01000000  31c9  {_PVH_CALL}  ebf0"

# Tells the toolstack where the guest's pages are, or it cannot dump its memory: maps the shared info at
# 0x102000 (update_va_mapping), and copies max_pfn, p2m_vaddr and p2m_cr3 from the start info (at rsi)
_PV_PAGES = (
    "4889f3  bf 00201000  488b7328  4883ce07  ba 02000000  b8 0e000000  0f05  bf 00201000"
    "488b4320  488987 100c0000  488b4b68  48898f 300c0000  488b4358  48c1e80c  488b04c1  48c1e00c"
    "488987 280c0000"
)
# The same for Xen 4.14, which reads a tree: the frames of the table of pages are copied to 0x103000, their
# frame to 0x104000, and its frame to pfn_to_mfn_frame_list_list
_PV_TREE = (
    "4889ce  48c1ee0c  488d34f1  488b81 18080000  488987 00200000  488b81 20080000  488987 180c0000"
    "488b4320  4805 ff010000  48c1e809  4889c1  4881c7 00100000  fc  f348a5"  # rep movsq
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
            _note(_HYPERCALL_PAGE, struct.pack("<Q", _BASE + _CALLS)),
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


def ending_image(kind: ImageKind, reason: int, *, dumpable: bool = True) -> bytes:
    """Return a guest that ends.

    :param kind: See `ImageKind`.
    :param reason: `CRASH` or `POWEROFF`.
    :param dumpable: False for a PV guest that does not tell where its memory is, which Xen cannot dump then.
    """
    number = struct.pack("<I", reason).hex()
    if kind == "pv":
        return _pv((_PV_PAGES + _PV_TREE if dumpable else "") + _PV_SHUTDOWN + number)
    code = _PVH_START + _PVH_SHUTDOWN
    length = len(bytes.fromhex(code.format(reason="00" * 4)))
    address = struct.pack("<I", _BASE + _CODE + length).hex()
    return _pvh(code.format(reason=address) + number)


def waiting_image(kind: ImageKind) -> bytes:
    """Return a guest that never ends."""
    return _pv(_PV_WAIT) if kind == "pv" else _pvh(_PVH_START + _PVH_WAIT)
