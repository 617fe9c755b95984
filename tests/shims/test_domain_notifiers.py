"""A domain is judged by what its panic notifiers do; one that has none is given one that works."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from onpanic.probe import CapabilityRecord, UsageError
from onpanic.probe.decision.rules import Capabilities
from onpanic.probe.emulator.notifier_models import NotifierModel
from onpanic.probe.facts import Fact
from onpanic.probe.facts.fact import Answer
from onpanic.probe.record.capability_record import Builtin, Notifier
from onpanic.shims import DomainMachine, RefusedError, from_libvirt, to_libvirt
from onpanic.shims.translation.domain_notifiers import DomainNotifier, refusal_of_notifiers

Domain = Callable[..., str]
Recorded = Callable[..., CapabilityRecord]
Behaviour = tuple[Answer, Answer, Answer, Answer, Answer]

QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
ISA, PVPANIC, HYPERV = (f"<panic model='{model}'/>" for model in ("isa", "pvpanic", "hyperv"))

FACTS = ("pvpanic-attachable", "panic-reported", "panic-action", "panic-stops-guest", "cont-after-panic")

# What a build does when a guest panics through a notifier
WORKS: Behaviour = ("yes", "yes", "pause", "yes", "yes")
SILENT: Behaviour = ("yes", "no", "run", "no", "unknown")
MISSING: Behaviour = ("no", "no", "run", "no", "unknown")
RUNS_ON: Behaviour = ("yes", "yes", "run", "no", "unknown")
POWERS_OFF: Behaviour = ("yes", "yes", "poweroff", "no", "unknown")
ENDS: Behaviour = ("yes", "yes", "exit", "no", "unknown")
STOPS_FOR_GOOD: Behaviour = ("yes", "yes", "pause", "yes", "no")
STOPS_SILENTLY: Behaviour = ("yes", "no", "pause", "yes", "yes")
UNKNOWN: Behaviour = ("unknown", "unknown", "unknown", "unknown", "unknown")

REFUSALS = {
    MISSING: "panic-device-missing",
    RUNS_ON: "panic-does-not-stop-guest",
    POWERS_OFF: "panic-ends-emulator",
    ENDS: "panic-ends-emulator",
    STOPS_FOR_GOOD: "cont-refused-after-panic",
    STOPS_SILENTLY: "panic-not-reported",
}


def facts_of(behaviour: Behaviour) -> dict[str, Fact]:
    return {
        name: Fact(answer, None if answer == "unknown" else "observed")
        for name, answer in zip(FACTS, behaviour, strict=True)
    }


def notifier(behaviour: Behaviour, mask: int | None = None) -> DomainNotifier:
    builtin = {"builtin-pvpanic": Fact("no", "introspected")}
    return DomainNotifier("isa", Capabilities(builtin | facts_of(behaviour)), mask)


def right_refusals(behaviours: Sequence[Behaviour]) -> set[str]:
    """Return which codes are right for a guest that has notifiers with these behaviours; empty for none."""
    definite = {REFUSALS[behaviour] for behaviour in behaviours if behaviour in REFUSALS}
    if definite:
        return definite
    if UNKNOWN in behaviours:
        return {"probe-inconclusive"}
    return set() if WORKS in behaviours else {"panic-not-reported"}


@given(st.lists(st.sampled_from([WORKS, SILENT, UNKNOWN, *REFUSALS]), min_size=1, max_size=4))
def test_each_notifier_that_reports_must_work(behaviours: list[Behaviour]) -> None:
    found = refusal_of_notifiers([notifier(behaviour) for behaviour in behaviours])
    right = right_refusals(behaviours)
    assert found is None if not right else found is not None and found.code in right


@given(st.lists(st.sampled_from([WORKS, SILENT, UNKNOWN, *REFUSALS]), min_size=1, max_size=4), st.data())
def test_the_order_and_the_number_of_notifiers_do_not_matter(
    behaviours: list[Behaviour], data: st.DataObject
) -> None:
    other = data.draw(st.permutations(behaviours * 2))
    codes = []
    for guest in (behaviours, other):
        found = refusal_of_notifiers([notifier(each) for each in guest])
        codes.append("" if found is None else found.code)
    assert len({code in ("", "probe-inconclusive") and code for code in codes}) == 1


ANSWERS = st.sampled_from(["yes", "no", "unknown"])
ACTIONS = st.sampled_from(["pause", "poweroff", "run", "exit", "unknown"])
NOTIFIERS = st.builds(
    notifier,
    st.tuples(ANSWERS, ANSWERS, ACTIONS, ANSWERS, ANSWERS),
    st.sampled_from([None, 0, 1, 2, 3]),
)


@given(st.lists(NOTIFIERS, min_size=1, max_size=4))
def test_a_guest_is_accepted_only_if_a_notifier_is_known_to_work(notifiers: list[DomainNotifier]) -> None:
    """Whatever is known, the one that works is known to, and the others are known not to interfere."""
    if refusal_of_notifiers(notifiers) is None:
        works = [tuple(n.capabilities.fact(name).answer for name in FACTS) == WORKS for n in notifiers]
        assert any(works)
        assert all(
            is_working or n.capabilities.fact("panic-reported").answer == "no"
            for n, is_working in zip(notifiers, works, strict=True)
        )


def test_what_no_guest_reports_through_does_not_interfere() -> None:
    """A guest's driver reads the event mask, and does not report if bit 0 is not offered."""
    assert refusal_of_notifiers([notifier(WORKS), notifier(STOPS_SILENTLY, mask=2)]) is None
    assert refusal_of_notifiers([notifier(WORKS), notifier(STOPS_SILENTLY, mask=3)]) is not None
    assert refusal_of_notifiers([notifier(STOPS_SILENTLY, mask=2)]) is not None


# Domains


def known(record: CapabilityRecord, isa_type: str = "pvpanic", **behaviours: Behaviour) -> CapabilityRecord:
    """Return a record with these behaviours of notifiers; nothing is known about the others.

    :param isa_type: The QEMU type of the ISA device.
    """
    (machine,) = record.machines
    types = {"isa": isa_type, "pvpanic": "pvpanic-pci"}

    def entry(old: Notifier) -> Notifier:
        behaviour = behaviours.get(old.model, UNKNOWN)
        device = types.get(old.model) if behaviour[0] == "yes" else None
        return replace(old, facts=facts_of(behaviour), type=device)

    notifiers = [entry(old) for old in machine.notifiers]
    preferred = [model for model, behaviour in behaviours.items() if behaviour == WORKS]
    best = next((one for one in notifiers if one.model in preferred), notifiers[0])
    machine = replace(machine, facts=machine.facts | best.facts, notifier=best.model, notifiers=notifiers)
    return replace(record, machines=[machine])


def with_types(record: CapabilityRecord, *names: str) -> CapabilityRecord:
    """Return the record of an emulator that has only these types of devices."""
    types = {
        f"{name}-type": Fact("yes" if name in names else "no", "introspected")
        for name in ("pvpanic", "isa-pvpanic", "pvpanic-pci")
    }
    return replace(record, facts=record.facts | types)


def outcome(xml: str, record: CapabilityRecord, version: str = "9.1.0", **options: Any) -> str:
    """Return the notifier that is added, or the code of the refusal; empty if none is added."""
    try:
        there = to_libvirt(xml, record, libvirt=version, **options)
    except RefusedError as error:
        return error.decision.code
    assert to_libvirt(there, record, libvirt=version, **options).xml == there.xml
    assert from_libvirt(there).xml == xml
    new = [word for word in ("isa-pvpanic", "pvpanic-pci") if word in there.xml and word not in xml]
    new += [
        model
        for model in ("isa", "pvpanic", "hyperv")
        if there.xml.count(f"<panic model='{model}'") > xml.count(f"<panic model='{model}'")
    ]
    return " ".join(new)


@pytest.mark.parametrize(
    ("devices", "behaviours", "code"),
    [
        (HYPERV, {"hyperv": WORKS, "isa": SILENT}, ""),
        (HYPERV, {"hyperv": SILENT, "isa": WORKS}, "panic-not-reported"),
        (HYPERV, {"hyperv": STOPS_FOR_GOOD, "isa": WORKS}, "cont-refused-after-panic"),
        (HYPERV, {"isa": WORKS}, "probe-inconclusive"),
        (ISA, {"isa": WORKS, "hyperv": RUNS_ON}, ""),
        (PVPANIC, {"pvpanic": WORKS, "isa": MISSING}, ""),
        (PVPANIC, {"pvpanic": MISSING, "isa": WORKS}, "panic-device-missing"),
        (ISA + HYPERV, {"isa": WORKS, "hyperv": WORKS}, ""),
        (ISA + HYPERV, {"isa": WORKS, "hyperv": SILENT}, ""),
        (ISA + HYPERV, {"isa": SILENT, "hyperv": WORKS}, ""),
        (ISA + HYPERV, {"isa": SILENT, "hyperv": SILENT}, "panic-not-reported"),
        (ISA + HYPERV, {"isa": WORKS, "hyperv": RUNS_ON}, "panic-does-not-stop-guest"),
        (ISA + HYPERV, {"isa": ENDS, "hyperv": WORKS}, "panic-ends-emulator"),
        (ISA + HYPERV, {"isa": STOPS_FOR_GOOD, "hyperv": WORKS}, "cont-refused-after-panic"),
        (ISA + HYPERV, {"isa": WORKS}, "probe-inconclusive"),
    ],
)
def test_a_domain_is_judged_by_its_own_notifiers(
    devices: str, behaviours: dict[str, Behaviour], code: str, domain: Domain, record: CapabilityRecord
) -> None:
    xml = domain("<on_panic>restart</on_panic>", devices=devices)
    assert outcome(xml, known(record, "pvpanic", **behaviours)) == code


@pytest.mark.parametrize(
    ("behaviour", "old", "new"),
    [
        (WORKS, "", ""),
        (SILENT, "", ""),
        (UNKNOWN, "", ""),
        (RUNS_ON, "", ""),
        (STOPS_FOR_GOOD, "cont-refused-after-panic", ""),
        (STOPS_SILENTLY, "panic-not-reported", ""),
        (ENDS, "panic-ends-emulator", ""),
        (POWERS_OFF, "panic-ends-emulator", ""),
    ],
)
def test_ignoring_needs_a_guest_that_can_be_continued(
    behaviour: Behaviour, old: str, new: str, domain: Domain, record: CapabilityRecord
) -> None:
    """From 12.6 on, libvirt has QEMU continue the guest."""
    xml = domain("<on_panic>ignore</on_panic>", devices=ISA + HYPERV)
    found = known(record, isa=WORKS, hyperv=behaviour)
    assert outcome(xml, found, "9.1.0") == old
    assert outcome(xml, found, "12.6.0") == new


@pytest.mark.parametrize(
    ("behaviours", "version", "asked", "result"),
    [
        # The best that works, ISA first
        ({"isa": WORKS, "pvpanic": WORKS, "hyperv": WORKS}, "9.1.0", None, "isa"),
        ({"isa": SILENT, "pvpanic": WORKS, "hyperv": WORKS}, "9.1.0", None, "pvpanic"),
        ({"isa": SILENT, "pvpanic": WORKS, "hyperv": WORKS}, "9.0.0", None, "pvpanic-pci"),
        ({"isa": MISSING, "pvpanic": MISSING, "hyperv": WORKS}, "9.1.0", None, "hyperv"),
        ({"isa": MISSING, "pvpanic": MISSING, "hyperv": WORKS}, "1.2.1", None, "libvirt-too-old"),
        ({"isa": SILENT, "pvpanic": SILENT, "hyperv": SILENT}, "9.1.0", None, "panic-not-reported"),
        ({"isa": SILENT, "pvpanic": UNKNOWN}, "9.1.0", None, "panic-not-reported"),
        ({}, "9.1.0", None, "probe-inconclusive"),
        # The one that was asked for
        ({"isa": WORKS, "hyperv": WORKS}, "9.1.0", "hyperv", "hyperv"),
        ({"isa": WORKS, "hyperv": WORKS}, "9.1.0", "isa", "isa"),
        ({"isa": WORKS, "pvpanic": WORKS}, "9.1.0", "pvpanic", "pvpanic"),
        ({"isa": WORKS, "pvpanic": WORKS}, "9.0.0", "pvpanic", "pvpanic-pci"),
        ({"isa": WORKS, "hyperv": SILENT}, "9.1.0", "hyperv", "panic-not-reported"),
        ({"isa": WORKS, "pvpanic": STOPS_FOR_GOOD}, "9.1.0", "pvpanic", "cont-refused-after-panic"),
        ({"isa": WORKS, "pvpanic": MISSING}, "9.1.0", "pvpanic", "panic-device-missing"),
        ({"isa": WORKS}, "9.1.0", "hyperv", "probe-inconclusive"),
        ({"isa": WORKS, "hyperv": WORKS}, "1.2.1", "hyperv", "libvirt-too-old"),
        # What libvirt does not have for this architecture
        ({"isa": WORKS}, "9.1.0", "s390", "no-such-panic-model"),
        ({"isa": WORKS}, "9.1.0", "pseries", "no-such-panic-model"),
    ],
)
def test_the_notifier_that_is_added(
    behaviours: dict[str, Behaviour],
    version: str,
    asked: NotifierModel | None,
    result: str,
    domain: Domain,
    record: CapabilityRecord,
) -> None:
    xml = domain("<on_panic>restart</on_panic>")
    assert outcome(xml, known(record, "pvpanic", **behaviours), version, notifier=asked) == result


@pytest.mark.parametrize(
    ("kind", "asked", "result"),
    [
        ("kvm", None, "hyperv"),
        ("qemu", None, "notifier-needs-kvm"),
        ("kvm", "hyperv", "hyperv"),
        ("qemu", "hyperv", "notifier-needs-kvm"),
        ("hvf", "hyperv", "notifier-needs-kvm"),
    ],
)
def test_hyperv_needs_kvm(
    kind: str, asked: NotifierModel | None, result: str, domain: Domain, record: CapabilityRecord
) -> None:
    """libvirt adds the model hyperv to any x86 guest, but only KVM implements it."""
    found = known(record, isa=MISSING, pvpanic=MISSING, hyperv=WORKS)
    assert outcome(domain("<on_panic>restart</on_panic>", kind=kind), found, notifier=asked) == result


@pytest.mark.parametrize("asked", ["isa", "hyperv"])
def test_what_x86_has_is_not_added_elsewhere(
    asked: NotifierModel, domain: Domain, recorded: Recorded
) -> None:
    xml = domain("<on_panic>restart</on_panic>", arch="aarch64", machine="virt")
    record = recorded("virt", "aarch64", "pvpanic")
    assert outcome(xml, record, notifier=asked) == "no-such-panic-model"


def test_a_domain_that_has_a_notifier_keeps_it(domain: Domain, record: CapabilityRecord) -> None:
    xml = domain("<on_panic>restart</on_panic>", devices=ISA)
    assert outcome(xml, known(record, isa=WORKS, hyperv=WORKS), notifier="hyperv") == ""


def test_an_added_notifier_is_replaced_by_another_one(domain: Domain, record: CapabilityRecord) -> None:
    found = known(record, isa=WORKS, hyperv=WORKS)
    first = to_libvirt(domain("<on_panic>restart</on_panic>"), found, libvirt="9.1.0")
    assert ISA in first.xml
    second = to_libvirt(first, found, libvirt="9.1.0", notifier="hyperv")
    assert HYPERV in second.xml
    assert ISA not in second.xml


def test_a_notifier_that_there_is_not(domain: Domain, record: CapabilityRecord) -> None:
    with pytest.raises(UsageError, match="no notifier 'pvpanic-pci'"):
        to_libvirt(domain("<on_panic>restart</on_panic>"), record, notifier="pvpanic-pci")  # type: ignore[arg-type]


def test_only_the_notifier_that_matters_is_probed(domain: Domain, record: CapabilityRecord) -> None:
    """A domain's only notifier is named to the prober; with several, or with none, all matter."""
    seen: list[DomainMachine] = []

    def ask(machine: DomainMachine) -> CapabilityRecord:
        seen.append(machine)
        return known(record, isa=WORKS, hyperv=WORKS)

    for devices in (ISA, HYPERV, ISA + HYPERV, "<x/>"):
        to_libvirt(domain("<on_panic>restart</on_panic>", devices=devices), ask, libvirt="9.1.0")
    assert [machine.notifiers for machine in seen] == [("isa",), ("hyperv",), ("isa", "hyperv"), ()]


# Types and devices under one name each

BY_COMMAND = f"<x/></devices><q:commandline xmlns:q='{QEMU}'>{{}}</q:commandline><devices>".format(
    "<q:arg value='-device'/><q:arg value='{}'/>"
)
TYPES = ("pvpanic", "isa-pvpanic", "pvpanic-pci")


@pytest.mark.parametrize(
    ("types", "live", "devices", "result"),
    [
        # libvirt looks for pvpanic by its name, and refuses the model isa without it
        (("isa-pvpanic",), "isa-pvpanic", "<x/>", "isa-pvpanic"),
        (("isa-pvpanic",), "isa-pvpanic", ISA, "panic-model-without-device"),
        (("isa-pvpanic",), "isa-pvpanic", "<panic/>", "panic-model-without-device"),
        (("isa-pvpanic",), "isa-pvpanic", BY_COMMAND.format("isa-pvpanic"), ""),
        (("isa-pvpanic",), "isa-pvpanic", BY_COMMAND.format("pvpanic"), "panic-device-missing"),
        # Both names, of which one works
        (TYPES, "isa-pvpanic", "<x/>", "isa-pvpanic"),
        (TYPES, "isa-pvpanic", ISA, "probe-inconclusive"),
        (TYPES, "isa-pvpanic", BY_COMMAND.format("isa-pvpanic"), ""),
        (TYPES, "isa-pvpanic", BY_COMMAND.format("pvpanic"), "probe-inconclusive"),
        (TYPES, "pvpanic", "<x/>", "isa"),
        (TYPES, "pvpanic", ISA, ""),
        (TYPES, "pvpanic", BY_COMMAND.format("isa-pvpanic"), "probe-inconclusive"),
        (TYPES, "pvpanic", BY_COMMAND.format("pvpanic"), ""),
        # onpanic-qemu renames the device
        (("pvpanic",), "pvpanic", BY_COMMAND.format("isa-pvpanic"), ""),
        # No PCI device
        (("pvpanic",), "pvpanic", PVPANIC, "panic-model-without-device"),
        (("pvpanic",), "pvpanic", BY_COMMAND.format("pvpanic-pci"), "panic-device-missing"),
    ],
)
def test_a_device_is_judged_by_its_own_type(
    types: tuple[str, ...], live: str, devices: str, result: str, domain: Domain, record: CapabilityRecord
) -> None:
    found = known(with_types(record, *types), live, isa=WORKS, pvpanic=MISSING)
    assert outcome(domain("<on_panic>restart</on_panic>", devices=devices), found) == result


def test_a_builtin_device_is_moved_away_by_its_own_type(domain: Domain, recorded: Recorded) -> None:
    record = recorded(name="qemu-1.5.3")
    (machine,) = record.machines
    named = replace(record, machines=[replace(machine, builtin=Builtin("isa-pvpanic", 0x505))])
    there = to_libvirt(domain("<on_panic>ignore</on_panic>"), named, libvirt="9.0.0")
    assert "<qemu:arg value='isa-pvpanic.ioport=0'/>" in there.xml
    assert [note.code for note in there.notes] == ["builtin-moved-away"]
