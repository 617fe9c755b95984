"""A record's file is named after its build."""

from collections.abc import Iterator

from onpanic.probe.record import CapabilityRecord

from ..identity import build_name


def check(name: str, record: CapabilityRecord) -> Iterator[str]:
    """Yield the name that a file should have; a variant may follow it."""
    expected = build_name(record.emulator)
    if name != expected and not name.startswith(f"{expected}+"):
        yield f"it is of {expected}: name it so"
