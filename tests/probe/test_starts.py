"""Which starts it takes, and what one that goes wrong means for the others."""

import shlex
from pathlib import Path

import pytest

from onpanic.probe import probe
from onpanic.probe.testing import QEMU_1_7, QEMU_7_2, Fault, PlayedEmulator

pytestmark = pytest.mark.processes


def played_by_machine(folder: Path, **played: PlayedEmulator) -> str:
    """Return an emulator that behaves as another one for machine types with a word in their names."""
    cases = "".join(
        f'*-machine*{word}*) exec {shlex.join(emulator.command())} "$@" ;;\n'
        for word, emulator in played.items()
    )
    path = folder / "qemu-system-x86_64"
    path.write_text(
        f'#!/bin/sh\ncase "$*" in\n{cases}*) exec {shlex.join(QEMU_7_2.command())} "$@" ;;\nesac\n'
    )
    path.chmod(0o755)
    return str(path)


def test_a_device_under_the_name_of_2013_is_tried_as_well() -> None:
    """The type isa-pvpanic counts only if the device behaves as proposed."""
    record = probe(QEMU_1_7.but(types=("isa-pvpanic",)).command())
    assert record.facts["isa-pvpanic-type"].answer == "yes"
    assert record.machines[0].facts["pvpanic-attachable"].answer == "yes"
    assert record.accepts("pause")


def test_the_name_of_2013_does_not_help_a_design_that_is_broken() -> None:
    broken = QEMU_1_7.but(types=("isa-pvpanic",), resumable=False)
    assert probe(broken.command()).accepts("pause").code == "cont-refused-after-panic"


@pytest.mark.parametrize("cpu", ["qemu64,hv-crash", "max,hv-crash"])
def test_the_commands_own_device_is_judged_beside_a_cpu_with_hypervs_notifier(cpu: str) -> None:
    """The user's CPU may be the one that the probe starts for the other notifier."""
    record = probe([*QEMU_7_2.command(), "-cpu", cpu, "-device", "pvpanic"])
    machine = record.machines[0]
    assert machine.notifier == "isa"
    assert machine.facts["panic-reported"].answer == "yes"


def test_one_machine_type_that_hangs_does_not_keep_the_others_from_being_asked(tmp_path: Path) -> None:
    command = played_by_machine(tmp_path, q35=QEMU_7_2.failing(Fault("hang")))
    record = probe(command, all_machines=True, timeout=6)
    hanging = record.machine("q35")
    assert hanging.started
    assert hanging.incomplete
    assert "did not answer in time" in hanging.problem
    assert record.accepts("pause", machine="pc")
    assert record.machine("none").facts["pvpanic-attachable"].answer == "no"


def test_an_emulator_that_hangs_at_once_is_not_started_again(tmp_path: Path) -> None:
    """A hundred machine types would take a hundred deadlines."""
    command = QEMU_7_2.failing(Fault("hang", "query-status")).command()
    record = probe(command, machines=["pc", "q35", "none"], timeout=5)
    assert [machine.incomplete for machine in record.machines] == [True, True, True]
    assert sum("not started" in machine.problem for machine in record.machines) == 2


def test_a_machine_type_and_its_alias_are_asked_once() -> None:
    record = probe(QEMU_7_2.command(), machines=["q35", "pc-q35-7.2", "q35", "pc"])
    assert [machine.name for machine in record.machines] == ["pc-q35-7.2", "pc-i440fx-7.2"]


def test_an_emulator_that_dies_of_its_modules_is_asked_gently() -> None:
    """QEMU aborts in qom-list-types where modules of another build lie about; all else can be known."""
    record = probe(QEMU_7_2.failing(Fault("abort", "qom-list-types", "my last words")).command())
    assert record.accepts("pause")
    assert record.facts["pvpanic-pci-type"].answer == "yes"
    assert record.facts["isa-pvpanic-type"].answer == "no"
    assert "my last words" in record.problems[0]
    assert not record.machines[0].incomplete


NEEDS = {
    "audio": ("*'-audio none'*", "no default audio driver available"),
    "no firmware option": ("*-bios*", "could not load firmware 'none'"),
}


@pytest.mark.parametrize("need", NEEDS)
def test_a_machine_type_that_starts_with_another_option_only_is_started_with_it(
    need: str, tmp_path: Path
) -> None:
    """Boards with a codec want something to play on; some of RISC-V's have firmware of their own."""
    pattern, words = NEEDS[need]
    name = "qemu-system-riscv64" if need == "no firmware option" else "qemu-system-arm"
    starts = f'exec {shlex.join(QEMU_7_2.but(target=name.removeprefix("qemu-system-")).command())} "$@"'
    fails = f"echo {shlex.quote(words)} >&2; exit 1"
    first, rest = (starts, fails) if need == "audio" else (fails, starts)
    (tmp_path / name).write_text(f'#!/bin/sh\ncase "$*" in {pattern}) {first} ;; *) {rest} ;; esac\n')
    (tmp_path / name).chmod(0o755)
    record = probe(str(tmp_path / name))
    assert record.machines[0].started
    assert record.machines[0].facts["builtin-pvpanic"].answer == "no"


NOISE = "module audio-audio-pa not found\nALSA lib pcm.c: Unknown PCM default\naudio: Failed to create voice"


def test_what_a_sound_device_says_on_a_host_without_sound_is_no_reason(tmp_path: Path) -> None:
    """Up to QEMU 8.1 boards with a codec say so and start; the reason is what follows."""
    words = "-device pvpanic-pci: No 'PCI' bus found for device 'pvpanic-pci'"
    path = tmp_path / "qemu-system-arm"
    played = shlex.join(QEMU_7_2.but(target="arm").command())
    refused = f"echo {shlex.quote(words)} >&2; exit 1"
    cases = f'*pvpanic-pci*|*-audio*) {refused} ;; *) exec {played} "$@" ;;'
    path.write_text(f'#!/bin/sh\necho {shlex.quote(NOISE)} >&2\ncase "$*" in {cases} esac\n')
    path.chmod(0o755)
    machine = probe(str(path)).machines[0]
    assert machine.started
    pci = machine.notifier_named("pvpanic")
    assert pci is not None
    fact = pci.facts["pvpanic-attachable"]
    assert (fact.answer, fact.how) == ("no", "observed")
    assert fact.detail == f"it starts without the device, and with it says: {words}"


@pytest.mark.parametrize(
    "refuses", ["echo \"Could not load SHIX bios '$bios'\" >&2; exit 1", "kill -SEGV $$"]
)
def test_a_refusal_of_the_probes_own_image_does_not_take_the_place_of_the_emulators_words(
    refuses: str, tmp_path: Path
) -> None:
    """A board may need an image that fits, so that an empty one helps nothing."""
    path = tmp_path / "qemu-system-sh4"
    played = shlex.join(QEMU_7_2.but(target="sh4").command())
    path.write_text(
        f'#!/bin/sh\ncase "$*" in *none,accel*) exec {played} "$@" ;; esac\n'
        'bios=; while [ $# -gt 0 ]; do [ "$1" = -bios ] && bios=$2; shift; done\n'
        f'if [ "$bios" ]; then {refuses}; fi\n'
        "echo \"Could not load SHIX bios 'shix_bios.bin'\" >&2; exit 1\n"
    )
    path.chmod(0o755)
    record = probe(str(path), all_machines=True)
    assert not record.machines[0].started
    assert "Could not load SHIX bios 'shix_bios.bin'" in record.machines[0].problem


def test_a_bus_that_is_full_does_not_say_that_no_device_can_be_added(tmp_path: Path) -> None:
    """Another bus may have room: sun4u has two of them."""
    words = "PCI: no slot/function available for pvpanic-pci, all in use or reserved"
    path = tmp_path / "qemu-system-sparc64"
    played = shlex.join(QEMU_7_2.but(target="sparc64").command())
    refused = f"echo {shlex.quote(words)} >&2; exit 1"
    path.write_text(f'#!/bin/sh\ncase "$*" in *-device*) {refused} ;; *) exec {played} "$@" ;; esac\n')
    path.chmod(0o755)
    fact = probe(str(path)).machines[0].facts["pvpanic-attachable"]
    assert (fact.answer, fact.how) == ("unknown", None)
    assert "no slot/function available" in fact.detail
