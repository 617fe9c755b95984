"""What is found in a record, a row for each tag; and what changed against an older build."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from onpanic.check import TAGS, Asked, changes, findings_of
from onpanic.check.findings import Finding, offered_by_name
from onpanic.probe import CapabilityRecord, RecordError
from onpanic.probe.decision.catalogue import CATALOGUE
from onpanic.probe.facts import QUESTIONS
from onpanic.probe.record.capability_record import MachineRecord
from onpanic.probe.testing import QEMU_1_5, QEMU_1_6, QEMU_1_7, QEMU_7_2, RHEL_6, PlayedEmulator
from onpanic.probe.xen.record_of_xen import unasked_xen

Make = Callable[..., MachineRecord]
Record = Callable[..., CapabilityRecord]
ALL = Asked(all_machines=True, acpi=True)
#: A machine type that can have no notifier.
LACKING: dict[str, Any] = {
    "pvpanic_attachable": "no",
    "panic_reported": "no",
    "panic_action": "run",
    "panic_stops_guest": "no",
    "cont_after_panic": "unknown",
    "mask": None,
}
OTHER = {"yes": ["no"], "no": ["yes"], "pause": ["run"]}


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
        ({"panic_action": "run", "panic_stops_guest": "no"}, ["error panic-does-not-stop-guest pc"]),
        ({"panic_action": "exit", "panic_stops_guest": "no"}, ["error panic-ends-emulator pc"]),
        ({"panic_action": "poweroff", "panic_stops_guest": "yes"}, ["error panic-ends-emulator pc"]),
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


@pytest.mark.parametrize("model", ["s390", "pseries", "pvpanic"])
def test_the_notifier_that_a_machine_type_is_judged_by(model: str, machine: Make, record: Record) -> None:
    """The best one is, and findings name it."""
    (found,) = findings_of(record(machine(model=model, cont_after_panic="no")))
    assert (found.severity, found.tag, found.notifier) == ("error", "cont-refused-after-panic", model)
    assert found.evidence == "cont-after-panic: seen of cont-after-panic"


@pytest.mark.parametrize(
    ("further", "found"),
    [
        ({"pvpanic": {}}, []),
        ({"pvpanic": {"panic_reported": "no"}}, ["warning panic-not-reported pc pvpanic"]),
        (
            {"pvpanic": {"panic_action": "exit", "panic_stops_guest": "no"}},
            ["warning panic-ends-emulator pc pvpanic"],
        ),
        ({"pvpanic": {"panic_stops_guest": "no"}}, ["warning panic-does-not-stop-guest pc pvpanic"]),
        ({"pvpanic": {"cont_after_panic": "no"}}, ["warning cont-refused-after-panic pc pvpanic"]),
        # Not known to be broken, or the guest cannot have it
        ({"pvpanic": {"panic_reported": "unknown", "cont_after_panic": "unknown"}}, []),
        ({"pvpanic": {"pvpanic_attachable": "no", "panic_reported": "no"}}, []),
        # It depends on the host's KVM
        ({"hyperv": {"panic_reported": "no"}}, []),
    ],
)
def test_a_further_notifier_that_does_not_work(
    further: dict[str, Any], found: list[str], machine: Make, record: Record
) -> None:
    """It is a warning that names the notifier; what cannot be had or is not known is not found."""
    findings = findings_of(record(machine(further=further)))
    assert [f"{one} {f.notifier}" for one, f in zip(said(findings), findings, strict=True)] == found
    assert all(" of the pvpanic notifier: " in one.evidence for one in findings)


def test_an_unknown_fact_before_a_broken_one(machine: Make, record: Record) -> None:
    """A further notifier is broken if any fact says so, as the decision sees it."""
    further = {"pvpanic": {"panic_reported": "unknown", "panic_stops_guest": "no"}}
    (found,) = findings_of(record(machine(further=further)))
    assert found.evidence.startswith("panic-stops-guest of the pvpanic notifier: ")


@pytest.mark.parametrize(
    ("notifier", "found"),
    [
        ("isa", []),
        ("pvpanic", ["error cont-refused-after-panic pc"]),
        ("hyperv", ["error panic-not-reported pc"]),
        ("s390", ["error panic-device-missing pc"]),
    ],
)
def test_the_notifier_that_was_asked_for(
    notifier: Any, found: list[str], machine: Make, record: Record
) -> None:
    """It is the only one that is judged, and what it lacks is an error."""
    further = {"pvpanic": {"cont_after_panic": "no"}, "hyperv": {"panic_reported": "no"}}
    findings = findings_of(record(machine(further=further)), Asked(notifier=notifier))
    assert said(findings) == found


def test_hyperv_does_not_stand_in_for_a_notifier_of_the_build(machine: Make, record: Record) -> None:
    """Another host may have no such KVM, so that the same build has no notifier there."""
    there = machine(model="hyperv", further={"isa": {"pvpanic_attachable": "no"}})
    (found,) = findings_of(record(there))
    assert (found.tag, found.notifier) == ("panic-device-missing", "")
    assert findings_of(record(there), Asked(notifier="hyperv")) == []


@pytest.mark.parametrize(
    ("options", "action", "tag", "named"),
    [
        (("-action", "panic=exit-failure"), "exit", "panic-ends-emulator", "-action panic=exit-failure"),
        (("-action", "panic=none"), "run", "panic-does-not-stop-guest", "-action panic=none"),
        (
            ("-action", "reboot=reset,shutdown=poweroff", "--action", "panic=shutdown"),
            "poweroff",
            "panic-ends-emulator",
            "-action panic=shutdown -action shutdown=poweroff",
        ),
        (("-action", "panic=none", "-action", "panic=pause"), "run", "panic-does-not-stop-guest", ""),
        (("-S",), "run", "panic-does-not-stop-guest", ""),
    ],
)
def test_what_the_command_line_makes_of_a_panic(
    options: tuple[str, ...], action: str, tag: str, named: str, machine: Make, record: Record
) -> None:
    """The evidence names the option, and the other notifiers are not found for the same reason."""
    facts = {"panic_action": action, "panic_stops_guest": "no"}
    further = {} if not named else {"pvpanic": facts}
    (found,) = findings_of(record(machine(further=further, **facts), options=options))
    assert (found.severity, found.tag) == ("error", tag)
    because = f" (the command line has {named})" if named else ""
    assert found.evidence == f"panic-action: seen of panic-action{because}"


def test_the_command_line_explains_no_other_fault(machine: Make, record: Record) -> None:
    """A notifier that reports nothing is found, whatever a panic would end in."""
    further = {"pvpanic": {"panic_reported": "no"}}
    there = machine(further=further, panic_action="exit")
    findings = findings_of(record(there, options=("-action", "panic=exit-failure")))
    assert said(findings) == ["error panic-ends-emulator pc", "warning panic-not-reported pc"]


def test_the_events_of_each_notifier(machine: Make, record: Record) -> None:
    further = {"pvpanic": {"mask": 7}}
    findings = findings_of(record(machine("pc-q35-8.2", 7, further=further)))
    assert [(one.tag, one.notifier) for one in findings] == [
        ("event-mask-differs-for-machine-type", "isa"),
        ("event-mask-differs-for-machine-type", "pvpanic"),
    ]
    lacking = {"pvpanic": {"mask": 0xFF, "pvpanic_attachable": "no"}}
    assert findings_of(record(machine("pc-q35-8.2", 3, further=lacking))) == []
    own, other = (one.evidence for one in findings)
    assert own == "it offers the bits 0x07, the release that it is named after 0x03"
    assert other.startswith("the pvpanic notifier offers the bits 0x07, ")


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
        (QEMU_7_2.but(acts="silent", types=("pvpanic",)), {"panic-not-reported"}),
        (QEMU_7_2.but(acts="run", types=("pvpanic",)), {"panic-does-not-stop-guest"}),
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


@pytest.mark.parametrize("name", [one.name for one in QUESTIONS if one.requires])
def test_an_answer_that_a_decision_requires(name: str, machine: Make, record: Record) -> None:
    """Another answer is a finding, with the tag of the refusal; the severity may be that of any."""
    (wanted,) = [one.requires for one in QUESTIONS if one.name == name]
    assert wanted
    for answer in {*OTHER[wanted.answer], *wanted.refusals}:
        (found,) = findings_of(record(machine(**{name.replace("-", "_"): answer})))
        assert found.tag == wanted.refusals.get(answer, wanted.refusal)


@pytest.mark.parametrize("name", [one.name for one in QUESTIONS])
def test_what_another_answer_means(name: str, machine: Make, record: Record) -> None:
    """That is part of the question: guests see another device, or a behaviour is lost or gained."""
    (question,) = [one for one in QUESTIONS if one.name == name]
    field = name.replace("-", "_")
    wanted = question.requires.answer if question.requires else "yes"
    (other,) = OTHER[wanted]

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
        # Another notifier: the old one is gone, and no guest had the new one
        (
            {"mask": 1},
            {"mask": 3, "model": "pvpanic"},
            ["error guest-visible-change pc", "info behaviour-gained pc"],
        ),
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


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        # What follows from a change is not found again
        (
            {},
            {"panic_reported": "no", "panic_action": "run", "panic_stops_guest": "no"},
            ["behaviour-lost: panic-reported was yes, and now is no"],
        ),
        (
            {"panic_reported": "no", "panic_action": "run", "panic_stops_guest": "no"},
            {},
            ["behaviour-gained: panic-reported was no, and now is yes"],
        ),
        (
            {},
            {"panic_action": "exit", "panic_stops_guest": "no", "cont_after_panic": "unknown"},
            ["behaviour-lost: panic-action was pause, and now is exit"],
        ),
        (
            {},
            {
                "panic_reported": "unknown",
                "panic_action": "unknown",
                "cont_after_panic": "unknown",
                "mask": None,
            },
            ["evidence-lost: panic-reported was yes, and now is unknown"],
        ),
        # A gain does not hide a loss
        (
            {"panic_reported": "no"},
            {"panic_stops_guest": "no"},
            [
                "behaviour-lost: panic-stops-guest was yes, and now is no",
                "behaviour-gained: panic-reported was no, and now is yes",
            ],
        ),
        # Further notifiers are named
        (
            {"further": {"pvpanic": {"mask": 3}}},
            {"further": {"pvpanic": {"mask": 7}}},
            ["guest-visible-change: the pvpanic notifier offered the bits 0x03, and now 0x07"],
        ),
        (
            {"further": {"pvpanic": {}}},
            {"further": {"pvpanic": {"cont_after_panic": "no"}}},
            ["behaviour-lost: cont-after-panic of the pvpanic notifier was yes, and now is no"],
        ),
        (
            {},
            {"further": {"pvpanic": {}}},
            ["behaviour-gained: pvpanic-attachable of the pvpanic notifier was no, and now is yes"],
        ),
        (
            {"further": {"pvpanic": {"mask": 3}}},
            {},
            ["guest-visible-change: pvpanic-attachable of the pvpanic notifier was yes, and now is no"],
        ),
        # Of what the guest cannot have, there is nothing to compare
        (
            {"pvpanic_attachable": "no", "acpi_exposes_pvpanic": "no", "panic_reported": "no"},
            {"pvpanic_attachable": "no", "acpi_exposes_pvpanic": "unknown", "panic_reported": "unknown"},
            [],
        ),
        # It depends on the host's KVM
        ({"further": {"hyperv": {}}}, {"further": {"hyperv": {"panic_reported": "no"}}}, []),
    ],
)
def test_what_changed_of_notifiers(
    before: dict[str, Any], after: dict[str, Any], found: list[str], machine: Make, record: Record
) -> None:
    findings = changes(record(machine(**before)), record(machine(**after)), ALL)
    assert [f"{one.tag}: {one.evidence.partition(' (')[0]}" for one in findings] == found
    assert all(one.notifier for one in findings)


@pytest.mark.parametrize(
    ("notifier", "found"), [(None, 1), ("isa", 0), ("pvpanic", 1), ("hyperv", 1), ("s390", 0)]
)
def test_only_the_notifier_that_was_asked_for_is_compared(
    notifier: Any, found: int, machine: Make, record: Record
) -> None:
    lost = {"panic_reported": "unknown"}
    old = record(machine(further={"pvpanic": {}, "hyperv": {}}))
    new = record(machine(further={"pvpanic": lost, "hyperv": lost}))
    assert len(changes(old, new, Asked(notifier=notifier))) == found


def test_a_record_that_lacks_facts(machine: Make, record: Record) -> None:
    """What it does not hold was not asked."""
    whole = record(machine(further={"pvpanic": {}}))
    document = json.loads(whole.to_json())
    for notifier in document["machines"][0]["notifiers"]:
        del notifier["facts"]["panic-stops-guest"], notifier["facts"]["pvpanic-attachable"]
    del document["machines"][0]["facts"]["panic-stops-guest"]
    lacking = CapabilityRecord.from_json(json.dumps(document))
    assert changes(lacking, whole, ALL) == changes(whole, lacking, ALL) == []
    assert findings_of(lacking) == []


def test_the_machine_type_none_is_not_compared(machine: Make, record: Record) -> None:
    """No guest can run on it."""
    old = record(machine(), machine("none", pvpanic_attachable="no"))
    new = record(machine(), machine("none", pvpanic_attachable="unknown"))
    assert changes(old, new, ALL) == []


def as_version_1(record: CapabilityRecord) -> CapabilityRecord:
    """Return a record as version 1 would have held it: one notifier, and what follows left unknown."""
    document = json.loads(record.to_json())
    document["schema_version"] = 1
    for machine in document["machines"]:
        by_model = {entry["model"]: entry for entry in machine.pop("notifiers")}
        own = by_model.get(machine["notifier"])
        machine["notifier"] = own and {"model": own["model"], "event_mask": own["event_mask"]}
        facts = machine["facts"]
        del machine["builtin"], facts["panic-action"]
        if facts["pvpanic-attachable"]["answer"] == "no":
            facts["panic-reported"]["answer"] = facts["panic-stops-guest"]["answer"] = "unknown"
            facts["acpi-exposes-pvpanic"]["answer"] = "unknown"
    return CapabilityRecord.from_json(json.dumps(document))


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"model": "pvpanic", "acpi_exposes_pvpanic": "no"},
        {"model": "s390", "acpi_exposes_pvpanic": "no", "mask": None},
        {"further": {"pvpanic": {"mask": 3}, "hyperv": {"panic_reported": "no"}}},
        {"further": {"pvpanic": {"cont_after_panic": "no"}}},
        {"cont_after_panic": "no"},
        {"panic_reported": "unknown", "panic_action": "unknown", "panic_stops_guest": "unknown"},
        LACKING,
        {"pvpanic_attachable": "unknown", "panic_reported": "unknown", "mask": None},
        {"name": "none", "pvpanic_attachable": "no"},
        {"started": False},
        {"builtin_pvpanic": "yes"},
    ],
    ids=lambda kind: " ".join(map(str, kind)),
)
def test_a_baseline_of_another_version(kind: dict[str, Any], machine: Make, record: Record) -> None:
    """A record's version alone is not a finding, in either direction, whichever notifier is judged."""
    now = record(machine(**kind))
    old = as_version_1(now)
    for asked in (ALL, Asked(), Asked(notifier="isa"), Asked(notifier="pvpanic"), Asked(notifier="hyperv")):
        assert changes(old, now, asked) == changes(now, old, asked) == []


@pytest.mark.parametrize("version_1", ["old", "new"])
@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"mask": 3}, {"mask": 7}, ["error guest-visible-change pc"]),
        ({}, {"cont_after_panic": "no"}, ["error behaviour-lost pc"]),
        ({"cont_after_panic": "no"}, {}, ["info behaviour-gained pc"]),
        ({"builtin_pvpanic": "yes"}, {}, ["error guest-visible-change pc"]),
        ({}, LACKING, ["error guest-visible-change pc"]),
        (LACKING, {}, ["error guest-visible-change pc"]),
    ],
)
def test_a_change_between_records_of_different_versions(
    version_1: str,
    before: dict[str, Any],
    after: dict[str, Any],
    found: list[str],
    machine: Make,
    record: Record,
) -> None:
    """What version 1 knows is compared as before."""
    old, new = record(machine(**before)), record(machine(**after))
    if version_1 == "old":
        old = as_version_1(old)
    else:
        new = as_version_1(new)
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


def test_a_baseline_of_a_xen(record: Record) -> None:
    """The record of a Xen has none of an emulator's facts: nothing would be found to have changed."""
    with pytest.raises(RecordError, match="the baseline is of Xen"):
        changes(unasked_xen(), record(), ALL)


def test_a_baseline_of_another_architecture(record: Record) -> None:
    with pytest.raises(RecordError, match="the baseline is of s390x, the emulator of x86_64"):
        changes(record(target="s390x"), record(), ALL)
