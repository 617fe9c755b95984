"""What is found in a record, a row for each tag; and what changed against an older build."""

from collections.abc import Callable
from typing import Any

import pytest

from onpanic.check import TAGS, Asked, changes, findings_of
from onpanic.check.findings import Finding, offered_by_name
from onpanic.probe import CapabilityRecord, RecordError
from onpanic.probe.decision.catalogue import CATALOGUE
from onpanic.probe.facts import MACHINE_QUESTIONS, QUESTIONS
from onpanic.probe.record.capability_record import MachineRecord
from onpanic.probe.testing import QEMU_1_5, QEMU_1_6, QEMU_1_7, QEMU_7_2, RHEL_6, PlayedEmulator

Make = Callable[..., MachineRecord]
Record = Callable[..., CapabilityRecord]
ALL = Asked(all_machines=True, acpi=True)


def said(findings: list[Finding]) -> list[str]:
    return [f"{one.severity} {one.tag} {' '.join(one.machines)}".strip() for one in findings]


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        ({}, []),
        ({"builtin_pvpanic": "yes"}, ["error builtin-panic-device pc"]),
        ({"cont_after_panic": "no"}, ["error cont-refused-after-panic pc"]),
        (
            {"builtin_pvpanic": "yes", "cont_after_panic": "no"},
            ["error builtin-panic-device pc", "error cont-refused-after-panic pc"],
        ),
        ({"panic_reported": "no"}, ["error panic-not-reported pc"]),
        ({"panic_stops_guest": "no"}, ["error panic-does-not-stop-guest pc"]),
        ({"pvpanic_attachable": "no"}, ["error panic-device-missing pc"]),
        # What follows from something else is not found once more
        (
            {"pvpanic_attachable": "no", "panic_reported": "no", "panic_stops_guest": "no"},
            ["error panic-device-missing pc"],
        ),
        ({"panic_reported": "no", "panic_stops_guest": "no"}, ["error panic-not-reported pc"]),
        ({"pvpanic_attachable": "no", "panic_reported": "unknown"}, ["error panic-device-missing pc"]),
        # ACPI, where it was looked at and the device needs it
        ({"acpi_exposes_pvpanic": "no"}, ["warning panic-device-hidden-from-acpi pc"]),
        ({"acpi_exposes_pvpanic": "no", "model": "pvpanic"}, []),
        ({"acpi_exposes_pvpanic": "yes"}, []),
        # Not known
        ({"panic_reported": "unknown"}, ["error probe-inconclusive pc"]),
        ({"builtin_pvpanic": "unknown"}, ["error probe-inconclusive pc"]),
        ({"started": False, "problem": "no Xen"}, ["error machine-type-does-not-start pc"]),
        # The events that a machine type offers
        ({"name": "pc-i440fx-8.2", "mask": 7}, ["warning event-mask-differs-for-machine-type pc-i440fx-8.2"]),
        ({"name": "pc-q35-5.1", "mask": 3}, ["warning event-mask-differs-for-machine-type pc-q35-5.1"]),
        ({"name": "pc-q35-9.1", "mask": 7}, []),
        ({"name": "pc-q35-9.1", "mask": None}, []),
        ({"name": "pc-q35-rhel9.4.0", "mask": 7}, []),
        ({"name": "none", "pvpanic_attachable": "no"}, []),
    ],
)
def test_what_is_found(facts: dict[str, Any], found: list[str], machine: Make, record: Record) -> None:
    findings = findings_of(record(machine(**facts)))
    assert said(findings) == found
    assert all(one.evidence and one.reason and one.remedy for one in findings)


@pytest.mark.parametrize(
    ("event", "found"),
    [
        ("yes", []),
        ("no", ["error panic-not-reported pseries"]),
        ("unknown", ["error probe-inconclusive pseries"]),
    ],
)
@pytest.mark.parametrize("model", ["s390", "pseries"])
def test_a_notifier_of_the_architecture(
    model: str, event: str, found: list[str], machine: Make, record: Record
) -> None:
    """It needs no device, so none is missed; what it needs is the event."""
    facts = {"pvpanic_attachable": "no", "panic_reported": "unknown", "builtin_pvpanic": "unknown"}
    there = machine("pseries", mask=None, model=model, **facts)
    assert said(findings_of(record(there, guest_panicked_event=event))) == found


def test_what_is_found_of_the_emulator(record: Record) -> None:
    assert said(findings_of(record(set_action_command="no"))) == ["info panic-action-not-settable"]


def test_every_tag_is_explained() -> None:
    assert set(TAGS) <= set(CATALOGUE)
    assert {code for code, entry in CATALOGUE.items() if entry.kind == "finding"} <= set(TAGS)


def test_machine_types_that_are_alike_share_a_finding(machine: Make, record: Record) -> None:
    """The worst comes first."""
    found = findings_of(
        record(
            machine("a", pvpanic_attachable="no"),
            machine("b", cont_after_panic="no"),
            machine("c", pvpanic_attachable="no"),
            machine("d", pvpanic_attachable="no", default=True),
        )
    )
    assert said(found) == ["error cont-refused-after-panic b", "warning panic-device-missing a c d"]


@pytest.mark.parametrize(
    ("odd", "severity"),
    [
        ({}, "warning"),
        ({"problem": "it hangs"}, "error"),
        ({"default": True}, "error"),
        ({"name": "named"}, "error"),
    ],
)
def test_one_inconclusive_machine_type_among_others(
    odd: dict[str, Any], severity: str, machine: Make, record: Record
) -> None:
    """A device that can be added but not triggered is not the emulator's fault."""
    odd = {"name": "x-remote", **odd}
    found = findings_of(record(machine(), machine(panic_reported="unknown", **odd)), Asked(("named",)))
    assert said(found) == [f"{severity} probe-inconclusive {odd['name']}"]


@pytest.mark.parametrize(
    ("odd", "severity"),
    [
        ({"problem": "no Xen"}, "info"),
        ({"problem": "ended (SIGSEGV)"}, "error"),
        ({"default": True}, "error"),
        ({"name": "named"}, "error"),
    ],
)
def test_one_machine_type_among_others_that_does_not_start(
    odd: dict[str, Any], severity: str, machine: Make, record: Record
) -> None:
    """It may be Xen's; but not if it was named, is the default, or crashes."""
    odd = {"name": "xenfv", **odd}
    found = findings_of(record(machine(), machine(started=False, **odd)), Asked(("named",)))
    assert said(found) == [f"{severity} machine-type-does-not-start {odd['name']}"]


def test_what_was_asked_for_and_is_not_known(machine: Make, record: Record) -> None:
    """The ACPI tables, of a device that is found by them; and all machine types, where none are listed."""
    acpi = Asked(acpi=True)
    assert said(findings_of(record(), acpi)) == ["error probe-inconclusive pc"]
    assert findings_of(record(machine(acpi_exposes_pvpanic="yes")), acpi) == []
    assert findings_of(record(machine(model="pvpanic")), acpi) == []
    assert said(findings_of(record(), Asked(all_machines=True))) == ["error probe-inconclusive"]


@pytest.mark.parametrize(
    ("machine_type", "model", "mask"),
    [
        ("pc-i440fx-1.5", "isa", 1),
        ("pc-i440fx-5.1", "isa", 1),
        ("pc-i440fx-5.2", "isa", 3),
        ("pc-q35-4.0.1", "isa", 1),
        ("pc-q35-9.0", "isa", 3),
        ("pc-q35-10.0", "isa", 7),
        ("virt-5.2", "pvpanic", None),
        ("virt-6.0", "pvpanic", 3),
        ("virt-9.1", "pvpanic", 7),
        ("isapc", "isa", None),
        ("pc", "isa", None),
        ("s390-ccw-virtio-9.1", "isa", None),
    ],
)
def test_the_events_of_a_release(machine_type: str, model: str, mask: int | None) -> None:
    assert offered_by_name(machine_type, model) == mask


@pytest.mark.processes
@pytest.mark.parametrize(
    ("emulator", "found"),
    [
        (QEMU_1_5, {"builtin-panic-device", "cont-refused-after-panic"}),
        (QEMU_1_6, {"builtin-panic-device", "cont-refused-after-panic"}),
        (RHEL_6, {"cont-refused-after-panic", "probe-inconclusive"}),  # it lists no machine types
        (QEMU_1_7, set()),
        (QEMU_7_2, set()),
        (QEMU_7_2.but(acts="silent"), {"panic-not-reported"}),
        (QEMU_7_2.but(acts="run"), {"panic-does-not-stop-guest"}),
        (QEMU_7_2.but(types=()), {"panic-device-missing"}),
        (QEMU_7_2.but(mask=7), {"event-mask-differs-for-machine-type"}),
    ],
    ids=lambda value: "" if isinstance(value, set) else f"{value.version} {value.acts} {value.mask}",
)
def test_emulators_that_cannot_be_had_any_more(emulator: PlayedEmulator, found: set[str]) -> None:
    from onpanic.probe import probe

    record = probe(emulator.command(), all_machines=True)
    tags = {one.tag for one in findings_of(record, Asked(all_machines=True))}
    assert tags - {"panic-action-not-settable"} == found


# Every question


@pytest.mark.parametrize("name", [one.name for one in QUESTIONS if one.requires and one.scope == "machine"])
def test_an_answer_that_a_decision_requires(name: str, machine: Make, record: Record) -> None:
    """Another answer is a finding, with the tag of the refusal; the severity may be that of any."""
    wanted = MACHINE_QUESTIONS[name].requires
    assert wanted
    other = {"yes": "no", "no": "yes"}[wanted.answer]
    (found,) = findings_of(record(machine(**{name.replace("-", "_"): other})))
    assert found.tag == wanted.refusal


@pytest.mark.parametrize("name", [one.name for one in QUESTIONS])
def test_what_another_answer_means(name: str, machine: Make, record: Record) -> None:
    """That is part of the question: guests see another device, or a behaviour is lost or gained."""
    (question,) = [one for one in QUESTIONS if one.name == name]
    field = name.replace("-", "_")
    wanted = question.requires.answer if question.requires else "yes"
    other = {"yes": "no", "no": "yes"}[wanted]

    def answering(answer: str) -> CapabilityRecord:
        facts = {field: answer}
        return record(**facts) if question.scope == "emulator" else record(machine(**facts))

    tags = [
        [one.tag for one in changes(answering(before), answering(after), ALL)]
        for before, after in ((wanted, other), (other, wanted), (wanted, "unknown"), (wanted, wanted))
    ]
    seen = question.change == "guest-visible"
    assert tags[0] == ["guest-visible-change" if seen else "behaviour-lost"]
    assert tags[1] == ["guest-visible-change" if seen else "behaviour-gained"]
    assert tags[2] == ["evidence-lost"]
    assert tags[3] == []


@pytest.mark.parametrize("name", [one.name for one in QUESTIONS if one.on_request])
def test_a_fact_that_is_known_on_request_only(name: str, machine: Make, record: Record) -> None:
    """It is not missed, nor compared, unless it was asked for."""
    field = name.replace("-", "_")
    there, away = record(machine(**{field: "yes"})), record(machine(**{field: "unknown"}))
    assert findings_of(away) == changes(there, away, Asked()) == []
    assert [one.tag for one in findings_of(away, ALL)] != []
    assert [one.tag for one in changes(there, away, ALL)] == ["evidence-lost"]


def test_a_fact_of_a_newer_version_is_left_out(record: Record) -> None:
    assert changes(record(new_fact="yes"), record(new_fact="no"), ALL) == []


# Against an older build


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({}, {}, []),
        # QEMU 9.1 really did that to machine types of 8.2 and older
        ({"mask": 3}, {"mask": 7}, ["error guest-visible-change pc"]),
        ({"mask": 3}, {"mask": None}, ["warning evidence-lost pc"]),
        ({"mask": None}, {"mask": 3}, []),
        ({"mask": 1}, {"mask": 3, "model": "pvpanic"}, ["error guest-visible-change pc"]),
        ({"builtin_pvpanic": "yes"}, {}, ["error guest-visible-change pc"]),
        ({}, {"builtin_pvpanic": "yes"}, ["error guest-visible-change pc"]),
        ({}, {"pvpanic_attachable": "no"}, ["error guest-visible-change pc"]),
        (
            {"acpi_exposes_pvpanic": "yes"},
            {"acpi_exposes_pvpanic": "no"},
            ["error guest-visible-change pc"],
        ),
        ({"acpi_exposes_pvpanic": "yes"}, {}, ["warning evidence-lost pc"]),
        ({}, {"cont_after_panic": "no"}, ["error behaviour-lost pc"]),
        ({"cont_after_panic": "no"}, {}, ["info behaviour-gained pc"]),
        ({}, {"panic_stops_guest": "unknown"}, ["warning evidence-lost pc"]),
        ({"panic_stops_guest": "unknown"}, {}, []),
        ({"started": False}, {"cont_after_panic": "no"}, []),
        ({}, {"started": False, "problem": "no firmware"}, ["error behaviour-lost pc"]),
    ],
)
def test_what_changed(
    before: dict[str, Any], after: dict[str, Any], found: list[str], machine: Make, record: Record
) -> None:
    old, new = record(machine(**before)), record(machine(**after))
    assert said(changes(old, new, ALL)) == found


def test_a_machine_type_that_is_gone(machine: Make, record: Record) -> None:
    """It is missed only where all were asked for; new ones break nothing."""
    old, new = record(machine("pc-1"), machine("pc-2")), record(machine("pc-2"), machine("pc-3"))
    assert said(changes(old, new, ALL)) == ["warning machine-type-gone pc-1"]
    assert changes(old, new, Asked()) == []
    told = changes(old, new, ALL, new_ones=True)
    assert said(told) == ["warning machine-type-gone pc-1", "info machine-type-new pc-3"]


def test_what_changed_of_the_emulator(record: Record) -> None:
    found = changes(record(set_action_command="yes"), record(set_action_command="no"), ALL)
    assert said(found) == ["error behaviour-lost"]


def test_the_acpi_tables_count_only_where_they_were_asked_for(machine: Make, record: Record) -> None:
    assert changes(record(machine(acpi_exposes_pvpanic="yes")), record(), Asked()) == []


def test_a_baseline_with_nothing_to_compare(machine: Make, record: Record) -> None:
    with pytest.raises(RecordError, match="the baseline has no machine type of these: pc"):
        changes(record(machine("q35")), record(), ALL)


def test_a_baseline_of_another_architecture(record: Record) -> None:
    with pytest.raises(RecordError, match="the baseline is of s390x, the emulator of x86_64"):
        changes(record(target="s390x"), record(), ALL)
