"""What tests of the shims share: domains, records of emulators without starting one, and played guests."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from msgspec.structs import replace

from onpanic.probe import CapabilityRecord
from onpanic.probe.api import read
from onpanic.probe.record import Notifier, NotifierModel
from onpanic.probe.recording import load

RECORDINGS = Path(__file__).parent.parent / "recordings"


@pytest.fixture(scope="session")
def recorded() -> Callable[..., CapabilityRecord]:
    """Give a function to the record of an emulator, made from a recording of QEMU 1.7 unless said otherwise.

    Its machine type, target and notifier can be others than were recorded.
    """

    @cache
    def told(name: str) -> CapabilityRecord:
        return read(load(RECORDINGS / f"{name}.jsonl").conversations, ["qemu"], 0, recorded=True)

    def record(
        machine: str = "pc",
        target: str = "x86_64",
        model: NotifierModel | None = "isa",
        name: str = "qemu-1.7.0",
    ) -> CapabilityRecord:
        found = told(name)
        notifier = Notifier(model, 1) if model else None
        first = replace(found.machines[0], name=machine, aliases=[], notifier=notifier)
        return replace(found, emulator=replace(found.emulator, target=target), machines=[first])

    return record


@pytest.fixture(scope="session")
def record(recorded: Callable[..., CapabilityRecord]) -> CapabilityRecord:
    """Return the record of an x86 QEMU whose notifier works."""
    return recorded()


@pytest.fixture(scope="session")
def domain() -> Callable[..., str]:
    """Give a function that returns a domain's XML with something in it, a line each."""

    def xml(
        *lines: str,
        devices: str = "<emulator>/nowhere/qemu</emulator>",
        kind: str = "kvm",
        arch: str = "x86_64",
        machine: str = "pc",
        acpi: bool = True,
    ) -> str:
        return "\n".join(
            [
                f"<domain type='{kind}' id='7'>",
                "  <name>guest</name>",
                "  <!-- <on_crash>destroy</on_crash> -->",
                "  <os>",
                f"    <type arch='{arch}' machine='{machine}'>hvm</type>",
                "  </os>",
                *(["  <features>", "    <acpi/>", "  </features>"] if acpi else []),
                *(f"  {line}" for line in lines),
                "  <devices>",
                f"    {devices}",
                "  </devices>",
                "</domain>",
                "",
            ]
        )

    return xml
