"""Real emulators: each fact against the truth, on every QEMU that is available."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from onpanic.matrix.debian import Root
from onpanic.probe import CapabilityRecord, MachineRecord, probe

pytestmark = pytest.mark.emulators

Emulator = Callable[..., list[str]]
SUITES = ("bullseye", "bookworm", "trixie", "sid")
WORKS = {
    "builtin-pvpanic": "no",
    "pvpanic-attachable": "yes",
    "panic-reported": "yes",
    "panic-action": "pause",
    "panic-stops-guest": "yes",
    "cont-after-panic": "yes",
}
HOST = "qemu-system-x86_64"


def answers(machine: MachineRecord) -> dict[str, str]:
    return {name: machine.facts[name].answer for name in WORKS}


@pytest.mark.parametrize("suite", SUITES)
def test_the_default_machine_type_of_each_debian(suite: str, debian_emulator: Emulator) -> None:
    """5.2, 7.2, 10.0 and 11.1 all have a working ISA device, and say so by what they do."""
    record = probe(debian_emulator(suite))
    (machine,) = record.machines
    assert answers(machine) == WORKS
    assert machine.default
    assert machine.aliases == ["pc"]
    assert machine.on_panic.refused.keys() == {"crash"}
    assert all(machine.facts[name].how == "observed" for name in ("panic-reported", "cont-after-panic"))
    assert record.emulator.target == "x86_64"
    assert (
        record.emulator.version.split(".")[0]
        == {"bullseye": "5", "bookworm": "7", "trixie": "10", "sid": "11"}[suite]
    )
    assert not record.problems


@pytest.mark.parametrize(
    ("suite", "fact", "answer"),
    [
        ("bullseye", "set-action-command", "no"),
        ("bullseye", "pvpanic-pci-type", "no"),
        ("bookworm", "set-action-command", "yes"),
        ("bookworm", "pvpanic-pci-type", "yes"),
        ("sid", "guest-crashloaded-event", "yes"),
        ("sid", "isa-pvpanic-type", "no"),
    ],
)
def test_facts_of_the_emulator(suite: str, fact: str, answer: str, debian_emulator: Emulator) -> None:
    assert probe(debian_emulator(suite)).facts[fact].answer == answer


@pytest.mark.parametrize("suite", ["bullseye", "trixie", "sid"])  # bookworm's are checked in README.md
def test_every_machine_type(suite: str, debian_emulator: Emulator) -> None:
    """All pc and q35 machine types work; what has no ISA bus, or does not start here, is not guessed at."""
    record = probe(debian_emulator(suite), all_machines=True)
    pcs = [machine for machine in record.machines if machine.name.startswith(("pc-", "isapc", "microvm"))]
    assert len(pcs) > 20
    assert [machine.name for machine in pcs if answers(machine) != WORKS] == []
    assert record.machine("none").facts["pvpanic-attachable"].answer == "no"
    for machine in record.machines:
        if not machine.started:
            assert {fact.answer for fact in machine.facts.values()} == {"unknown"}
            assert machine.problem


def test_the_event_mask_is_that_of_the_build_not_of_the_machine_type(debian_emulator: Emulator) -> None:
    """QEMU 9.1 offers bit 2 on machine types that did not offer it before."""
    masks = {}
    for suite in ("bookworm", "trixie"):
        (machine,) = probe(debian_emulator(suite), machines=["pc-i440fx-7.2"]).machines
        masks[suite] = {one.model: one.event_mask for one in machine.notifiers if one.event_mask}
    assert masks == {"bookworm": {"isa": 3, "pvpanic": 3}, "trixie": {"isa": 7, "pvpanic": 7}}


@pytest.mark.parametrize("machine", ["pc", "q35", "pc-i440fx-1.6", "microvm"])
def test_acpi_tables_name_the_device_when_it_is_there(machine: str) -> None:
    """Tables of QEMU and, for machine types up to 1.6, of the firmware."""
    fact = probe(HOST, machines=[machine], acpi=True).machines[0].facts["acpi-exposes-pvpanic"]
    assert (fact.answer, fact.how) == ("yes", "observed")


def test_a_machine_without_acpi_exposes_nothing() -> None:
    fact = probe(HOST, machines=["isapc"], acpi=True).machines[0].facts["acpi-exposes-pvpanic"]
    assert (fact.answer, fact.how) == ("no", "observed")


@pytest.mark.parametrize(
    ("emulator", "machine"),
    [
        ("qemu-system-aarch64", "virt"),
        ("qemu-system-riscv64", "virt"),
        ("qemu-system-loongarch64", "virt"),
    ],
)
def test_the_pci_device_where_there_is_no_isa_bus(
    emulator: str, machine: str, debian_emulator: Emulator
) -> None:
    record = probe(debian_emulator("trixie", emulator), machines=[machine])
    (found,) = record.machines
    assert answers(found) == WORKS
    assert found.facts["panic-reported"].how == "observed"
    assert found.notifier == "pvpanic"


@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_the_pci_device_on_x86(machine: str) -> None:
    (found,) = probe(HOST, machines=[machine], notifier="pvpanic").machines
    assert answers(found) == WORKS
    assert found.notifier == "pvpanic"


@pytest.mark.parametrize(
    ("emulator", "model"), [("qemu-system-s390x", "s390"), ("qemu-system-ppc64", "pseries")]
)
def test_a_notifier_that_belongs_to_the_architecture_is_observed(
    emulator: str, model: str, debian_emulator: Emulator
) -> None:
    record = probe(debian_emulator("trixie", emulator))
    (machine,) = record.machines
    assert answers(machine) == WORKS
    hows = {machine.facts[n].how for n in ("panic-reported", "panic-stops-guest", "cont-after-panic")}
    assert hows == {"observed"}
    assert machine.notifier == model
    assert record.accepts("pause", coredump=True)
    assert record.accepts("ignore").code == "ignore-needs-set-action"


def test_an_emulator_without_a_default_machine_type_is_judged_by_virt(debian_emulator: Emulator) -> None:
    (machine,) = probe(debian_emulator("trixie", "qemu-system-aarch64")).machines
    assert machine.aliases == ["virt"]
    assert not machine.default


def test_an_emulator_that_has_no_virt_either_is_not_said_to_have_one(debian_emulator: Emulator) -> None:
    record = probe(debian_emulator("trixie", "qemu-system-avr"), all_machines=True)
    assert record.machines[0].name == "none"
    assert all(machine.started for machine in record.machines)


@pytest.mark.parametrize(
    ("emulator", "machine"), [("arm", "canon-a1100"), ("arm", "sx1"), ("m68k", "an5206"), ("m68k", "q800")]
)
def test_a_board_that_needs_an_image_is_started_with_an_empty_one(
    emulator: str, machine: str, debian_emulator: Emulator
) -> None:
    (found,) = probe(debian_emulator("trixie", f"qemu-system-{emulator}"), machines=[machine]).machines
    assert found.started
    assert found.facts["pvpanic-attachable"].answer == "no"


def test_a_bus_that_only_default_devices_bring_is_a_bus(debian_emulator: Emulator) -> None:
    """powernv creates its root ports as default devices; the record is that of ``-device pvpanic-pci``."""
    command = debian_emulator("trixie", "qemu-system-ppc64")
    (found,) = probe(command, machines=["powernv9"], notifier="pvpanic").machines
    assert found.notifiers[1].facts["pvpanic-attachable"].answer == "yes"


@pytest.mark.parametrize(
    ("options", "changed", "code"),
    [
        (["-global", "pvpanic.ioport=0x600"], {}, ""),  # where the firmware puts another device
        (["-device", "pvpanic"], {}, ""),
        (["-device", "pvpanic,id=theirs,ioport=0x606"], {}, ""),
        (["-global", "pvpanic.events=255"], {}, ""),
        (["-machine", "q35", "-nodefaults", "-S"], {}, ""),
        (["-global", "pvpanic.events=2"], {"panic-reported": "no"}, "panic-not-reported"),
        (
            ["-global", "pvpanic.ioport=0"],
            {
                "panic-reported": "no",
                "panic-action": "run",
                "panic-stops-guest": "no",
                "cont-after-panic": "unknown",
            },
            "panic-not-reported",
        ),
        (
            ["-action", "panic=none"],
            {"panic-action": "run", "panic-stops-guest": "no", "cont-after-panic": "unknown"},
            "panic-does-not-stop-guest",
        ),
        (["-action", "panic=exit-failure"], {"panic-action": "poweroff"}, "panic-ends-emulator"),
        (
            ["-action", "panic=shutdown,shutdown=poweroff"],
            {"panic-action": "poweroff", "panic-stops-guest": "no", "cont-after-panic": "unknown"},
            "panic-ends-emulator",
        ),
        (["-action", "panic=shutdown"], {}, ""),
    ],
)
def test_what_the_command_does_to_the_device(options: list[str], changed: dict[str, str], code: str) -> None:
    """The command is the emulator: its own options count, and are seen by what they do."""
    record = probe([HOST, *options], notifier="isa")
    assert answers(record.machines[0]) == WORKS | changed
    assert record.accepts("pause").code == code


def test_introspection_starts_no_guest_and_proves_nothing() -> None:
    record = probe(HOST, introspect_only=True)
    facts = record.machines[0].facts
    assert facts["pvpanic-attachable"].answer == "yes"
    assert {facts[n].answer for n in ("panic-reported", "panic-stops-guest", "cont-after-panic")} == {
        "unknown"
    }
    assert record.facts["guest-panicked-event"].how == "introspected"
    assert record.accepts("pause").code == "probe-inconclusive"


def test_a_recording_answers_as_the_emulator_did(tmp_path: Path) -> None:
    """Same facts, same decision; only how they are known differs."""
    file = tmp_path / "recording.jsonl"
    command = [sys.executable, "-m", "onpanic", "probe", "--format", "json"]
    options = ["--machine", "pc", "--machine", "q35", "--acpi", "--save-recording", str(file)]
    printed = [
        subprocess.check_output([*command, *words], timeout=120)
        for words in ([*options, HOST], ["--recording", str(file)])
    ]
    live, replayed = map(CapabilityRecord.from_json, printed)
    assert [answers(m) for m in live.machines] == [answers(m) for m in replayed.machines]
    assert [m.on_panic for m in live.machines] == [m.on_panic for m in replayed.machines]
    assert live.emulator == replayed.emulator
    hows = {fact.how for machine in replayed.machines for fact in machine.facts.values()}
    assert hows == {"recorded"}


def test_an_emulator_without_tcg_is_asked_with_its_own_accelerator(tmp_path: Path) -> None:
    """A build for KVM only refuses accel=tcg by name."""
    wrapper = tmp_path / "qemu-without-tcg"
    wrapper.write_text(
        "#!/bin/sh\n"
        'case "$*" in *accel=tcg*) echo "qemu: invalid accelerator tcg" >&2; exit 1;; esac\n'
        f'exec {HOST} "$@"\n'
    )
    wrapper.chmod(0o755)
    assert answers(probe(str(wrapper)).machines[0]) == WORKS


def test_options_of_the_machine_type_count_in_every_start() -> None:
    """The firmware of a machine without ACPI leaves no tables, whatever the machine type does by itself."""
    (machine,) = probe(HOST, machines=["pc,acpi=off"], acpi=True).machines
    assert machine.facts["acpi-exposes-pvpanic"].answer == "no"
    assert machine.name.startswith("pc-i440fx")


@pytest.mark.parametrize("option", ["-machine", "-M", "--machine"])
def test_the_commands_own_machine_type_is_the_default(option: str) -> None:
    record = probe([HOST, option, "q35"], notifier="pvpanic")
    assert [machine.aliases for machine in record.machines] == [["q35"]]
    assert record.accepts("pause")


def test_a_machine_that_is_still_to_be_made_shows_nothing(tmp_path: Path) -> None:
    script = tmp_path / "run"
    script.write_text(f'#!/bin/sh\nexec {HOST} -preconfig "$@"\n')
    script.chmod(0o755)
    (machine,) = probe(str(script)).machines
    assert {fact.answer for fact in machine.facts.values()} == {"unknown"}


def test_silence_proves_nothing_without_a_device(debian_emulator: Emulator) -> None:
    """5.2 has no PCI device to judge by."""
    (machine,) = probe(debian_emulator("bullseye"), notifier="pvpanic").machines
    assert machine.facts["pvpanic-attachable"].answer == "no"
    assert machine.facts["panic-reported"].answer == "no"
    assert machine.notifier is None


@pytest.mark.parametrize("machine", ["virt-6.0", "virt-6.1"])
def test_older_machine_types_have_their_pci_window_under_another_name(
    machine: str, debian_emulator: Emulator
) -> None:
    (found,) = probe(debian_emulator("trixie", "qemu-system-aarch64"), machines=[machine]).machines
    assert answers(found) == WORKS


def test_a_qemu_that_aborts_over_modules_of_another_build_is_known_all_the_same(
    debian_root: Callable[[str], Root],
) -> None:
    """It dies in qom-list-types, as it would under libvirt; that is said, and nothing is left unknown."""
    modules = "usr/lib/x86_64-linux-gnu/qemu"
    bind = ["--ro-bind", str(debian_root("bookworm").path / modules), f"/{modules}"]
    command = debian_root("trixie").command(HOST)
    record = probe([*command[:4], *bind, *command[4:]])
    assert "Only modules from the same build can be loaded" in record.problems[0]
    assert answers(record.machines[0]) == WORKS
    assert "unknown" not in {fact.answer for fact in record.facts.values()}


@pytest.mark.parametrize(
    ("suite", "target", "machines"),
    [
        ("bullseye", "x86_64", {"pc": "yes", "q35": "yes", "pc-i440fx-2.4": "no", "none": "no"}),
        ("trixie", "x86_64", {"pc": "yes", "isapc": "yes", "microvm": "yes", "none": "no"}),
        ("trixie", "aarch64", {"virt": "yes", "raspi3b": "no"}),
        ("trixie", "riscv64", {"virt": "yes", "spike": "no"}),
        ("trixie", "s390x", {"s390-ccw-virtio": "no"}),
        ("trixie", "ppc64", {"pseries": "no", "mac99": "no"}),
        ("trixie", "hppa", {"B160L": "no"}),
    ],
)
def test_vmcoreinfo_can_be_had_where_qemu_accepts_the_device(
    suite: str, target: str, machines: dict[str, str], debian_emulator: Emulator
) -> None:
    """It is read from fw_cfg without the device, and is what a start with the device shows."""
    emulator = debian_emulator(suite, f"qemu-system-{target}")
    record = probe(emulator, machines=list(machines), introspect_only=True)
    found = {name: record.machine(name).facts["vmcoreinfo-attachable"].answer for name in machines}
    assert found == machines
    for name, answer in machines.items():
        options = ["-S", "-nodefaults", "-display", "none", "-machine", name, "-device", "vmcoreinfo"]
        firmware = ["-bios", "none"] if target == "riscv64" else []
        started = subprocess.run(
            [*emulator, *options, *firmware, "-monitor", "stdio"],
            input="quit\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (started.returncode == 0) == (answer == "yes"), started.stderr
        assert answer == "yes" or "vmcoreinfo" in started.stderr


def test_the_commands_own_vmcoreinfo_is_seen() -> None:
    (machine,) = probe([HOST, "-device", "vmcoreinfo"], notifier="isa").machines
    assert machine.facts["vmcoreinfo-attachable"].how == "observed"
