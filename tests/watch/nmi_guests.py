"""Guests that wait, and panic when libvirt or a monitor injects an NMI: one for each model of ``<panic>``.

None of them needs KVM.  Each panics again at the next NMI, whether it was continued or reset.
"""

import struct
from pathlib import Path
from typing import NamedTuple

from onpanic.probe.emulator.notifier_models import NotifierModel

from .panicking_guests import sector

__all__ = ("READY", "NmiGuest", "nmi_guest")

#: The guest-physical address of a byte that is 1 once an NMI lets the guest panic.
READY = 0x700

# vector 2 = 0:7c02; {prepare}; READY = 1; halt: hlt; goto halt
_X86 = "fa 31c0 8ed8 c7060800027c c7060a000000 {prepare} c606000701 f4 ebfd"
# write 1 to port 0x505
_ISA = "ba0505 b001 ee"
# find 1b36:0011 on bus 0; its BAR 0 = 0xa0000, where no VGA is; enable it
_PCI_PREPARES = (
    "66bb00000080 baf80c 6689d8 66ef bafc0c 66ed 663d361b1100 7409 6681c300080000 ebe2"
    " baf80c 67668d4310 66ef bafc0c 66b800000a00 66ef baf80c 67668d4304 66ef bafc0c b80200 ef"
)
# write 1 to a000:0000
_PCI = "b800a0 8ed8 c606000001"

_DISK = "<disk type='file'><source file='{path}'/><target dev='hda' bus='ide'/></disk>"


class NmiGuest(NamedTuple):
    """A guest, and what a domain needs for it.

    :ivar emulator: The emulator's name.
    :ivar arch: libvirt's name of the architecture.
    :ivar machine: The machine type.
    :ivar mebibytes: Its memory.
    :ivar image: What it executes.
    """

    emulator: str
    arch: str
    machine: str
    mebibytes: int
    image: bytes

    def system(self, path: Path) -> str:
        """Return what ``<os>`` says besides ``<type>``.

        :param path: Where its image is.
        """
        tags = {"ppc64": "<loader type='rom'>{path}</loader>", "s390x": "<kernel>{path}</kernel>"}
        return tags.get(self.arch, "").format(path=path)

    def disk(self, path: Path) -> str:
        """Return its disk, if its image is on one."""
        return _DISK.format(path=path) if self.arch == "x86_64" else ""


def nmi_guest(model: NotifierModel) -> NmiGuest:
    """Return the guest that panics through a model of ``<panic>``; not for ``hyperv``, which needs KVM."""
    if model == "pseries":
        return NmiGuest("qemu-system-ppc64", "ppc64", "pseries", 256, _os_term())
    if model == "s390":
        return NmiGuest("qemu-system-s390x", "s390x", "s390-ccw-virtio", 16, _disabled_wait())
    prepare, report = {"isa": ("", _ISA), "pvpanic": (_PCI_PREPARES, _PCI)}[model]
    return NmiGuest("qemu-system-x86_64", "x86_64", "pc", 16, _at_vector_2(prepare, report))


def _at_vector_2(prepare: str, report: str) -> bytes:
    """Return a boot sector: a jump over the handler, the handler, which ends with iret, and the rest."""
    handler = bytes.fromhex(report + "eb00 cf")  # the jump gives QEMU time to stop the vCPU
    return sector(f"eb{len(handler):02x}" + handler.hex() + _X86.format(prepare=prepare))


def _disabled_wait() -> bytes:
    """Return a kernel for s390x whose restart new PSW, which an NMI loads, is a disabled wait."""
    image = bytes.fromhex(
        "00080000 80000010 00000000 00000000"  # 00: where to begin: at 10
        "92010700 b2b20020 00000000 00000000"  # 10: READY = 1; lpswe 0x20
        "01020001 80000000 00000000 00000000"  # 20: wait, external interrupts enabled
    )
    return image.ljust(0x1A0, b"\0") + bytes.fromhex("00020001 80000000 00000000 0000dead")


def _os_term() -> bytes:
    """Return firmware for pseries that makes the RTAS call ``ibm,os-term`` at an NMI.

    QEMU enters it at 0x100 after a reset, and at an NMI.  `READY` tells one from the other.
    """
    token = 0x201F  # of QEMU's ibm,os-term
    block = struct.pack(">5I", token, 1, 1, 0x20, 0xFFFFFFFF).ljust(0x20, b"\0")
    code = (
        0x88A00000 | READY,  # lbz r5,READY(0)
        0x28050001,  # cmplwi r5,1
        0x38A00001,  # li r5,1
        0x41820014,  # beq panic
        0x98A00000 | READY,  # stb r5,READY(0)
        0x386000E0,  # idle: li r3,0xe0: H_CEDE
        0x44000022,  # sc 1
        0x4BFFFFF8,  # b idle
        0x38A00000,  # panic: li r5,0
        0x98A00000 | READY,  # stb r5,READY(0)
        0x3C600000,  # lis r3,0
        0x6063F000,  # ori r3,r3,0xf000: H_RTAS
        0x38800000,  # li r4,0: the block
        0x44000022,  # sc 1
        0x38A00001,  # li r5,1
        0x98A00000 | READY,  # stb r5,READY(0)
        0x4BFFFFD4,  # b idle
    )
    return (block + b"onpanic\0").ljust(0x100, b"\0") + struct.pack(f">{len(code)}I", *code)
