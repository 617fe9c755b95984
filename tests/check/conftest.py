"""What tests of the check share: records that are made up, fact by fact."""

from collections.abc import Callable
from typing import Any

import pytest

from onpanic.probe import CapabilityRecord
from onpanic.probe.facts import Fact
from onpanic.probe.record.capability_record import Emulator, MachineRecord, Notifier, OnPanic, Probed

#: A machine type on which all is well.
GOOD = {
    "builtin-pvpanic": "no",
    "pvpanic-attachable": "yes",
    "panic-reported": "yes",
    "panic-stops-guest": "yes",
    "cont-after-panic": "yes",
    "acpi-exposes-pvpanic": "unknown",
}
EMULATOR = {"set-action-command": "yes", "guest-panicked-event": "yes"}


@pytest.fixture(scope="session")
def machine() -> Callable[..., MachineRecord]:
    """Return a function that makes a machine type.

    The facts that differ from a good one's are given, with ``_`` for ``-``.
    """

    def make(name: str = "pc", mask: int | None = 3, model: Any = "isa", **facts: Any) -> MachineRecord:
        rest = {key: facts.pop(key) for key in ("started", "problem", "default") if key in facts}
        answers = GOOD | {fact.replace("_", "-"): answer for fact, answer in facts.items()}
        return MachineRecord(
            name=name,
            aliases=[],
            default=rest.pop("default", False),
            facts={fact: Fact(answer, None, f"seen of {fact}") for fact, answer in answers.items()},
            on_panic=OnPanic({}, {}),
            notifier=Notifier(model, mask) if model else None,
            **rest,
        )

    return make


@pytest.fixture(scope="session")
def record(machine: Callable[..., MachineRecord]) -> Callable[..., CapabilityRecord]:
    """Return a function that makes a record of machine types; of a good one, if none is given."""

    def make(*machines: MachineRecord, target: str = "x86_64", **facts: str) -> CapabilityRecord:
        answers = EMULATOR | {fact.replace("_", "-"): answer for fact, answer in facts.items()}
        return CapabilityRecord(
            emulator=Emulator(["/usr/bin/qemu-system-x86_64"], target, "9.9.9", "Made 1"),
            facts={fact: Fact(answer, None, f"seen of {fact}") for fact, answer in answers.items()},  # type: ignore[arg-type]
            machines=list(machines or (machine(),)),
            probed=Probed("2026-01-01T00:00:00Z", "nobody", 0),
        )

    return make
