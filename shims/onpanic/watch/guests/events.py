"""Events about guests: libvirt's, QEMU's, and what QEMU knows about a panic."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from onpanic.core.untrusted import printable
from onpanic.watch.rules.panic_details import PanicDetails
from onpanic.why.words.panic_event import panic_code

__all__ = ("LibvirtEvent", "event_data", "panic_details")

_DETAILS_LIMIT = 500  # characters
_WORD_LIMIT = 40  # characters
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
    :param instance: Which start of the domain it is about, see `GuestState`.
    """

    kind: str
    uuid: str
    name: str
    detail: int = 0
    data: dict[str, Any] = {}
    instance: str = ""


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
    return PanicDetails(text, printable(kind, _WORD_LIMIT), panic_code(info))


def _number(name: str, value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and name not in _DECIMAL:
        return hex(value)
    return str(value)
