"""Which record of a build stays, and what one record adds to another."""

from pathlib import Path

import msgspec
import pytest

from onpanic.matrix.collecting.joining import with_requested_answers
from onpanic.matrix.collecting.replacing import ExistingRecord, existing_record, why_kept
from onpanic.matrix.records.record_files import write_record
from onpanic.matrix.sources.subjects import known_as
from onpanic.probe import CapabilityRecord, Fact

from .samples import RELEASES, absent, fact, machine, notifier, record, recorded

WORKS = record("7.2.22", machine("pc-7.2", ["pc"]))
BROKEN = record("7.2.22", machine("pc-7.2", ["pc"], cont_after_panic="no"))
UNKNOWN = record("7.2.22", machine("pc-7.2", ["pc"], cont_after_panic="unknown"))
WITH_ACPI = record("7.2.22", machine("pc-7.2", ["pc"], acpi_exposes_pvpanic="yes"))
HYPERV, NO_HYPERV = (
    record("7.2.22", machine("pc-7.2", ["pc"], notifiers=[one]))
    for one in (notifier("hyperv"), absent("hyperv"))
)


def outcome(before: CapabilityRecord, after: CapabilityRecord, *, version: int = 2, own: bool = True) -> str:
    """Return what becomes of the existing record: ``replaced``, ``kept`` or ``failed``."""
    kept = why_kept("build", ExistingRecord(before, version), after, own=own, acpi=True)
    return kept.state if kept else "replaced"


@pytest.mark.parametrize(
    ("before", "after", "own", "expected"),
    [
        (BROKEN, WORKS, True, "replaced"),
        (BROKEN, WORKS, False, "failed"),
        (WORKS, UNKNOWN, True, "kept"),
        (WORKS, UNKNOWN, False, "kept"),
        (UNKNOWN, WORKS, False, "replaced"),
        (NO_HYPERV, HYPERV, False, "replaced"),
        (HYPERV, NO_HYPERV, True, "kept"),
        (HYPERV, NO_HYPERV, False, "kept"),
    ],
)
def test_a_record_is_replaced_unless_an_answer_is_lost(
    before: CapabilityRecord, after: CapabilityRecord, own: bool, expected: str
) -> None:
    """A host whose KVM has no Hyper-V says nothing about hosts that have it."""
    assert outcome(before, after, own=own) == expected


@pytest.mark.parametrize(
    ("before", "after", "own", "expected"),
    [
        (BROKEN, WORKS, False, "replaced"),
        (WORKS, BROKEN, True, "replaced"),
        (WORKS, UNKNOWN, True, "replaced"),
        (WORKS, UNKNOWN, False, "kept"),
    ],
)
def test_a_record_of_version_1_is_replaced(
    before: CapabilityRecord, after: CapabilityRecord, own: bool, expected: str
) -> None:
    """Its answers may be wrong; only another subject's record that shows less does not replace it."""
    assert outcome(before, after, version=1, own=own) == expected


def test_the_version_of_an_existing_file_is_known(tmp_path: Path) -> None:
    """The record itself is in the form of the current version."""
    path = write_record(tmp_path, "new", WORKS)
    found = existing_record(path)
    assert found is not None
    assert (found.record, found.version) == (WORKS, 2)
    assert existing_record(tmp_path / "missing.json") is None


def test_requested_answers_are_added() -> None:
    """They come with their evidence, for each notifier and for the machine type itself."""
    lines = ["= read from the guest's memory: QEMU0001"]
    told = {**WITH_ACPI.machines[0].facts, "acpi-exposes-pvpanic": fact("yes", how="recorded", evidence=0)}
    entry = msgspec.structs.replace(WITH_ACPI.machines[0].notifiers[0], facts=told)
    entries = [entry, *WITH_ACPI.machines[0].notifiers[1:]]
    other = msgspec.structs.replace(
        WITH_ACPI,
        machines=[
            msgspec.structs.replace(WITH_ACPI.machines[0], facts=told, notifiers=entries),
            machine("another"),
        ],
        evidence=[lines],
    )
    joined = with_requested_answers(msgspec.structs.replace(BROKEN, evidence=[["own"]]), other)
    (only,) = joined.machines
    expected = Fact("yes", "recorded", "", 1)
    assert only.facts == BROKEN.machines[0].facts | {"acpi-exposes-pvpanic": expected}
    assert only.notifiers[0].facts["acpi-exposes-pvpanic"] == expected
    assert only.on_panic == BROKEN.machines[0].on_panic
    assert joined.evidence == [["own"], lines]


def test_what_is_known_already_stays() -> None:
    """The record's own answer counts, whatever the other one says."""
    no = record("7.2.22", machine("pc-7.2", ["pc"], acpi_exposes_pvpanic="no"))
    assert with_requested_answers(no, WITH_ACPI) == no
    for release in RELEASES:
        assert with_requested_answers(recorded(release), recorded(release)) == recorded(release)


@pytest.mark.parametrize(
    ("command", "known"),
    [
        (["/opt/qemu-1.7.0/bin/qemu-system-x86_64"], ["qemu-system-x86_64"]),
        (["ssh", "host", "/usr/bin/qemu-system-x86_64", "-M", "q35"], ["qemu-system-x86_64", "-M", "q35"]),
        (["/usr/libexec/qemu-kvm"], ["qemu-kvm"]),
        (["./emulator", "-M", "/dev/null"], ["emulator", "-M", "/dev/null"]),
        ([], []),
    ],
)
def test_a_record_does_not_show_where_the_emulator_was(command: list[str], known: list[str]) -> None:
    """The folder and the wrapper belong to the host on which a recording was made."""
    assert known_as(command) == known
