"""Records that tests of the matrix share."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import get_args

import msgspec

from onpanic.probe.api import record_from
from onpanic.probe.conversation.recording import load
from onpanic.probe.emulator.notifier_models import NotifierModel
from onpanic.probe.facts import EMULATOR_QUESTIONS, QUESTIONS, Fact
from onpanic.probe.record.capability_record import (
    CapabilityRecord,
    Emulator,
    MachineRecord,
    Notifier,
    Probed,
    capabilities_of,
    on_panic_of,
)
from onpanic.probe.record.evidence import with_evidence

RECORDINGS = Path(__file__).parent.parent / "recordings"
RELEASES = ("qemu-1.5.3", "qemu-1.6.0", "qemu-1.7.0", "rhel-6.8-0.12.1.2")

WORKS: Mapping[str, str] = {
    "builtin-pvpanic": "no",
    "pvpanic-attachable": "yes",
    "panic-reported": "yes",
    "panic-stops-guest": "yes",
    "cont-after-panic": "yes",
    "panic-action": "pause",
    "acpi-exposes-pvpanic": "unknown",
}
ABSENT: Mapping[str, str] = {
    **dict.fromkeys(WORKS, "unknown"),
    "builtin-pvpanic": "no",
    "pvpanic-attachable": "no",
    "panic-reported": "no",
    "panic-action": "run",
    "panic-stops-guest": "no",
}
MODELS: tuple[NotifierModel, ...] = get_args(NotifierModel)


@cache
def recorded(name: str) -> CapabilityRecord:
    """Return the record of a recording, with its evidence."""
    found = load(RECORDINGS / f"{name}.jsonl")
    record = record_from(found.conversations, found.command, 0.0, recorded=True)
    return with_evidence(record, found.conversations)


def fact(answer: str, detail: str = "", *, how: str = "observed", evidence: int | None = None) -> Fact:
    """Return a fact; `how` is ignored for an unknown one."""
    return Fact(
        answer=answer,  # type: ignore[arg-type]
        how=None if answer == "unknown" else how,  # type: ignore[arg-type]
        detail=detail,
        evidence=msgspec.UNSET if evidence is None else evidence,
    )


def machine(
    name: str,
    aliases: Sequence[str] = (),
    *,
    default: bool = False,
    started: bool = True,
    mask: int | None = 3,
    how: str = "observed",
    target: str = "x86_64",
    notifiers: Sequence[Notifier] = (),
    **answers: str,
) -> MachineRecord:
    """Return a machine type whose ISA device works, except for the answers given.

    :param notifiers: Other notifiers that it has; those that are missing cannot be attached.
    """
    own = notifier("isa", name, mask=mask, how=how, target=target, **answers)
    others = {one.model: one for one in notifiers}
    entries = [
        own,
        *(others.get(model) or absent(model, name, how=how, target=target) for model in MODELS[1:]),
    ]
    builtin = _facts(how, {**WORKS, **_dashed(answers)}, "machine")
    return MachineRecord(
        name=name,
        aliases=list(aliases),
        default=default,
        facts=builtin | own.facts,
        on_panic=own.on_panic,
        notifiers=entries,
        notifier="isa",
        started=started,
        problem="" if started else "unsupported machine type",
    )


def notifier(
    model: NotifierModel,
    machine_name: str = "pc",
    *,
    mask: int | None = 3,
    how: str = "observed",
    target: str = "x86_64",
    **answers: str,
) -> Notifier:
    """Return a notifier that works, except for the answers given."""
    all_answers = {**WORKS, **_dashed(answers)}
    facts = _facts(how, all_answers, "notifier")
    builtin = _facts(how, all_answers, "machine")
    decision = on_panic_of(capabilities_of(known(), builtin | facts, target, machine_name))
    return Notifier(model, "pvpanic" if model == "isa" else None, facts, mask, decision)


def absent(
    model: NotifierModel, machine_name: str = "pc", *, how: str = "observed", target: str = "x86_64"
) -> Notifier:
    """Return a notifier that cannot be attached."""
    answers = {name.replace("-", "_"): answer for name, answer in ABSENT.items()}
    return notifier(model, machine_name, mask=None, how=how, target=target, **answers)


def _facts(how: str, answers: Mapping[str, str], scope: str) -> dict[str, Fact]:
    return {
        question.name: fact(answers.get(question.name, "unknown"), f"{question.name} on it", how=how)
        for question in QUESTIONS
        if question.scope == scope
    }


def _dashed(answers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): answer for name, answer in answers.items()}


def known() -> dict[str, Fact]:
    """Return the facts of an emulator."""
    return {name: fact("yes", how="introspected") for name in EMULATOR_QUESTIONS}


def record(
    version: str = "7.2.22",
    *machines: MachineRecord,
    package: str = "",
    emulator: str = "qemu-system-x86_64",
    target: str = "x86_64",
    at: str = "2026-11-24T00:00:00Z",
    source: str = "",
) -> CapabilityRecord:
    """Return a record of a build; with one machine type, ``pc``, if none is given."""
    return CapabilityRecord(
        emulator=Emulator([emulator], target, version, package),
        facts=known(),
        machines=list(machines) or [machine(f"pc-i440fx-{version}", ["pc"], default=True)],
        probed=Probed(at, "onpanic 0", 0.1, source),
    )
