"""Reading an emulator's command line: which machine type, which devices.

`onpanic-qemu` uses this module for every command line before it executes the emulator, so it
imports little.
"""

from collections.abc import Sequence

from onpanic.probe.emulator.option_value import json_members

__all__ = ("adds_device", "device_type", "machine_type", "option_values")


def option_values(argv: Sequence[str], *names: str) -> list[str]:
    """Return the values of options, e.g. ``option_values(argv, "machine", "M")``, in order."""
    flags = {f"{dashes}{name}" for name in names for dashes in ("-", "--")}
    return [value for flag, value in zip(argv, argv[1:], strict=False) if flag in flags]


def machine_type(argv: Sequence[str]) -> str | None:
    """Return the machine type or alias that a command line names, None for the emulator's default."""
    name = None
    for value in option_values(argv, "machine", "M"):
        if value.startswith("{"):
            name = _member(value, "type") or name
            continue
        for position, part in enumerate(value.split(",")):
            key, equals, word = part.partition("=")
            if position == 0 and not equals:
                name = key
            elif key == "type":
                name = word
    return name


def device_type(value: str) -> str:
    """Return the type in the value of ``-device``, in either of its forms; empty if it has none."""
    if value.startswith("{"):
        return _member(value, "driver")
    first, *rest = value.split(",")
    if "=" not in first:
        return first
    return next((part[7:] for part in (first, *rest) if part.startswith("driver=")), "")


def adds_device(argv: Sequence[str], types: Sequence[str]) -> bool:
    """Return whether a command line adds a device of one of these types."""
    return any(device_type(value) in types for value in option_values(argv, "device"))


def _member(value: str, name: str) -> str:
    return str(json_members(value).get(name, ""))
