"""Translating ``-device isa-pvpanic`` on the command line, and moving builtin devices away."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from onpanic.probe import CapabilityRecord, RecordError
from onpanic.probe.facts import Fact
from onpanic.probe.record.capability_record import Builtin
from onpanic.shims import RefusedError, translated_command_line, translated_device

Recorded = Callable[..., CapabilityRecord]

AWAY = ["-global", "pvpanic.ioport=0"]


@pytest.mark.parametrize(
    ("device", "translated"),
    [
        ("isa-pvpanic", "pvpanic"),
        ("isa-pvpanic,id=notifier", "pvpanic,id=notifier"),
        ("isa-pvpanic,id=isa-pvpanic,ioport=0x506", "pvpanic,id=isa-pvpanic,ioport=0x506"),
        ("driver=isa-pvpanic,events=1", "driver=pvpanic,events=1"),
        ("id=p,driver=isa-pvpanic", "id=p,driver=pvpanic"),
        ('{"driver": "isa-pvpanic", "ioport": 1285}', '{"driver": "pvpanic", "ioport": 1285}'),
        ("pvpanic", "pvpanic"),
        ("pvpanic-pci", "pvpanic-pci"),
        ("virtio-net,id=isa-pvpanic", "virtio-net,id=isa-pvpanic"),
        ('{"driver": "isa-pv', '{"driver": "isa-pv'),
        ("", ""),
    ],
)
def test_the_proposed_name_becomes_the_emulators(
    device: str, translated: str, record: CapabilityRecord
) -> None:
    assert translated_device(device, record) == translated
    assert translated_command_line(["-device", device], record) == ["-device", translated]
    assert translated_command_line(["--device", device, "-S"], record) == ["--device", translated, "-S"]


def test_a_device_goes_by_the_name_with_which_it_works(recorded: Recorded) -> None:
    """An emulator may have both names, or the proposed one only; the name alone proves nothing."""
    live, dead = Fact("yes", "observed", "it came"), Fact("no", "observed", "no event")
    for name, other in (("pvpanic", "isa-pvpanic"), ("isa-pvpanic", "pvpanic")):
        record = with_isa(recorded(), name, live)
        assert translated_device(f"isa-pvpanic,id=a,bus={other}", record) == f"{name},id=a,bus={other}"
        assert json.loads(translated_device('{"driver": "isa-pvpanic"}', record)) == {"driver": name}
        with pytest.raises(RefusedError, match="panic-not-reported"):
            translated_device("isa-pvpanic", with_isa(record, name, dead))


def with_isa(record: CapabilityRecord, qom_type: str, reported: Fact) -> CapabilityRecord:
    """Return the record of an emulator that has both names for the ISA device, the best of which is given."""
    (machine,) = record.machines
    facts = {"panic-reported": reported}
    isa = replace(machine.notifiers[0], type=qom_type, facts=machine.notifiers[0].facts | facts)
    machine = replace(machine, facts=machine.facts | facts, notifiers=[isa, *machine.notifiers[1:]])
    types = {f"{name}-type": Fact("yes", "introspected", "listed") for name in ("pvpanic", "isa-pvpanic")}
    return replace(record, facts=record.facts | types, machines=[machine])


def test_a_record_of_version_1_is_about_pvpanic(recorded: Recorded) -> None:
    """It does not say which device was measured; 0.1.0 measured the one named pvpanic."""
    record = with_isa(recorded(), "pvpanic", Fact("yes", "observed", "it came"))
    (machine,) = record.machines
    old = replace(record, machines=[replace(machine, notifiers=[replace(machine.notifiers[0], type=None)])])
    assert translated_device("isa-pvpanic", old) == "pvpanic"
    with pytest.raises(RefusedError, match="no-isa-notifier"):
        translated_device("isa-pvpanic", replace(old, machines=[replace(machine, notifiers=[])]))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("qemu-1.5.3", "builtin-panic-device"),
        ("qemu-1.6.0", "cont-refused-after-panic"),
        ("rhel-6.8-0.12.1.2", "cont-refused-after-panic"),
        ("qemu-1.6.0-paused", "probe-inconclusive"),
        ("qemu-1.7.0", ""),
    ],
)
def test_a_device_that_does_not_work_is_refused(name: str, code: str, recorded: Recorded) -> None:
    """The device is refused under either name."""
    record = recorded(name=name)
    if not code:
        assert translated_device("isa-pvpanic", record) == "pvpanic"
        return
    for function in (translated_device, lambda device, of: translated_command_line(["-device", device], of)):
        with pytest.raises(RefusedError) as caught:
            function("isa-pvpanic", record)
        assert caught.value.decision.code == code
        assert caught.value.decision.remedy


@pytest.mark.parametrize(
    ("machine", "target", "model"),
    [
        ("virt", "aarch64", "pvpanic"),
        ("s390-ccw-virtio", "s390x", "s390"),
        ("pseries-7.2", "ppc64", "pseries"),
    ],
)
def test_a_machine_type_without_isa(machine: str, target: str, model: str, recorded: Recorded) -> None:
    with pytest.raises(RefusedError, match="no-isa-notifier"):
        translated_device("isa-pvpanic", recorded(machine, target, model))


@pytest.mark.parametrize(
    ("options", "translated"),
    [
        ([], AWAY),
        (["-S", "-m", "64"], ["-S", "-m", "64", *AWAY]),
        (AWAY, AWAY),
        (["--global", "pvpanic.ioport=0"], ["--global", "pvpanic.ioport=0"]),
        # One that was asked for stays where guests look for it
        (["-device", "pvpanic"], ["-device", "pvpanic,ioport=1285", *AWAY]),
        (["-device", "pvpanic,id=a"], ["-device", "pvpanic,id=a,ioport=1285", *AWAY]),
        (["-device", "pvpanic,ioport=0x506"], ["-device", "pvpanic,ioport=0x506", *AWAY]),
        (["-device", '{"driver": "pvpanic"}'], ["-device", '{"ioport": 1285, "driver": "pvpanic"}', *AWAY]),
        (["-device", "pvpanic-pci"], ["-device", "pvpanic-pci", *AWAY]),
        (["-device"], ["-device", *AWAY]),
    ],
)
def test_a_builtin_device_is_moved_away(
    options: list[str], translated: list[str], recorded: Recorded
) -> None:
    record = recorded(name="qemu-1.5.3")
    once = translated_command_line(options, record)
    assert once == translated
    assert translated_command_line(once, record) == once


def test_a_builtin_device_is_moved_away_by_its_own_type(recorded: Recorded) -> None:
    record = recorded(name="qemu-1.5.3")
    (machine,) = record.machines
    named = replace(record, machines=[replace(machine, builtin=Builtin("isa-pvpanic", 0x505))])
    away = ["-global", "isa-pvpanic.ioport=0"]
    assert translated_command_line(["-device", "pvpanic"], named) == ["-device", "pvpanic", *away]
    assert translated_command_line(away, named) == away


def test_every_type_is_moved_away_where_it_is_not_known_which_is_builtin(recorded: Recorded) -> None:
    record = with_isa(recorded(), "pvpanic", Fact("yes", "observed", "it came"))
    (machine,) = record.machines
    facts = machine.facts | {"builtin-pvpanic": Fact("unknown", None, "not asked")}
    unsure = replace(record, machines=[replace(machine, facts=facts)])
    assert translated_command_line([], unsure) == [*AWAY, "-global", "isa-pvpanic.ioport=0"]


def test_nothing_is_moved_where_nothing_is(record: CapabilityRecord) -> None:
    assert translated_command_line(["-device", "pvpanic", "-S"], record) == ["-device", "pvpanic", "-S"]


def test_a_machine_type_that_the_record_does_not_have(record: CapabilityRecord) -> None:
    with pytest.raises(RecordError, match="no machine type 'q35'"):
        translated_command_line([], record, "q35")


WORDS = st.sampled_from(
    ["-device", "--device", "-global", "pvpanic", "pvpanic,id=x", "isa-pvpanic", "pvpanic.ioport=0", "-S", ""]
) | st.text(max_size=5)


@given(st.lists(WORDS, max_size=6), st.sampled_from(["qemu-1.5.3", "qemu-1.7.0"]))
def test_what_is_translated_needs_no_translation(recorded: Recorded, options: list[str], name: str) -> None:
    """A second translation changes nothing, and options without pvpanic stay where they are."""
    record = recorded(name=name)
    try:
        once = translated_command_line(options, record)
    except RefusedError:
        assert "isa-pvpanic" in options
        return
    assert translated_command_line(once, record) == once
    for before, after in zip(options, once, strict=False):
        assert before == after or "pvpanic" in before


def test_the_json_form_stays_json(recorded: Recorded) -> None:
    device = json.dumps({"driver": "pvpanic", "id": "ü", "ioport": 1286})
    (_, translated, *rest) = translated_command_line(["-device", device], recorded(name="qemu-1.5.3"))
    assert json.loads(translated) == json.loads(device)
    assert rest == AWAY
