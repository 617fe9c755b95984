"""The QMP commands that an emulator is sent as soon as it is started.

QEMU answers them while Python is importing asyncio and the QMP client, so that neither waits for the
other.  They change nothing, and none can end the emulator.  A later `Session.ask` for one of them
returns the answer that has already come.
"""

import json
from collections.abc import Sequence
from typing import Any

from onpanic.probe.emulator.command_line import OWN_ID
from onpanic.probe.emulator.notifier_models import VMCOREINFO_TYPE

__all__ = ("FW_CFG", "OPENING_ID", "QmpCommand", "encoded", "opening_commands", "opening_messages")

#: A QMP command with its arguments.
QmpCommand = tuple[str, dict[str, Any]]

#: What the ids of these messages begin with.
OPENING_ID = "opening-"

#: The QOM path of the device that a vmcoreinfo device needs.
FW_CFG = "/machine/fw_cfg"

_OWN = f"/machine/peripheral/{OWN_ID}"
_ABOUT_EMULATOR: tuple[QmpCommand, ...] = (
    ("query-target", {}),
    ("query-machines", {}),
    ("query-commands", {}),
)
_ABOUT_MACHINE: tuple[QmpCommand, ...] = (
    ("qom-get", {"path": "/machine", "property": "type"}),
    ("qom-list", {"path": "/machine"}),
    ("qom-get", {"path": FW_CFG, "property": "dma_enabled"}),
    ("qom-get", {"path": FW_CFG, "property": "hotplugged"}),
    ("device-list-properties", {"typename": VMCOREINFO_TYPE}),
    ("qom-list", {"path": "/machine/unattached"}),
    ("qom-get", {"path": _OWN, "property": "ioport"}),
)
_EVENT_LISTS: tuple[QmpCommand, ...] = (("query-events", {}), ("query-qmp-schema", {}))


def opening_commands(*, thorough: bool, introspect_only: bool = False) -> list[QmpCommand]:
    """Return the commands that depend on no other answer.

    :param thorough: Whether this start also answers what is true of the emulator.
    :param introspect_only: Whether no panic will be made, so that the events must be listed.
    """
    return [
        *(_ABOUT_EMULATOR if thorough else ()),
        *_ABOUT_MACHINE,
        *(_EVENT_LISTS if thorough and introspect_only else ()),
    ]


def opening_messages(commands: Sequence[QmpCommand]) -> list[dict[str, Any]]:
    """Return the QMP messages of commands, the negotiation of capabilities first."""
    numbered = enumerate([("qmp_capabilities", {}), *commands] if commands else [])
    return [
        {"execute": command, **({"arguments": arguments} if arguments else {}), "id": f"{OPENING_ID}{number}"}
        for number, (command, arguments) in numbered
    ]


def encoded(commands: Sequence[QmpCommand]) -> bytes:
    """Return the messages of `opening_messages` as they are sent."""
    return b"".join(json.dumps(message).encode() + b"\r\n" for message in opening_messages(commands))
