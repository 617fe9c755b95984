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
from onpanic.probe.emulator.command_line import X86
from onpanic.probe.emulator.notifier_models import NOTIFIER_MODELS, NotifierModel
from onpanic.probe.facts import NOTIFIER_QUESTIONS, Fact
from onpanic.probe.record.capability_record import MachineRecord, Notifier

Until = Callable[[Callable[[], object]], None]

RECORDINGS = Path(__file__).parent.parent / "recordings"

TYPES = {"isa": "pvpanic", "pvpanic": "pvpanic-pci"}


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

    Its machine type, target and notifier can be replaced.  What is known is about that notifier, and about
    those in `working`, with the same facts; of the others nothing is known.
    """

    @cache
    def read(name: str) -> CapabilityRecord:
        return record_from(load(RECORDINGS / f"{name}.jsonl").conversations, ["qemu"], 0, recorded=True)

    def record(
        machine: str = "pc",
        target: str = "x86_64",
        model: NotifierModel | None = "isa",
        name: str = "qemu-1.7.0",
        working: tuple[NotifierModel, ...] = (),
    ) -> CapabilityRecord:
        found = read(name)
        first = found.machines[0]
        notifiers = [entry(first, one, target, known=one in (model, *working)) for one in NOTIFIER_MODELS]
        first = replace(first, name=machine, aliases=[], notifier=model, notifiers=notifiers)
        types = {f"{name}-type": Fact("yes", "introspected", "listed") for name in TYPES.values()}
        return replace(
            found,
            emulator=replace(found.emulator, target=target),
            machines=[first],
            facts=found.facts | types,
        )

    def entry(machine: MachineRecord, model: NotifierModel, target: str, *, known: bool) -> Notifier:
        isa = machine.notifiers[0]
        assert isa.model == "isa"
        if known:
            return replace(isa, model=model, type=TYPES.get(model))
        absent = model == "isa" and target not in X86
        fact = Fact("no", "observed", "no bus") if absent else Fact("unknown", None, "not asked")
        return replace(isa, model=model, type=None, facts=dict.fromkeys(NOTIFIER_QUESTIONS, fact))

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
