"""A record's file is named after its build."""

from collections.abc import Iterator

from onpanic.probe.record import CapabilityRecord

from ..identity import build_name


def check(name: str, record: CapabilityRecord) -> Iterator[str]:
    """Yield the name that a file should have; more may follow it."""
    expected = build_name(record.emulator)
    if not name.startswith(expected):
        yield f"it is of {expected}: name it so"
