"""What QEMU knows of a panic beside the fact: the members of GUEST_PANICKED (QAPI's run-state.json)."""

import json
from collections.abc import Mapping
from typing import Any

from onpanic.probe.foreign import printable

__all__ = ("details", "parsed")

_LONGEST = 500  # characters
# Plain numbers to people; all others are bit patterns
_DECIMAL = ("core",)


def parsed(text: str | None) -> dict[str, Any]:
    """Return an event's members; none if they cannot be read."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def details(data: Mapping[str, Any]) -> str:
    """Return what is known of a panic, as one line; empty if nothing is.

    That is for example ``s390 core=0 psw-mask=0x… reason=disabled-wait``, or of a Windows guest
    ``hyper-v arg1=0xd1 …``, whose first argument is the bugcheck code.

    :param data: The event's members.
    """
    info = data.get("info")
    if not isinstance(info, Mapping):
        return ""
    words = [str(info.get("type", "unknown"))]
    words += [f"{name}={_number(name, value)}" for name, value in info.items() if name != "type"]
    return printable(" ".join(words), _LONGEST)


def _number(name: str, value: Any) -> str:
    if isinstance(value, int) and name not in _DECIMAL:
        return hex(value)
    return str(value)
