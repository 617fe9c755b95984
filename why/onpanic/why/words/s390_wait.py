"""Why an s390x CPU has stopped for good: QEMU's reasons, and its program status word.

Sources: S390CrashReason in QAPI's run-state.json; IBM's z/Architecture Principles of Operation, "Program
Status Word"; QEMU's target/s390x/arch_dump.c for the note.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from onpanic.core.untrusted import printable
from onpanic.why.words.last_words import LastWords

__all__ = ("S390_REASONS", "psw_details", "reason_in_words", "wait_notes", "with_wait", "words_of_psw")

_REASON_WORDS = {
    "unknown": "the CPU cannot go on, for a reason that QEMU does not name",
    "disabled-wait": "disabled wait: the guest has stopped its CPU for good",
    "extint-loop": "loop of external interrupts: the handler of timer interrupts does not switch them off",
    "pgmint-loop": "loop of program interrupts: the address of their handler is invalid",
    "opint-loop": "loop of operation exceptions: their handler begins with an invalid instruction",
}

#: S390CrashReason.
S390_REASONS = tuple(_REASON_WORDS)

_WORD_LIMIT = 40  # characters
_WAIT = 1 << 49
_WAKING = 1 << 57 | 1 << 56 | 1 << 50  # interrupts of I/O, external ones, machine checks
_SHUTDOWN = 0xFFF  # the address with which QEMU takes a disabled wait for a shutdown
_PSW_OFFSET = 112  # in NT_PRSTATUS

_LINUX_ADDRESS = "Linux puts the address of the code that gave up into the PSW, other systems a code"
_NO_ADDRESS = "address 0 is what QEMU's boot firmware ends with when it cannot boot"


class Psw(NamedTuple):
    """A program status word.

    :param mask: Its first half.
    :param address: The address of the next instruction, or a code of the program that waits.
    """

    mask: int
    address: int

    @property
    def disabled_wait(self) -> bool:
        """Whether the CPU waits and nothing can wake it, other than after a shutdown."""
        return bool(self.mask & _WAIT) and not self.mask & _WAKING and self.address != _SHUTDOWN


def reason_in_words(reason: str) -> str:
    """Return one of `S390_REASONS` in words; another one as it is."""
    return _REASON_WORDS.get(reason) or printable(reason, _WORD_LIMIT)


def psw_details(mask: int, address: int) -> dict[str, str]:
    """Return a program status word as `LastWords.details`."""
    return {"psw mask": f"{mask:#018x}", "psw address": f"{address:#018x}"}


def wait_notes(address: int) -> tuple[str, ...]:
    """Return what the address of a disabled wait tells, as `LastWords.notes`."""
    return (_LINUX_ADDRESS if address else _NO_ADDRESS,)


def words_of_psw(statuses: Sequence[bytes]) -> Psw | None:
    """Return the program status word of the first CPU in a disabled wait; of the first CPU if none is.

    :param statuses: The content of each CPU's NT_PRSTATUS, as in a dump of an s390x guest.
    """
    words = [
        Psw(*struct.unpack_from(">QQ", status, _PSW_OFFSET))
        for status in statuses
        if len(status) >= _PSW_OFFSET + 16
    ]
    return next((psw for psw in words if psw.disabled_wait), words[0] if words else None)


def with_wait(words: LastWords, statuses: Sequence[bytes]) -> LastWords:
    """Return last words with the state of the CPUs of an s390x guest, if its log told of no panic.

    :param words: What else was read.
    :param statuses: See `words_of_psw`.
    """
    psw = None if words.panicked else words_of_psw(statuses)
    if psw is None:
        return words
    details = {**words.details, **psw_details(*psw)}
    if not psw.disabled_wait:
        return msgspec.structs.replace(words, details=details)
    return msgspec.structs.replace(
        words,
        panicked=True,
        kind="disabled-wait",
        reason=reason_in_words("disabled-wait"),
        details=details,
        notes=(*words.notes, *wait_notes(psw.address)),
    )
