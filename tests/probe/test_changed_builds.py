"""Builds that are a QEMU with one thing changed: each row is one that was judged wrongly, or could be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onpanic.core.errors import EmulatorError
from onpanic.probe import CapabilityRecord, probe
from onpanic.probe.emulator.notifier_models import NotifierModel
from onpanic.probe.record.capability_record import MachineRecord, Notifier
from onpanic.probe.testing import QEMU_7_2, PlayedEmulator, PlayedNotifier

from .conftest import EMULATOR
from .played_probe import probed
from .relayed_emulator import relayed

ISA_ONLY = QEMU_7_2.but(types=("pvpanic",))


def isa(record: CapabilityRecord, machine: str | None = None) -> Notifier:
    """Return what a record says about the ISA notifier."""
    found = record.machine(machine).notifier_named("isa")
    assert found is not None
    return found


def answers(notifier: Notifier) -> dict[str, str]:
    """Return a notifier's answers, without those that are asked on request."""
    return {name: fact.answer for name, fact in notifier.facts.items() if name != "acpi-exposes-pvpanic"}


def emulator(record: CapabilityRecord) -> dict[str, str]:
    return {name: fact.answer for name, fact in record.facts.items()}


WORKS = {
    "pvpanic-attachable": "yes",
    "panic-reported": "yes",
    "panic-action": "pause",
    "panic-stops-guest": "yes",
    "cont-after-panic": "yes",
}
#: What a build does to a panic, and the answers that are not those of a working notifier.
PANICS: dict[str, tuple[PlayedNotifier, dict[str, str], str]] = {
    "ends with status 0": (
        PlayedNotifier(event="poweroff", ends=0),
        {"panic-action": "poweroff", "panic-stops-guest": "no", "cont-after-panic": "unknown"},
        "panic-ends-emulator",
    ),
    "ends with status 1, says pause": (
        PlayedNotifier(event="pause", ends=1),
        {"panic-action": "exit", "panic-stops-guest": "no", "cont-after-panic": "unknown"},
        "panic-ends-emulator",
    ),
    "ends after the answer": (
        PlayedNotifier(event="poweroff", ends=0, when="after-reply"),
        {"panic-action": "poweroff", "panic-stops-guest": "no", "cont-after-panic": "unknown"},
        "panic-ends-emulator",
    ),
    "ends without an event": (
        PlayedNotifier(ends=1, ends_first=True),
        {
            "panic-reported": "no",
            "panic-action": "exit",
            "panic-stops-guest": "no",
            "cont-after-panic": "unknown",
        },
        "panic-not-reported",
    ),
    "stops without an event": (PlayedNotifier(event=""), {"panic-reported": "no"}, "panic-not-reported"),
    "stops as paused": (
        PlayedNotifier(state="paused"),
        {"panic-stops-guest": "no", "cont-after-panic": "unknown"},
        "panic-does-not-stop-guest",
    ),
    "answers late": (PlayedNotifier(when="after-reply"), {}, ""),
    "answers later still": (PlayedNotifier(when="after-next-reply"), {}, ""),
    "offers bits 0 and 2": (PlayedNotifier(mask=0x05), {}, ""),
    "offers bit 2 only": (PlayedNotifier(mask=0x04), {"panic-reported": "no"}, "panic-not-reported"),
    "offers bits 0, 3 and 7": (PlayedNotifier(mask=0x89), {}, ""),
    "sends the event twice": (PlayedNotifier(times=2), {}, ""),
    "loses six writes": (PlayedNotifier(lost=6), {}, ""),
}


@pytest.mark.parametrize("name", PANICS)
def test_what_a_panic_does_is_read_from_all_that_follows_it(name: str) -> None:
    """The facts are what the build does, the emulator's own are known, and the refusal is the right one."""
    does, changed, code = PANICS[name]
    record = probed(ISA_ONLY.but(notifiers={"pvpanic": does}))
    assert answers(isa(record)) == WORKS | changed
    assert emulator(record) == EMULATOR | {"pvpanic-pci-type": "no"}
    assert record.accepts("restart", notifier="isa").code == code
    assert not record.problems


@pytest.mark.parametrize("event", ["", "pause", "x-halt"])
def test_a_run_state_that_nobody_knows_is_not_said_to_run(event: str) -> None:
    """Also where the guest's own code shows that it went on after the instruction."""
    does = PlayedNotifier(event=event, state="x-crashed")
    found = probed(QEMU_7_2.but(kvm="hyperv", notifiers={"hyperv": does})).machine().notifier_named("hyperv")
    assert found is not None
    assert found.facts["panic-action"].answer == "unknown"
    assert found.facts["panic-stops-guest"].answer == "no"
    assert "pause" not in found.on_panic.accepted


@pytest.mark.parametrize("name", PANICS)
def test_an_event_before_the_guest_has_run_is_no_panic(name: str) -> None:
    """A build sends GUEST_PANICKED when it is started, as if it had been restored from a panicked one."""
    does, changed, code = PANICS[name]
    record = probed(ISA_ONLY.but(notifiers={"pvpanic": does}, early_event=True))
    assert answers(isa(record)) == WORKS | changed
    assert record.accepts("restart", notifier="isa").code == code


def test_a_device_that_nothing_lists_is_written_to_again() -> None:
    """Firmware may intercept a write, whether the build lists the device or not."""
    loses = {"pvpanic": PlayedNotifier(lost=1)}
    record = probed(ISA_ONLY.but(lacks=("qom-list", "info qtree", "info mtree"), notifiers=loses))
    assert answers(isa(record)) == WORKS


def test_another_device_that_is_unknown_says_nothing_about_the_notifier() -> None:
    said = "-device nosuch: 'nosuch' is not a valid device model name"
    record = probed(QEMU_7_2.but(unstartable={"pc-q35-7.2": said}), "pc", "q35")
    notifiers = record.machine("q35").notifiers
    attachable = {n.model: n.facts["pvpanic-attachable"].answer for n in notifiers}
    assert attachable == {"isa": "unknown", "pvpanic": "unknown", "hyperv": "unknown"} | dict.fromkeys(
        ("pseries", "s390"), "no"
    )


@pytest.mark.parametrize(
    ("kvm", "answer", "code"),
    [("denied", "unknown", "probe-inconclusive"), ("absent", "no", "panic-not-reported")],
)
def test_tcg_proves_nothing_about_a_kvm_that_is_denied(kvm: Any, answer: str, code: str) -> None:
    """Whoever may not open ``/dev/kvm`` learns why the answer is unknown; without a KVM it is known."""
    record = probed(QEMU_7_2.but(kvm=kvm))
    found = record.machine().notifier_named("hyperv")
    assert found is not None
    assert found.facts["panic-reported"].answer == answer
    decision = record.accepts("restart", notifier="hyperv")
    assert decision.code == code
    assert ("Permission denied" in decision.reason) == (kvm == "denied")


@pytest.mark.parametrize(
    ("kvm", "reason"), [("plain", "this host's KVM has no Hyper-V"), ("hyperv", "although KVM accepts it")]
)
def test_a_write_that_kvm_accepts_and_nothing_reports_is_no_lack_of_the_host(kvm: Any, reason: str) -> None:
    silent = PlayedNotifier(event="", state="running")
    record = probed(QEMU_7_2.but(kvm=kvm, notifiers={"hyperv": silent}))
    found = record.machine().notifier_named("hyperv")
    assert found is not None
    fact = found.facts["panic-reported"]
    assert (fact.answer, fact.how) == ("no", "observed")
    assert fact.detail.endswith(reason)


@pytest.mark.parametrize("when", ["at-once", "after-reply", "after-next-reply"])
@pytest.mark.parametrize("pci", ["by-hand", "by-firmware"])
def test_the_pci_device_is_judged_alike(pci: Any, when: Any) -> None:
    for does, changed, _ in PANICS.values():
        notifiers = {"pvpanic-pci": does._replace(when=when)}
        played = QEMU_7_2.but(types=("pvpanic-pci",), pci=pci, notifiers=notifiers)
        found = probed(played).machine().notifier_named("pvpanic")
        assert found is not None
        assert answers(found) == WORKS | changed


@pytest.mark.parametrize("hides", [("qom-list",), ("info qtree",), ("qom-list", "info qtree"), ()])
@pytest.mark.parametrize("port", [0x505, 0x506])
@pytest.mark.parametrize("beside", [True, False])
def test_a_builtin_below_another_object_is_found(hides: tuple[str, ...], port: int, beside: bool) -> None:
    """``info mtree`` shows its port; libvirt's own device may be refused beside it, or not."""
    played = ISA_ONLY.but(
        builtin=("pc-i440fx-7.2",),
        builtin_path="/machine/board/pvpanic",
        hides=hides,
        port=port,
        builtin_port=port,
        beside_builtin=beside,
    )
    record = probed(played)
    machine = record.machine()
    assert machine.facts["builtin-pvpanic"].answer == "yes"
    assert machine.builtin is not None
    assert (machine.builtin.type, machine.builtin.port) == ("pvpanic", port)
    assert record.accepts("restart").code == "builtin-panic-device"
    assert isa(record).facts["pvpanic-attachable"].answer == ("yes" if beside else "no")


@pytest.mark.parametrize("live", ["pvpanic", "isa-pvpanic"])
def test_of_two_names_the_live_one_counts(live: str) -> None:
    """A build has both type names, and nothing answers at one of them."""
    dead = "isa-pvpanic" if live == "pvpanic" else "pvpanic"
    record = probed(QEMU_7_2.but(types=(live, dead), notifiers={dead: PlayedNotifier(mask=None)}))
    assert isa(record).type == live
    assert answers(isa(record)) == WORKS
    assert record.accepts("pause", notifier="isa")


def test_the_name_of_2013_alone_is_named_in_the_record() -> None:
    """A translation must know that libvirt's ``model='isa'`` would not start there."""
    record = probed(QEMU_7_2.but(types=("isa-pvpanic",)))
    assert isa(record).type == "isa-pvpanic"
    assert answers(isa(record)) == WORKS


@pytest.mark.parametrize("none", [("none",), ()])
def test_each_machine_type_stands_for_itself(none: tuple[str, ...]) -> None:
    """The first one is misspelt: the emulator's facts and the other machine types are known all the same."""
    played = QEMU_7_2.but(machines=("pc-i440fx-7.2=pc", "pc-q35-7.2=q35", *none), pci="by-hand")
    record = probed(played, "misspelt", "pc", "q35")
    assert emulator(record) == EMULATOR
    assert [machine.name for machine in record.machines] == ["misspelt", "pc-i440fx-7.2", "pc-q35-7.2"]
    misspelt, *others = record.machines
    assert not misspelt.started
    assert "misspelt: unsupported machine type" in misspelt.problem
    for machine in others:
        assert {n.model: answers(n) for n in machine.notifiers if n.model in ("isa", "pvpanic")} == {
            "isa": WORKS,
            "pvpanic": WORKS,
        }


def test_nothing_but_misspelt_machine_types_is_an_error_in_the_emulators_words() -> None:
    with pytest.raises(EmulatorError, match="misspelt: unsupported machine type"):
        probed(QEMU_7_2.but(machines=("pc-i440fx-7.2=pc",)), "misspelt")


def test_without_a_default_machine_type_the_error_is_the_first_starts() -> None:
    with pytest.raises(EmulatorError, match="no default"):
        probed(QEMU_7_2.but(machines=("pc-i440fx-7.2=pc",), has_default=False))


@pytest.mark.parametrize("notifier", [None, "pvpanic"])
def test_without_the_pci_type_the_pci_notifier_is_answered_no(notifier: NotifierModel | None) -> None:
    """Also where no list of types is answered, and only the device's refusal shows it."""
    for lacks in ((), ("qom-list-types",), ("qom-list-types", "device-list-properties")):
        record = probed(ISA_ONLY.but(lacks=lacks), notifier=notifier)
        found = record.machine().notifier_named("pvpanic")
        assert found is not None
        assert found.facts["pvpanic-attachable"].answer == "no"
        assert found.facts["panic-reported"].answer == "no"


@pytest.mark.parametrize("lacks", [(), ("ioport",), ("qom-get",), ("info qtree",), ("qom-list",)])
@pytest.mark.parametrize("port", [0x506, 0x600])
def test_another_port_is_found_by_what_shows_it(port: int, lacks: tuple[str, ...]) -> None:
    assert answers(isa(probed(ISA_ONLY.but(port=port, lacks=lacks)))) == WORKS


def test_an_unknown_port_is_not_taken_for_a_dead_device() -> None:
    record = probed(ISA_ONLY.but(port=0x600, lacks=("ioport", "info mtree")))
    assert isa(record).facts["panic-reported"].answer == "unknown"


@pytest.mark.parametrize("target", ["s390x", "ppc64"])
def test_a_documented_notifier_that_does_not_work_is_not_trusted(target: str) -> None:
    """The architecture promises a report; this build stops the guest without one, or sends it and goes on."""
    name, machine = ("s390", "s390-ccw-virtio") if target == "s390x" else ("pseries", "pseries")
    for does in (PlayedNotifier(event=""), PlayedNotifier(event="run", state="running")):
        played = PlayedEmulator(
            target=target, machines=(machine, "none"), types=(), pci="by-hand", notifiers={name: does}
        )
        assert not probed(played).accepts("pause")


# The same on real QEMUs: their own options, or with some answers changed on the way

Emulators = Callable[..., list[str]]


def machine_of(command: list[str], *machines: str, **options: Any) -> tuple[CapabilityRecord, MachineRecord]:
    record = probe(command, machines=machines, timeout=60, **options)
    return record, record.machine()


@pytest.mark.emulators
@pytest.mark.parametrize(
    ("action", "word", "code"),
    [
        ("panic=exit-failure", "poweroff", "panic-ends-emulator"),  # the probe keeps it by -no-shutdown
        ("panic=shutdown,shutdown=poweroff", "poweroff", "panic-ends-emulator"),
        ("panic=none", "run", "panic-does-not-stop-guest"),
    ],
)
def test_a_real_emulator_does_to_a_panic_what_its_options_say(action: str, word: str, code: str) -> None:
    record, _ = machine_of(["qemu-system-x86_64", "-action", action], "pc", notifier="isa")
    assert emulator(record) == EMULATOR
    assert isa(record).facts["panic-reported"].answer == "yes"
    assert isa(record).facts["panic-action"].answer == word
    assert record.accepts("restart", notifier="isa").code == code


@pytest.mark.emulators
def test_a_real_emulator_is_known_though_its_first_machine_type_is_misspelt() -> None:
    record, _ = machine_of(["qemu-system-x86_64"], "misspelt", "pc", notifier="isa")
    assert emulator(record) == EMULATOR
    assert answers(isa(record, "pc")) == WORKS


@pytest.mark.emulators
@pytest.mark.parametrize(
    ("options", "changed"),
    [
        (["-global", "pvpanic.ioport=0x600"], {}),
        (["-global", "pvpanic.events=1"], {}),
        (["-global", "pvpanic.events=2"], {"panic-reported": "no"}),
    ],
)
def test_a_real_device_is_found_at_its_port_and_with_its_bits(
    options: list[str], changed: dict[str, str]
) -> None:
    record, _ = machine_of(["qemu-system-x86_64", *options], "pc", notifier="isa")
    assert answers(isa(record)) == WORKS | changed


@pytest.mark.emulators
def test_a_real_emulator_without_the_pci_type_has_no_pci_notifier(debian_emulator: Emulators) -> None:
    command = debian_emulator("bullseye", "qemu-system-x86_64")
    found = probe(command, notifier="pvpanic", timeout=60).machine().notifier_named("pvpanic")
    assert found is not None
    assert found.facts["pvpanic-attachable"].answer == "no"


CHANGES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "no event": ({"drop": ["GUEST_PANICKED"]}, {"panic-reported": "no"}),
    "paused": (
        {"replace": {'"status": "guest-panicked"': '"status": "paused"'}},
        {"panic-stops-guest": "no", "cont-after-panic": "unknown"},
    ),
    "late events": ({"delay": ["GUEST_PANICKED", "STOP"]}, {}),
    "isa-pvpanic only": ({"rename": ["pvpanic", "isa-pvpanic"]}, {}),
}


@pytest.mark.emulators
@pytest.mark.parametrize("name", CHANGES)
def test_a_real_emulator_with_one_thing_changed(name: str, tmp_path: Path) -> None:
    changes, changed = CHANGES[name]
    record, _ = machine_of(relayed(tmp_path, changes), "pc", notifier="isa")
    assert answers(isa(record)) == WORKS | changed
    assert isa(record).type == ("isa-pvpanic" if "rename" in changes else "pvpanic")


@pytest.mark.emulators
def test_a_real_builtin_that_only_its_port_shows(tmp_path: Path) -> None:
    """Its own device is refused beside it: ``duplicate fw_cfg file name``."""
    hide = {"child<pvpanic>": "child<container>", "dev: pvpanic, ": "dev: other, "}
    record, machine = machine_of(relayed(tmp_path, {"add": ["-device", "pvpanic"], "replace": hide}), "pc")
    assert machine.facts["builtin-pvpanic"].answer == "yes"
    assert machine.builtin is not None
    assert machine.builtin.port == 0x505
    assert "duplicate fw_cfg file name" in isa(record).facts["pvpanic-attachable"].detail
    assert record.accepts("restart").code == "builtin-panic-device"


@pytest.mark.emulators
def test_a_real_event_without_an_action_is_an_event(tmp_path: Path) -> None:
    changes = {"replace": {'"data": {"action": "pause"}': '"data": {}'}}
    record, _ = machine_of(relayed(tmp_path, changes), "pc", notifier="isa")
    assert answers(isa(record)) == WORKS
    assert isa(record).facts["panic-action"].detail == "no action; query-status: guest-panicked"
