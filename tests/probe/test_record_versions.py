"""Records of schema version 1, which onpanic 0.1.0 wrote, are read as records of version 2."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from onpanic.probe import CapabilityRecord, RecordError
from onpanic.probe.decision.policy import ON_PANIC
from onpanic.probe.emulator.notifier_models import NOTIFIER_MODELS
from onpanic.probe.record.capability_record import MachineRecord
from onpanic.probe.record.screen import Style, screen

TESTS = Path(__file__).parent.parent
#: Records as version 0.1.0 published them: one machine type of each kind, without the evidence.
KEPT = sorted((TESTS / "records/version-1").glob("*.json"))
PUBLISHED = sorted((TESTS.parent / "compat-matrix/records").glob("*.json"))
OLD = [path for path in (*KEPT, *PUBLISHED) if re.search(rb'"schema_version": ?1\b', path.read_bytes())]
ACTIONS = {"restart", "destroy", "preserve", "rename-restart", "pause"}

#: Version 1 accepted a policy because the architecture has a notifier, on machine types that did not start.
WRONGLY_ACCEPTED = {
    (f"qemu-system-ppc64-{build}", f"pseries-{version}")
    for build in ("5.2.0-Debian-1-5.2+dfsg-11+deb11u5", "7.2.22-Debian-1-7.2+dfsg-7+deb12u18+b3")
    for version in ("2.8", "2.9", "2.10", "2.11")
}


def fact(answer: str, detail: str = "seen", how: str | None = "observed") -> dict[str, Any]:
    """Return a fact in JSON."""
    return {"answer": answer, "how": None if answer == "unknown" else how, "detail": detail}


def old_machine(model: str | None = "isa", **facts: dict[str, Any]) -> dict[str, Any]:
    """Return a machine type as version 1 wrote it; facts have ``_`` for ``-``."""
    known = {
        "builtin-pvpanic": fact("no"),
        "pvpanic-attachable": fact("yes"),
        "panic-reported": fact("yes"),
        "panic-stops-guest": fact("yes"),
        "cont-after-panic": fact("yes"),
    } | {name.replace("_", "-"): value for name, value in facts.items()}
    return {
        "name": "pc",
        "aliases": [],
        "default": True,
        "facts": known,
        "on_panic": {"accepted": {}, "refused": {}},
        "notifier": {"model": model, "event_mask": 3} if model else None,
        "started": True,
        "problem": "",
    }


def read(machine: object) -> MachineRecord:
    """Read a record of version 1 with one machine type."""
    document = {
        "schema_version": 1,
        "emulator": {"command": [], "target": "x86_64", "version": "7.2.0", "package": ""},
        "facts": {},
        "machines": [machine],
        "probed": {"at": "", "by": "", "seconds": 1.0},
        "problems": [],
    }
    return CapabilityRecord.from_json(json.dumps(document)).machines[0]


def decided(on_panic: dict[str, Any]) -> Iterator[tuple[str, bool, tuple[bool, str]]]:
    """Yield the decisions that a machine type's record holds: value, coredump, accepted and code."""
    for value in ON_PANIC:
        accepted = on_panic["accepted"].get(value)
        if accepted:
            code = (accepted.get("needs") or {}).get("code", "")
            with_coredump = (True, code) if accepted["coredump"] else (False, "coredump-needs-action")
            yield value, False, (True, code)
            yield value, True, with_coredump
        else:
            code = on_panic["refused"][value]["code"]
            yield value, False, (False, code)
            yield value, True, (False, code if value in ACTIONS else "coredump-needs-action")


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_a_published_record_keeps_its_decisions(path: Path) -> None:
    """Each policy on each machine type has the same code as in the record, and survives rewriting."""
    data = path.read_bytes()
    record = CapabilityRecord.from_json(data)
    assert record.schema_version == 2
    assert CapabilityRecord.from_json(record.to_json()) == record
    old = json.loads(data)
    differing = {
        (path.stem, machine["name"], value, coredump): (decision.code, code)
        for machine in old["machines"]
        for value, coredump, (accepted, code) in decided(machine["on_panic"])
        if (decision := record.accepts(value, coredump=coredump, machine=machine["name"])).code != code
        or decision.accepted != accepted
    }
    assert set(differing.values()) <= {("probe-inconclusive", "")}
    assert {(stem, machine) for stem, machine, *_ in differing} == {
        one for one in WRONGLY_ACCEPTED if one[0] == path.stem
    }
    for machine in record.machines:
        own = machine.notifier_named()
        assert (own is None) == (machine.notifier is None)
        assert own is None or own.facts.items() <= machine.facts.items()


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_an_old_record_fits_the_schema_when_it_is_written_again(path: Path) -> None:
    document = json.loads(CapabilityRecord.from_json(path.read_bytes()).to_json())
    jsonschema.Draft202012Validator(CapabilityRecord.json_schema()).validate(document)


def test_a_fact_that_a_record_lacks_is_shown_as_unknown() -> None:
    """Another version of onpanic may have made it."""
    record = msgspec.json.decode(CapabilityRecord.from_json(KEPT[0].read_bytes()).to_json())
    machine = record["machines"][0]
    machine["notifier"] = None
    for notifier in machine["notifiers"]:
        notifier["facts"] = {}
    shown = screen(CapabilityRecord.from_json(json.dumps(record)), Style())
    model = machine["notifiers"][0]["model"]
    assert re.search(rf"unknown +notifier {model} +probe-inconclusive: not asked", shown)


def test_an_old_notifier_becomes_the_machine_types_own() -> None:
    machine = read(old_machine("pvpanic", acpi_exposes_pvpanic=fact("no")))
    assert machine.notifier == "pvpanic"
    (notifier,) = machine.notifiers
    assert (notifier.model, notifier.event_mask) == ("pvpanic", 3)
    assert "builtin-pvpanic" not in notifier.facts
    assert [machine.notifier_named(m) for m in NOTIFIER_MODELS if m != "pvpanic"] == [None] * 4


@pytest.mark.parametrize(
    ("stops", "action"),
    [
        (fact("yes", "query-status: guest-panicked"), "pause"),
        (fact("no", "query-status: running, action run"), "run"),
        (fact("no", "query-status: running"), "run"),
        (fact("no", "the emulator exited, action poweroff"), "poweroff"),
        (fact("no", "query-status: shutdown"), "unknown"),
        (fact("unknown", "no panic was made on this machine type"), "unknown"),
    ],
)
def test_what_a_panic_ends_in_follows_from_version_1(stops: dict[str, Any], action: str) -> None:
    """It is as well known as the fact that it follows from."""
    machine = read(old_machine(panic_stops_guest=stops))
    found = machine.facts["panic-action"]
    assert (found.answer, found.how) == (action, stops["how"] if action != "unknown" else None)
    assert machine.notifiers[0].facts["panic-action"] == found


def test_a_guest_without_a_notifier_reports_nothing() -> None:
    """Version 1 left that unknown."""
    unknown = fact("unknown", "no panic was made on this machine type")
    machine = read(
        old_machine(
            None,
            pvpanic_attachable=fact("no", "no bus", "introspected"),
            panic_reported=unknown,
            panic_stops_guest=unknown,
            cont_after_panic=unknown,
        )
    )
    answers = {name: (one.answer, one.how) for name, one in machine.facts.items()}
    assert answers["panic-reported"] == answers["panic-stops-guest"] == ("no", "introspected")
    assert answers["panic-action"] == ("run", "introspected")
    assert answers["cont-after-panic"] == ("unknown", None)
    assert (machine.notifier, machine.notifiers) == (None, [])


@pytest.mark.parametrize("model", ["s390", "pseries"])
def test_an_architecture_s_notifier_needs_no_device(model: str) -> None:
    machine = read(old_machine(model, pvpanic_attachable=fact("no")))
    attachable = machine.facts["pvpanic-attachable"]
    assert (attachable.answer, attachable.how) == ("yes", "documented")


@pytest.mark.parametrize(
    "machine",
    [
        1,
        None,
        {},
        {"facts": 1},
        old_machine("nonsense"),
        old_machine(panic_stops_guest=1),  # type: ignore[arg-type]
        old_machine(panic_stops_guest={}),
        old_machine(None, pvpanic_attachable=fact("no"), panic_reported=[]),  # type: ignore[arg-type]
        {**old_machine(), "notifier": {"event_mask": 3}},
        {**old_machine(), "notifier": {"model": [], "event_mask": 3}},
        {**old_machine(), "on_panic": None},
    ],
)
def test_what_is_not_a_machine_type(machine: object) -> None:
    with pytest.raises(RecordError, match="not a capability record"):
        read(machine)


@pytest.mark.parametrize("document", [b'{"schema_version":1}', b'{"schema_version":1,"machines":{}}'])
def test_what_is_not_a_record(document: bytes) -> None:
    with pytest.raises(RecordError, match="not a capability record"):
        CapabilityRecord.from_json(document)
