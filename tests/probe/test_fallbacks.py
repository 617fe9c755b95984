"""What is changed about a start that failed, from the emulator's own words."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from onpanic.probe.asking.fallbacks import FALLBACKS, Start, next_start
from onpanic.probe.asking.notifier_starts import first_start
from onpanic.probe.asking.plan import ProbePlan
from onpanic.probe.conversation import Conversation, Entry
from onpanic.probe.emulator.notifier_models import NOTIFIER_MODELS, NotifierModel

DEFAULT = Start(
    None, named=False, target="x86_64", subject="isa", device="pvpanic", first=True, thorough=True
)
# What emulators say that a fallback is for
WORDS = (
    "accel",
    "no default audio driver available",
    "No 'usb-bus' bus found for device 'usb-mouse'",
    "firmware",
    "no default",
    "could not load bios",
    "could not load bios '/proc/self/fd/9'",
    "unknown option -qtest",
    "unable to find CPU model",
    "start-powered-off",
    "no transactional memory",
    "kernel image must be specified",
    "couldn't find rom image",
    "no slot/function available",
    "unsupported machine",
    "else",
)


def failed(words: str, options: str = "") -> Conversation:
    """Return the conversation of an emulator that refused to start with some words.

    :param options: Its command line, without its name.
    """
    ending = {
        "rc": 1,
        "why": f"qemu ended (status 1): {words}",
        "fault": "StartError",
    }
    argv = ["qemu", *options.split()]
    return Conversation([Entry("proc", "argv", argv), Entry("proc", "exit", ending)])


@pytest.mark.parametrize(
    ("words", "start", "expected"),
    [
        ("invalid accelerator tcg", DEFAULT, replace(DEFAULT, accel="")),
        ("no default audio driver", DEFAULT, replace(DEFAULT, options=("-audio", "none"))),
        ("'pvpanic' is not a valid device model name", DEFAULT, replace(DEFAULT, device="")),
        (
            "could not load firmware 'none'",
            replace(DEFAULT, target="riscv64", options=("-bios", "none")),
            replace(DEFAULT, target="riscv64"),
        ),
        ("no default machine", replace(DEFAULT, device=""), replace(DEFAULT, device="", machine="virt")),
        (
            "anything else",
            replace(DEFAULT, device=""),
            replace(DEFAULT, device="", subject="", machine="none", alone=True),
        ),
        (
            "'nosuch' is not a valid device model name",
            replace(DEFAULT, device="", machine="virt"),
            replace(DEFAULT, device="", subject="", machine="none", alone=True),
        ),
        (
            "Kernel image must be specified",  # m68k's default machine type
            replace(DEFAULT, target="m68k", device=""),
            replace(DEFAULT, target="m68k", device="", boot_image=bytes(0x10000)),
        ),
        (
            "Kernel or Flash image must be specified",  # sx1, which takes no -bios
            replace(DEFAULT, device="", boot_image=bytes(0x10000)),
            replace(DEFAULT, device="", boot_image=bytes(0x10000), image_option="-kernel"),
        ),
        (
            "Couldn't find rom image 'canon-a1100-rom1.bin'.",
            replace(DEFAULT, device=""),
            replace(DEFAULT, device="", boot_image=bytes(0x10000)),
        ),
        (
            "unsupported machine type",  # avr has neither a default machine type nor virt
            replace(DEFAULT, machine="virt", qtest=True, halted=True),
            replace(DEFAULT, machine="none", device="", subject="", qtest=True, alone=True),
        ),
        (
            "audio: Failed to create voice `lm4549.out'; No 'PCI' bus found for device 'pvpanic-pci'",
            replace(DEFAULT, subject="pvpanic", device="pvpanic-pci"),
            replace(DEFAULT, subject="pvpanic", device="pvpanic-pci", defaults=True),
        ),
        (
            "No 'PCI' bus found for device 'pvpanic-pci'",
            replace(DEFAULT, subject="pvpanic", device="pvpanic-pci", defaults=True),
            replace(DEFAULT, subject="", device=""),
        ),
        (
            "PCI: Only PCI/PCIe bridges can be plugged into pxb",
            replace(DEFAULT, subject="pvpanic", device="pvpanic-pci"),
            replace(DEFAULT, subject="pvpanic", device="pvpanic-pci", bus="pcie.0"),
        ),
        (
            "Bus 'pcie.0' not found",
            replace(DEFAULT, subject="pvpanic", device="pvpanic-pci", bus="pcie.0"),
            replace(DEFAULT, subject="pvpanic", device="pvpanic-pci", bus="pci.0"),
        ),
        (
            "Could not find vbootrom image 'ast27x0_bootrom.bin'",
            replace(DEFAULT, device=""),
            replace(DEFAULT, device="", boot_image=bytes(0x10000)),
        ),
        (
            "Could not find dtb file 'pegasos2.dtb'",
            replace(DEFAULT, device="", options=("-audio", "none")),
            replace(DEFAULT, device="", options=("-audio", "none"), boot_image=bytes(0x10000)),
        ),
        ("qtest is not known", replace(DEFAULT, qtest=True), DEFAULT),
        ("no KVM", replace(DEFAULT, accel="kvm"), DEFAULT),
    ],
)
def test_the_words_decide_what_is_changed(words: str, start: Start, expected: Start) -> None:
    """One thing is changed at a time, and nothing else."""
    found = next_start(failed(words), start)
    assert found is not None
    assert found[0] == expected


@pytest.mark.parametrize(
    ("options", "words", "again"),
    [
        ("-device usb-mouse -nodefaults", "No 'usb-bus' bus found for device 'usb-mouse'", True),
        ("-device ahci,bus=pcie.1 -nodefaults -device pvpanic,id=x", "Bus 'pcie.1' not found", True),
        ("-device usb-mouse -nodefaults", "-device usb-mouse: 'usb-mouse' is not a valid", False),
        ("-nodefaults -device usb-mouse -nodefaults", "No 'usb-bus' bus found for device", False),
        ("-device usb-mouse -nodefaults -device pvpanic", "No 'ISA' bus found for device 'pvpanic'", False),
        ("-nodefaults -device pvpanic", "No 'ISA' bus found", False),
    ],
)
def test_devices_of_the_user_get_the_buses_of_default_devices(options: str, words: str, again: bool) -> None:
    """Not if the user wants no default devices, nor for the probe's own device."""
    start = DEFAULT if "pvpanic" in options else replace(DEFAULT, device="")
    found = next_start(failed(words, options), start)
    assert found is not None
    assert (found[0] == replace(start, defaults=True)) == again


def test_a_board_that_needs_flash_memory_gets_an_empty_one_of_its_size() -> None:
    """connex and verdex of QEMU 7.2 say what they need in these words."""
    said = "A flash image must be given with the 'pflash' parameter"
    larger = next_start(failed(said), replace(DEFAULT, device=""))
    assert larger is not None
    assert larger[0].options[-1].endswith("file.size=32M")
    smaller = next_start(
        failed("device requires 16777216 bytes, block backend provides 33554432 bytes"), larger[0]
    )
    assert smaller is not None
    assert smaller[0].options == (larger[0].options[0], larger[0].options[1].replace("32M", "16M"))


def test_a_machine_type_that_the_user_named_is_not_replaced() -> None:
    """The type none is started only for what is true of the emulator, and only once."""
    other = Start("nosuch", named=True, target="arm")
    assert next_start(failed("unsupported machine type"), other) is None
    thorough = replace(other, first=True, thorough=True)
    assert next_start(failed("anything"), thorough) == (
        replace(thorough, machine="none", alone=True),
        False,
    )
    assert next_start(failed("anything"), replace(thorough, machine="none")) is None


def test_an_emulator_that_ends_when_its_guest_panics_is_asked_about_the_rest_without_a_panic() -> None:
    died = Conversation(
        [
            Entry("proc", "argv", ["qemu"]),
            Entry("qmp", "send", {"execute": "query-target", "id": 1}),
            Entry("qmp", "recv", {"return": {"arch": "x86_64"}, "id": 1}),
            Entry("qmp", "recv", {"event": "GUEST_PANICKED", "data": {"action": "poweroff"}}),
            Entry("proc", "exit", {"rc": 0, "why": "it ended (status 0)", "fault": "EndedError"}),
        ]
    )
    assert next_start(died, DEFAULT) == (replace(DEFAULT, subject=""), False)
    assert next_start(died, replace(DEFAULT, thorough=False)) is None


def test_a_start_that_succeeded_has_no_next_one() -> None:
    """An emulator that answered is asked no second time."""
    answered = Conversation(
        [
            Entry("proc", "argv", ["qemu"]),
            Entry("qmp", "send", {"execute": "query-target", "id": 1}),
            Entry("qmp", "recv", {"return": {"arch": "x86_64"}, "id": 1}),
            Entry("proc", "exit", {"rc": 0}),
        ]
    )
    assert next_start(answered, DEFAULT) is None


def test_an_emulator_that_dies_listing_its_types_is_asked_about_single_ones() -> None:
    """Listing loads modules, and one of another build aborts the emulator."""
    died = Conversation(
        [
            Entry("proc", "argv", ["qemu"]),
            Entry("qmp", "send", {"execute": "query-target", "id": 1}),
            Entry("qmp", "recv", {"return": {"arch": "x86_64"}, "id": 1}),
            Entry("qmp", "send", {"execute": "qom-list-types", "id": 2}),
            Entry("proc", "exit", {"rc": -6, "why": "it ended (SIGABRT)", "fault": "EndedError"}),
        ]
    )
    assert next_start(died, DEFAULT) == (replace(DEFAULT, one_by_one=True), False)
    assert next_start(died, replace(DEFAULT, one_by_one=True)) is None


@given(
    st.lists(st.sampled_from(WORDS), min_size=20, max_size=20),
    st.booleans(),
    st.sampled_from(["x86_64", "riscv64", "ppc64", "arm"]),
    st.sampled_from([None, *NOTIFIER_MODELS]),
)
@example(
    ["else", "no default audio driver available", *["unable to find CPU model"] * 3],
    False,
    "x86_64",
    "hyperv",
)
def test_it_comes_to_an_end_whatever_the_emulator_says(
    words: list[str], named: bool, target: str, notifier: NotifierModel | None
) -> None:
    """Each fallback is applied once at most, and no start is tried twice."""
    machine = "virt" if named else None
    start = first_start(["qemu"], ProbePlan(notifier=notifier), machine, target)
    seen = [start]
    for said in words:
        found = next_start(failed(said), start)
        if found is None:
            break
        start = found[0]
        assert start not in seen
        seen.append(start)
    assert len(seen) <= len(FALLBACKS) + 1
