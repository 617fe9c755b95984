"""What tests of the check share: records that are made up, fact by fact."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from onpanic.probe import CapabilityRecord
from onpanic.probe.emulator.notifier_models import NOTIFIER_MODELS
from onpanic.probe.facts import NOTIFIER_QUESTIONS, Fact, How
from onpanic.probe.record.capability_record import Emulator, MachineRecord, Notifier, OnPanic, Probed

#: A machine type on which all is well.
GOOD = {
    "builtin-pvpanic": "no",
    "pvpanic-attachable": "yes",
    "panic-reported": "yes",
    "panic-action": "pause",
    "panic-stops-guest": "yes",
    "cont-after-panic": "yes",
    "acpi-exposes-pvpanic": "unknown",
}
#: A notifier that the guest cannot have.
ABSENT = {
    "pvpanic-attachable": "no",
    "panic-reported": "no",
    "panic-action": "run",
    "panic-stops-guest": "no",
    "cont-after-panic": "unknown",
    "acpi-exposes-pvpanic": "unknown",
}
EMULATOR = {"set-action-command": "yes", "guest-panicked-event": "yes"}


def facts_of(answers: Mapping[str, str], how: How | None = None) -> dict[str, Fact]:
    return {
        name: Fact(answer, how, f"seen of {name}")  # type: ignore[arg-type]
        for name, answer in answers.items()
    }


def _dashed(answers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): answer for name, answer in answers.items()}


@pytest.fixture(scope="session")
def machine() -> Callable[..., MachineRecord]:
    """Return a function that makes a machine type.

    The facts that differ from a good one's are given, with ``_`` for ``-``.  A notifier besides the machine
    type's own, `model`, is given as ``further={"pvpanic": {"panic_reported": "no", "mask": 7}}``.
    """

    def make(
        name: str = "pc",
        mask: int | None = 3,
        model: Any = "isa",
        further: Mapping[str, Mapping[str, Any]] | None = None,
        **facts: Any,
    ) -> MachineRecord:
        rest = {key: facts.pop(key) for key in ("started", "problem", "default") if key in facts}
        answers = GOOD | _dashed(facts)

        def notifier(kind: Any) -> Notifier:
            given = dict((further or {}).get(kind, {}))
            bits = mask if kind == model else given.pop("mask", None)
            known = answers if kind == model else (GOOD if kind in (further or {}) else ABSENT)
            if kind != "isa" and "acpi_exposes_pvpanic" not in facts:  # guests find it in another way
                given["acpi_exposes_pvpanic"] = "no"
            about = {n: a for n, a in (known | _dashed(given)).items() if n in NOTIFIER_QUESTIONS}
            elsewhere = known is ABSENT and kind not in ("isa", "pvpanic")  # another architecture's
            found = facts_of(about, "documented" if elsewhere else None)
            return Notifier(kind, None, found, bits, OnPanic({}, {}))

        return MachineRecord(
            name=name,
            aliases=[],
            default=rest.pop("default", False),
            facts=facts_of(answers),
            on_panic=OnPanic({}, {}),
            notifier=model if answers["pvpanic-attachable"] != "no" else None,
            notifiers=[notifier(kind) for kind in NOTIFIER_MODELS],
            **rest,
        )

    return make


@pytest.fixture(scope="session")
def record(machine: Callable[..., MachineRecord]) -> Callable[..., CapabilityRecord]:
    """Return a function that makes a record of machine types; of a good one, if none is given."""

    def make(
        *machines: MachineRecord, target: str = "x86_64", options: tuple[str, ...] = (), **facts: str
    ) -> CapabilityRecord:
        return CapabilityRecord(
            emulator=Emulator(["/usr/bin/qemu-system-x86_64", *options], target, "9.9.9", "Made 1"),
            facts=facts_of(EMULATOR | _dashed(facts)),
            machines=list(machines or (machine(),)),
            probed=Probed("2026-01-01T00:00:00Z", "nobody", 0),
        )

    return make
