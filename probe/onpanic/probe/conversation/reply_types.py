"""What QMP commands return, as far as onpanic reads it (QEMU's QAPI schema).

An answer of another type counts as none.  It is checked here, once, so that code that reads replies
need not check it.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

__all__ = ("fits",)


class _Named(msgspec.Struct):
    name: str


class _StatusInfo(msgspec.Struct):
    status: str
    running: bool


class _TargetInfo(msgspec.Struct):
    arch: str


class _MachineInfo(msgspec.Struct, rename="kebab"):
    name: str
    alias: str = ""
    is_default: bool = False


class _Property(msgspec.Struct):
    name: str
    type: str


class _SchemaEntity(msgspec.Struct, rename="kebab"):
    name: str
    meta_type: str


class _Region(msgspec.Struct):
    type: str = ""
    address: int = -1


class _PciDevice(msgspec.Struct):
    qdev_id: str = ""
    bus: int = 0
    slot: int = 0
    regions: list[_Region] = []


class _Bus(msgspec.Struct):
    devices: list[_PciDevice] = []


_Port = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]

_TYPES: dict[str, Any] = {
    "cont": dict[str, Any],
    "device-list-properties": list[_Named],
    "human-monitor-command": str,
    "qom-get dma_enabled": bool,
    "qom-get hotplugged": bool,
    "qom-get ioport": _Port,
    "qom-get type": str,
    "qom-list": list[_Property],
    "qom-list-types": list[_Named],
    "query-commands": list[_Named],
    "query-cpus-fast": list[Any],
    "query-events": list[_Named],
    "query-machines": list[_MachineInfo],
    "query-pci": list[_Bus],
    "query-qmp-schema": list[_SchemaEntity],
    "query-status": _StatusInfo,
    "query-target": _TargetInfo,
}


def fits(command: str, arguments: Mapping[str, Any], value: Any) -> bool:
    """Return whether a value has the type that a command returns; True for commands not listed here.

    :param command: For example ``qom-get``.
    :param arguments: The command's arguments.
    :param value: What the answer's ``return`` held.
    """
    key = f"{command} {arguments.get('property')}" if command == "qom-get" else command
    expected = _TYPES.get(key)
    if expected is None:
        return True
    try:
        msgspec.convert(value, expected)
    except (msgspec.ValidationError, ValueError, OverflowError):
        return False
    return True
