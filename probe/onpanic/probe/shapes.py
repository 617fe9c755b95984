"""What QMP commands return, as far as facts are read from it (QEMU's QAPI schema).

An answer that does not fit is no answer: it is sorted out here, once, so that whoever
reads facts can rely on what is left.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

__all__ = ("fits",)


class _Named(msgspec.Struct):
    name: str


class _Status(msgspec.Struct):
    status: str
    running: bool


class _Target(msgspec.Struct):
    arch: str


class _Machine(msgspec.Struct, rename="kebab"):
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

_SHAPES: dict[str, Any] = {
    "cont": dict[str, Any],
    "device-list-properties": list[_Named],
    "human-monitor-command": str,
    "qom-get ioport": _Port,
    "qom-get type": str,
    "qom-list": list[_Property],
    "qom-list-types": list[_Named],
    "query-commands": list[_Named],
    "query-cpus-fast": list[Any],
    "query-events": list[_Named],
    "query-machines": list[_Machine],
    "query-pci": list[_Bus],
    "query-qmp-schema": list[_SchemaEntity],
    "query-status": _Status,
    "query-target": _Target,
}


def fits(command: str, arguments: Mapping[str, Any], value: Any) -> bool:
    """Say if a value is what a command returns; of a command that is not read, anything is.

    :param command: For example ``qom-get``.
    :param arguments: The command's arguments.
    :param value: What its ``return`` held.
    """
    key = f"{command} {arguments.get('property')}" if command == "qom-get" else command
    shape = _SHAPES.get(key)
    if shape is None:
        return True
    try:
        msgspec.convert(value, shape)
    except (msgspec.ValidationError, ValueError, OverflowError):
        return False
    return True
