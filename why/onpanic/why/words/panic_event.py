"""A guest's last words in QEMU's event about its panic, or in the line that libvirt logs about it.

Sources: GuestPanicInformation in QAPI's run-state.json; Linux's hyperv_report_panic; libvirt's
qemu_monitor.c.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

import msgspec

from onpanic.core.untrusted import printable
from onpanic.why.windows.bugcheck_names import bugcheck_details, bugcheck_name, bugcheck_reason
from onpanic.why.words.last_words import LastWords
from onpanic.why.words.s390_wait import S390_REASONS, psw_details, reason_in_words, wait_notes
from onpanic.why.words.sev_codes import sev_reason

__all__ = ("EVENT_KINDS", "panic_code", "with_event", "words_from_log", "words_of_event")

#: What `LastWords.kind` is of an event that has a report.
EVENT_KINDS = ("bugcheck", *S390_REASONS, "tdx", "sev", "other")

_WORD_LIMIT, _MESSAGE_LIMIT = 40, 200  # characters
_BUGCHECK_LIMIT = 2**32
# Bits 56 to 63 of the guest OS ID: open source, and Linux; bits 48 to 55 are the distribution's
_LINUX = 0x81
_PAGE = 4096  # Hyper-V's
_GPA_VALID = 1 << 63  # of TDX's error code

_UNCLEAR = "this is the bugcheck of a Windows, or an error of another system with Hyper-V's crash registers"
_CLAIM = "the message is the guest's claim; do not trust it"
_LINUX_MESSAGE = "the kernel's message is in the guest's memory, at the page that the details name"

_LOG_PANIC = re.compile(r"^(?:[0-9:. +-]{20,40}: )?panic ([\w-]{1,40}): (.{0,1000})", re.ASCII)
_LOG_START = re.compile(r"^[0-9:. +-]{20,40}: starting up", re.ASCII)
_LOG_MEMBER = re.compile(r"([\w-]{1,40})='([^']{0,200})'", re.ASCII)


def panic_code(info: Mapping[str, Any]) -> str:
    """Return the code of a panic; empty if it has none.

    It is the bugcheck code of Windows (``0xd1``), the reason of s390x (``disabled-wait``), the error code of
    TDX, or the set and the code of SEV (``0x1:0x2``).

    :param info: The member of that name of GUEST_PANICKED.
    """
    kind = info.get("type")
    if kind == "hyper-v":
        code = _bugcheck(info)
        return hex(code) if code else ""
    if kind == "s390":
        reason = info.get("reason")
        return printable(reason, _WORD_LIMIT) if isinstance(reason, str) else ""
    names = {"tdx": ("error-code",), "sev": ("set", "code")}.get(kind if isinstance(kind, str) else "", ())
    numbers = [number for name in names if _is_register(number := info.get(name))]
    return ":".join(map(hex, numbers)) if len(numbers) == len(names) else ""


def words_of_event(info: Mapping[str, Any]) -> LastWords:
    """Return what QEMU's event says about a panic.

    :param info: The member of that name of GUEST_PANICKED; empty if the event has none.
    """
    kind = info.get("type")
    if kind == "hyper-v":
        return _hyper_v(info)
    if kind == "s390":
        return _s390(info)
    if kind == "tdx":
        return _tdx(info)
    if kind == "sev":
        return _sev(info)
    return LastWords(source="event", panicked=True)


def with_event(words: LastWords, event: LastWords) -> LastWords:
    """Return last words that were read from a guest, with what an event about the panic says.

    :param words: What was read from its memory.  If that tells of a panic, the event adds details only.
    :param event: See `words_of_event` and `words_from_log`.
    """
    details = {**event.details, **words.details}
    if words.panicked and words.reason:
        return msgspec.structs.replace(words, details=details)
    return msgspec.structs.replace(
        words,
        guest=event.guest if words.guest == "unknown" else words.guest,
        architecture=words.architecture or event.architecture,
        release=words.release or event.release,
        panicked=True,
        kind=event.kind,
        reason=event.reason,
        details=details,
        notes=(*event.notes, *words.notes),
    )


def words_from_log(text: str) -> LastWords | None:
    """Return what libvirt's log of a QEMU says about the last panic since QEMU was started; None if nothing.

    A line is, for example, ``2026-11-26 15:06:23.123+0000: panic hyper-v: arg1='0xd1', arg2='0x0', …``.

    :param text: The log, or its end.
    """
    for line in reversed(text.splitlines()):
        if found := _LOG_PANIC.match(line):
            return words_of_event({"type": found[1], **dict(_members(found[2]))})
        if _LOG_START.match(line):
            break
    return None


def _members(text: str) -> Iterator[tuple[str, int | str]]:
    for name, value in _LOG_MEMBER.findall(text):
        if name == "type":
            continue
        number = re.fullmatch(r"0x[0-9a-f]{1,16}|\d{1,20}", value)
        yield name, int(value, 0 if value.startswith("0x") else 10) if number else value


def _bugcheck(info: Mapping[str, Any]) -> int:
    """Return the bugcheck code in the crash registers of Hyper-V; 0 if there is none.

    Linux writes an error code instead, then its guest OS ID, which no parameter of a bugcheck is: it is not
    an address that a CPU accepts.  With a message, it writes zeros.
    """
    code = info.get("arg1")
    if not (_is_register(code) and 0 < code < _BUGCHECK_LIMIT):
        return 0
    return 0 if _from_linux(info) else code


def _from_linux(info: Mapping[str, Any]) -> bool:
    system = info.get("arg2")
    return _is_register(system) and system >> 56 == _LINUX


def _hyper_v(info: Mapping[str, Any]) -> LastWords:
    registers = [value for number in range(1, 6) if _is_register(value := info.get(f"arg{number}"))]
    if len(registers) != 5:
        return LastWords(source="event", panicked=True)
    code, *parameters = registers
    if _from_linux(info):
        version = parameters[0] >> 16 & 0xFFFF_FFFF
        return LastWords(
            guest="linux",
            release=f"{version >> 16}.{version >> 8 & 0xFF}.{version & 0xFF}",
            source="event",
            panicked=True,
            kind="other",
            details={
                "error code": f"{code:#x}",
                "program counter": f"{parameters[1]:#x}",
                "register": f"{parameters[2]:#x}",
                "stack pointer": f"{parameters[3]:#x}",
            },
        )
    address, length = parameters[2:]
    if not any((code, *parameters[:2])) and address and 0 < length <= _PAGE:
        return LastWords(
            guest="linux",
            source="event",
            panicked=True,
            kind="other",
            details={"message at": f"{address:#x}", "message length": str(length)},
            notes=(_LINUX_MESSAGE,),
        )
    if not _bugcheck(info):
        details = {f"arg{number}": f"{value:#x}" for number, value in enumerate((code, *parameters), 1)}
        return LastWords(source="event", panicked=True, kind="other", details=details)
    known = bool(bugcheck_name(code))
    return LastWords(
        guest="windows" if known else "unknown",
        source="event",
        panicked=True,
        kind="bugcheck" if known else "other",
        reason=bugcheck_reason(code),
        details=bugcheck_details(code, parameters),
        notes=() if known else (_UNCLEAR,),
    )


def _s390(info: Mapping[str, Any]) -> LastWords:
    reason = info.get("reason")
    core, mask, address = info.get("core"), info.get("psw-mask"), info.get("psw-addr")
    details = psw_details(mask, address) if _is_register(mask) and _is_register(address) else {}
    if _is_register(core):
        details = {"core": str(core), **details}
    return LastWords(
        architecture="s390x",
        source="event",
        panicked=True,
        kind=reason if reason in S390_REASONS else "other",
        reason=reason_in_words(reason) if isinstance(reason, str) else "",
        details=details,
        notes=wait_notes(address) if reason == "disabled-wait" and _is_register(address) else (),
    )


def _tdx(info: Mapping[str, Any]) -> LastWords:
    code, message, page = info.get("error-code"), info.get("message"), info.get("gpa")
    details = {}
    if _is_register(code):
        details["error code"] = f"{code & ~_GPA_VALID:#x}"
    if _is_register(page):
        details["more at"] = f"{page:#x}"
    said = printable(message, _MESSAGE_LIMIT).strip() if isinstance(message, str) else ""
    return LastWords(
        architecture="x86_64",
        source="event",
        panicked=True,
        kind="tdx",
        reason=said or "the TDX guest reported a fatal error",
        details=details,
        notes=(_CLAIM,) if said else (),
    )


def _sev(info: Mapping[str, Any]) -> LastWords:
    group, code = info.get("set"), info.get("code")
    if not (_is_register(group) and _is_register(code)):
        return LastWords(architecture="x86_64", source="event", panicked=True, kind="sev")
    return LastWords(
        architecture="x86_64",
        source="event",
        panicked=True,
        kind="sev",
        reason=sev_reason(group, code),
        details={"set": f"{group:#x}", "code": f"{code:#x}"},
    )


def _is_register(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64
