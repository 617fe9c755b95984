"""Events about guests: libvirt's, QEMU's, and what QEMU knows about a panic."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from onpanic.core.untrusted import printable
from onpanic.watch.rules.panic_details import PanicDetails

__all__ = ("LibvirtEvent", "event_data", "panic_details")

_DETAILS_LIMIT = 500  # characters
_WORD_LIMIT = 40  # characters
_BUGCHECK_LIMIT = 2**32
_LINUX = (
    0x81  # bits 56 to 63 of the guest OS ID: open source, and Linux; bits 48 to 55 are the distribution's
)
_DECIMAL = ("core",)  # all other numbers are bit patterns


class LibvirtEvent(msgspec.Struct, frozen=True):
    """An event from libvirt.

    :param kind: ``started``, ``suspended``, ``resumed``, ``shutdown``, ``stopped``, ``crashed``,
        ``defined`` or ``undefined`` for a lifecycle event, ``metadata``, ``reboot``, or the name of a QEMU
        event.
    :param uuid: The domain's UUID.
    :param name: The domain's name.
    :param detail: The detail of a lifecycle event.
    :param data: The members of a QEMU event.
    """

    kind: str
    uuid: str
    name: str
    detail: int = 0
    data: dict[str, Any] = {}


def event_data(text: str | None) -> dict[str, Any]:
    """Return the members of a QEMU event; none if they cannot be read.

    :param text: JSON.
    """
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def panic_details(data: Mapping[str, Any]) -> PanicDetails:
    """Return what QEMU reports about a panic; all members are empty if it reports nothing.

    The text is, for example, ``s390 core=0 psw-mask=0x… reason=disabled-wait``.

    :param data: The members of GUEST_PANICKED or GUEST_CRASHLOADED (QAPI's run-state.json).
    """
    info = data.get("info")
    if not isinstance(info, Mapping):
        return PanicDetails()
    kind = info.get("type")
    words = [str(info.get("type", "unknown"))]
    words += [f"{name}={_number(name, value)}" for name, value in info.items() if name != "type"]
    text = printable(" ".join(words), _DETAILS_LIMIT)
    if not isinstance(kind, str):
        return PanicDetails(text)
    return PanicDetails(text, printable(kind, _WORD_LIMIT), _code(kind, info))


def _code(kind: str, info: Mapping[str, Any]) -> str:
    """Return the code of a panic; empty if it has none."""
    if kind == "hyper-v":
        return _bugcheck(info.get("arg1"), info.get("arg2"))
    if kind == "s390":
        reason = info.get("reason")
        return printable(reason, _WORD_LIMIT) if isinstance(reason, str) else ""
    names = {"tdx": ("error-code",), "sev": ("set", "code")}.get(kind, ())
    numbers = [number for name in names if _is_register(number := info.get(name, ""))]
    return ":".join(map(hex, numbers)) if len(numbers) == len(names) else ""


def _bugcheck(arg1: Any, arg2: Any) -> str:
    """Return the bugcheck code in the crash registers of Hyper-V; empty if there is none.

    Linux writes the number of an exception instead, then its guest OS ID, which no parameter of a bugcheck
    is: it is not an address that a CPU accepts.  With a message, it writes zeros.
    """
    if not (_is_register(arg1) and 0 < arg1 < _BUGCHECK_LIMIT):
        return ""
    from_linux = _is_register(arg2) and arg2 >> 56 == _LINUX
    return "" if from_linux else hex(arg1)


def _is_register(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64


def _number(name: str, value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and name not in _DECIMAL:
        return hex(value)
    return str(value)
