"""Fixtures of the shims' tests: domains, and capability records without an emulator."""

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from msgspec.structs import replace

from onpanic.probe import CapabilityRecord
from onpanic.probe.api import record_from
from onpanic.probe.conversation.recording import load
from onpanic.probe.record.capability_record import Notifier, NotifierModel

Until = Callable[[Callable[[], object]], None]

RECORDINGS = Path(__file__).parent.parent / "recordings"


@pytest.fixture(scope="session")
def until() -> Until:
    """Return a function that waits until a condition holds, for at most a minute."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, "it did not happen within a minute"
            time.sleep(0.01)

    return wait


@pytest.fixture(scope="session")
def recorded() -> Callable[..., CapabilityRecord]:
    """Return a function that makes a capability record from a recording, by default one of QEMU 1.7.

    Its machine type, target and notifier can be replaced.
    """

    @cache
    def read(name: str) -> CapabilityRecord:
        return record_from(load(RECORDINGS / f"{name}.jsonl").conversations, ["qemu"], 0, recorded=True)

    def record(
        machine: str = "pc",
        target: str = "x86_64",
        model: NotifierModel | None = "isa",
        name: str = "qemu-1.7.0",
    ) -> CapabilityRecord:
        found = read(name)
        notifier = Notifier(model, 1) if model else None
        first = replace(found.machines[0], name=machine, aliases=[], notifier=notifier)
        return replace(found, emulator=replace(found.emulator, target=target), machines=[first])

    return record


@pytest.fixture(scope="session")
def record(recorded: Callable[..., CapabilityRecord]) -> CapabilityRecord:
    """Return the capability record of an x86 QEMU whose notifier works."""
    return recorded()


@pytest.fixture(scope="session")
def domain() -> Callable[..., str]:
    """Return a function that writes a domain's XML with the given lines in it."""

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
