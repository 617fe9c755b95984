"""Each rule with records that violate it, and records that violate none."""

import msgspec
import pytest

from onpanic.matrix import Matrix, build
from onpanic.matrix.lint import MATRIX_RULES, RECORD_RULES, Problem, lint_matrix, lint_record
from onpanic.matrix.records.build_identity import build_name
from onpanic.probe import CapabilityRecord

from .samples import RELEASES, absent, machine, notifier, record, recorded

NEWER = "2026-11-25T00:00:00Z"
CORRECT = record("7.2.22", machine("pc-7.2", ["pc"], default=True), machine("q35-7.2", ["q35"]))


def changed(one: CapabilityRecord, **members: object) -> CapabilityRecord:
    return msgspec.structs.replace(one, **members)


def with_machine(**members: object) -> CapabilityRecord:
    return changed(CORRECT, machines=[msgspec.structs.replace(CORRECT.machines[0], **members)])


WRONG_RECORDS = {
    "alias-names-another-machine": [
        record("7.2.22", machine("pc-7.2", ["q35"]), machine("q35")),
    ],
    "doubled-machine": [
        record("7.2.22", machine("pc"), machine("pc")),
        record("7.2.22", machine("pc", default=True), machine("q35", default=True)),
    ],
    "decision-without-facts": [
        changed(
            CORRECT,
            machines=[
                msgspec.structs.replace(
                    CORRECT.machines[0], on_panic=machine("x", builtin_pvpanic="yes").on_panic
                )
            ],
        ),
    ],
    "missing-notifier": [
        changed(
            CORRECT,
            machines=[msgspec.structs.replace(CORRECT.machines[0], notifiers=[]), CORRECT.machines[1]],
        ),
        with_machine(notifiers=[*CORRECT.machines[0].notifiers, CORRECT.machines[0].notifiers[0]]),
        with_machine(notifiers=CORRECT.machines[0].notifiers[:4]),
    ],
    "notifier-contradicts-machine": [
        with_machine(notifier=None),  # although isa works
        with_machine(notifier="s390"),
        with_machine(notifiers=CORRECT.machines[0].notifiers[1:]),
        with_machine(facts=machine("x", cont_after_panic="no").facts),
        with_machine(on_panic=machine("x", cont_after_panic="no").on_panic),
    ],
}


def matrix_of(*records: CapabilityRecord) -> Matrix:
    return build([(f"{number}", one) for number, one in enumerate(records)])


OLDER_SAYS_NO = record("7.2.22", machine("pc-7.2", ["pc"], cont_after_panic="no"))
HYPERV, NO_HYPERV = (
    record("7.2.22", machine("pc-7.2", ["pc"], notifiers=[entry]), source=source)
    for entry, source in ((notifier("hyperv"), "a host with Hyper-V"), (absent("hyperv"), "another host"))
)
NO_PCI = record("7.2.22", machine("pc-7.2", ["pc"], notifiers=[absent("pvpanic")]))
PCI = record("7.2.22", machine("pc-7.2", ["pc"], notifiers=[notifier("pvpanic")]))
NEWER_IS_RECORDED = record("7.2.22", machine("pc-7.2", ["pc"], how="recorded"), at=NEWER)
OTHER_PACKAGE = record(
    "7.2.22", machine("pc-7.2", ["pc"], cont_after_panic="no"), package="v7.2.22-1-gabcdef"
)
WRONG_MATRICES = {
    "contradictory-records": (
        matrix_of(record("7.2.22", machine("pc-7.2", ["pc"])), OLDER_SAYS_NO),
        ("0, 1", "cont-after-panic on pc-7.2 is yes and no: remove the record that is wrong"),
    ),
    "overlapping-ranges": (
        matrix_of(record("7.2.22", machine("pc-7.2", ["pc"])), OTHER_PACKAGE),
        ("0, 1", "cont-after-panic on pc is no up to 7.2.22 and yes from 7.2.22"),
    ),
    "weaker-evidence": (
        matrix_of(record("7.2.22", machine("pc-7.2", ["pc"])), NEWER_IS_RECORDED),
        ("0, 1", "cont-after-panic on pc-7.2 was observed, and is recorded in the newer record"),
    ),
}


@pytest.mark.parametrize(("rule", "records"), WRONG_RECORDS.items())
def test_a_rule_finds_what_is_wrong_with_a_record(rule: str, records: list[CapabilityRecord]) -> None:
    """The problem names the record."""
    for one in records:
        found = lint_record(build_name(one.emulator), one)
        assert rule in {problem.rule for problem in found}
        assert {problem.where for problem in found} == {build_name(one.emulator)}


def test_a_record_is_named_after_its_build() -> None:
    """A variant may follow, for builds that report the same version and package."""
    assert [p.rule for p in lint_record("qemu-system-x86_64-7.1.0", CORRECT)] == ["misnamed-record"]
    assert lint_record("qemu-system-x86_64-7.2.22+hvf", CORRECT) == []


@pytest.mark.parametrize(("rule", "found"), WRONG_MATRICES.items())
def test_a_rule_finds_what_is_wrong_with_records_beside_each_other(
    rule: str, found: tuple[Matrix, tuple[str, str]]
) -> None:
    """The problem names the records, and says what is wrong."""
    matrix, (where, what) = found
    assert Problem(rule, where, what) in lint_matrix(matrix)


def test_records_are_compared_for_each_notifier() -> None:
    """The problem names the notifier."""
    found = {problem.what for problem in lint_matrix(matrix_of(PCI, NO_PCI))}
    assert "panic-reported of pvpanic on pc-7.2 is yes and no: remove the record that is wrong" in found, (
        found
    )


def test_a_record_of_version_1_needs_no_entry_for_each_notifier() -> None:
    """It was about one of them."""
    only = [msgspec.structs.replace(one, notifiers=one.notifiers[:1]) for one in CORRECT.machines]
    assert lint_record(build_name(CORRECT.emulator), changed(CORRECT, machines=only)) == []


def test_hyperv_may_differ_between_hosts() -> None:
    """Whether it works depends on the host's KVM, not on the build alone."""
    assert lint_matrix(matrix_of(HYPERV, NO_HYPERV)) == []


def test_each_rule_is_tested() -> None:
    """A new rule needs records that violate it."""
    assert {*WRONG_RECORDS, "misnamed-record"} == set(RECORD_RULES)
    assert set(WRONG_MATRICES) == set(MATRIX_RULES)


@pytest.mark.parametrize(
    "others",
    [
        [],
        [record("7.2.22", machine("pc-7.2", ["pc"], cont_after_panic="unknown"), source="libvirt x.replies")],
        [record("8.0.0", machine("pc-8.0", ["pc"], cont_after_panic="no"))],
        [record("7.2.22", machine("pc-7.2", ["pc"], cont_after_panic="no"), package="qemu-kvm-7.2.el9")],
        [record("7.2.22", machine("pc-7.2", ["pc"], cont_after_panic="no"), emulator="qemu-system-i386")],
        list(map(recorded, RELEASES)),
    ],
    ids=["alone", "a source that shows less", "another version", "another line", "another emulator", "2013"],
)
def test_correct_records_pass(others: list[CapabilityRecord]) -> None:
    """Records of other builds, and sources that show less, contradict nothing."""
    everything = [CORRECT, *others]
    assert [p for one in everything for p in lint_record(build_name(one.emulator), one)] == []
    assert lint_matrix(matrix_of(*everything)) == []
