"""Code for the guest: images of a few instructions, and the memory file that an emulator loads them from.

Some notifiers have no register that a monitor could write: the guest's CPU must execute an
instruction.  Each image replaces the firmware, executes it, and then stores a word at
`MARKER` in guest memory.  A marker without an event proves that the instruction reported nothing.
"""

import contextlib
import os
import struct
from typing import Literal

__all__ = (
    "BOOT_IMAGES",
    "FAULTED",
    "MARKER",
    "PASSED",
    "BootImage",
    "ImageOption",
    "checkstop_image",
    "hyperv_crash_image",
    "os_term_image",
)

#: Where an emulator opens an image, without its number.
BOOT_IMAGES = "/proc/self/fd/"

#: The options of an emulator that load an image.
ImageOption = Literal["-bios", "-kernel"]

#: Guest-physical address of the word that shows how far the code got.
MARKER = 0x7000

#: Values of that word: the code went on after the instruction; a CPU exception ended it there.
PASSED, FAULTED = 1, 2

_BIOS = 0x10000  # bytes; x86 machines take multiples of 64 KiB, and map the last of them at f000:0000
_RESET_VECTOR = 0xFFF0
_VECTORS = 14  # up to 13, the general protection fault
_CRASH_PARAMETERS, _CRASH_CONTROL = 0x40000100, 0x40000105
_CRASH_NOTIFY = 1 << 63
_OS_TERM = 0x201F  # the token of QEMU's RTAS call ibm,os-term
_TEXT = b"no operating system\0"


class BootImage:
    """Firmware in a file that exists only in memory.  The emulator inherits it, and opens it by its number.

    :param content: The firmware.
    :param option: The option that loads it; ``-kernel`` for machine types that take no firmware.
    :raise OSError: When no descriptor is left.
    """

    def __init__(self, content: bytes, option: ImageOption = "-bios") -> None:
        self._option = option
        self._fd = os.memfd_create("onpanic-boot-image")
        try:
            with open(self._fd, "wb", closefd=False) as file:
                file.write(content)
        except BaseException:
            self.close()
            raise

    @property
    def options(self) -> list[str]:
        """The emulator's command line options."""
        return [self._option, f"{BOOT_IMAGES}{self._fd}"]

    @property
    def pass_fds(self) -> tuple[int, ...]:
        """The file descriptors that the emulator must inherit."""
        return (self._fd,)

    def close(self) -> None:
        """Close the file.  Never raises."""
        with contextlib.suppress(OSError):
            os.close(self._fd)


def hyperv_crash_image() -> bytes:
    """Return x86 firmware that reports a crash as Windows does.

    The registers are those of the Hyper-V Top Level Functional Specification's "Guest Crash Enlightenment".
    It writes the five parameters and then the control register.  A CPU without these registers raises
    an exception instead, which the image handles: the marker is then `FAULTED`.
    """
    parameters = b"".join(_wrmsr(_CRASH_PARAMETERS + n, 0x6F6E7000 + n) for n in range(5))  # "onp"
    report = parameters + _wrmsr(_CRASH_CONTROL, _CRASH_NOTIFY)
    load_table = b"\x2e\x0f\x01\x1e"  # lidt cs:[...], whose 16-bit offset follows
    passed, faulted = _x86_end(PASSED), _x86_end(FAULTED)
    handler = len(load_table) + 2 + len(report) + len(passed)
    table = handler + len(faulted)
    vectors = struct.pack("<HH", handler, 0xF000) * _VECTORS
    register = struct.pack("<HI", len(vectors) - 1, 0xF0000 + table)
    code = (
        load_table + struct.pack("<H", table + len(vectors)) + report + passed + faulted + vectors + register
    )
    to_code = b"\xea\x00\x00\x00\xf0"  # jmp f000:0000
    return (code.ljust(_RESET_VECTOR, b"\xf4") + to_code).ljust(_BIOS, b"\xf4")


def os_term_image() -> bytes:
    """Return firmware for pseries that makes the RTAS call ibm,os-term.

    QEMU loads it at 0 and enters it at 0x100.  An RTAS call is the hypercall H_RTAS (0xf000) with the address
    of a block: token, number of arguments and of results, arguments, results (Power Architecture Platform
    Reference).
    """
    block = struct.pack(">5I", _OS_TERM, 1, 1, 0x20, 0xFFFFFFFF)
    code = (
        0x3C600000,  # lis r3,0
        0x6063F000,  # ori r3,r3,0xf000
        0x38800000,  # li r4,0: the block
        0x44000022,  # sc 1
        *_power_mark(PASSED),
        0x48000000,  # b .
    )
    return (block.ljust(0x20, b"\0") + _TEXT).ljust(0x100, b"\0") + _power(*code)


def checkstop_image() -> bytes:
    """Return firmware for powernv that causes a checkstop: a load from where there is nothing.

    QEMU loads it at 0 and enters it at 0x10.  Machine checks are disabled after a reset, so one stops the
    CPU.  The marker is `FAULTED` before the load, and `PASSED` where the load did nothing.
    """
    code = (
        *_power_mark(FAULTED),
        0x3C60FFFF,  # lis r3,-1
        0x80830000,  # lwz r4,0(r3)
        *_power_mark(PASSED),
        0x48000000,  # b .
    )
    return bytes(0x10) + _power(*code)


def _power_mark(value: int) -> tuple[int, int]:
    """Return the PowerPC instructions that store the marker: li r5,value; stw r5,MARKER(0)."""
    return 0x38A00000 | value, 0x90A00000 | MARKER


def _power(*instructions: int) -> bytes:
    """Return the code of PowerPC instructions, big-endian."""
    return struct.pack(f">{len(instructions)}I", *instructions)


def _wrmsr(register: int, value: int) -> bytes:
    """Return 16-bit x86 code that writes a model-specific register."""
    load = struct.pack(
        "<2sI2sI2sI", b"\x66\xb9", register, b"\x66\xb8", value & 0xFFFFFFFF, b"\x66\xba", value >> 32
    )
    return load + b"\x0f\x30"


def _x86_end(value: int) -> bytes:
    """Return 16-bit x86 code that stores the marker and halts."""
    return struct.pack("<2sHH", b"\xc7\x06", MARKER, value) + b"\xf4\xeb\xfd"
