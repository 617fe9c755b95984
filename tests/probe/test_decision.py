"""The decision is a pure function of facts: its rules, one table each, and its properties."""

import math
from pathlib import Path
from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpanic.probe.decision.catalogue import CATALOGUE
from onpanic.probe.decision.policy import LONGEST_GRACE, ON_CRASH, ON_PANIC, WAITING, Hypervisor, Policy
from onpanic.probe.decision.rules import UNASKED, Capabilities, decide
from onpanic.probe.facts import QUESTIONS, Answer, Fact
from onpanic.probe.record.capability_record import CapabilityRecord

RECORDS = Path(__file__).parent.parent / "records/version-1"

ACTIVE = ("restart", "destroy", "preserve", "rename-restart", "pause")
GOOD = dict.fromkeys((question.name for question in QUESTIONS), "yes") | {
    "builtin-pvpanic": "no",
    "checkstop-reported": "no",
    "panic-action": "pause",
}


def capable(architectural: str | None = None, **answers: str) -> Capabilities:
    """Return capabilities of a design that works, but for these answers."""
    wanted = GOOD | {name.replace("_", "-"): answer for name, answer in answers.items()}
    return Capabilities({name: fact(answer) for name, answer in wanted.items()}, architectural)


def fact(answer: str) -> Fact:
    return Fact(cast("Answer", answer), None if answer == "unknown" else "observed")


def verdict(value: str, capabilities: Capabilities | None = None, **policy: object) -> str:
    """Return the code of a refusal or of the help that is needed; ``accepted`` for neither."""
    decision = decide(Policy(value, **policy), "qemu", capabilities or capable())  # type: ignore[arg-type]
    return decision.code or "accepted"


@pytest.mark.parametrize("value", ACTIVE)
@pytest.mark.parametrize(
    ("fact", "answer", "code"),
    [
        ("builtin-pvpanic", "yes", "builtin-panic-device"),
        ("pvpanic-attachable", "no", "panic-device-missing"),
        ("panic-reported", "no", "panic-not-reported"),
        ("panic-action", "run", "panic-does-not-stop-guest"),
        ("panic-action", "poweroff", "panic-ends-emulator"),
        ("panic-action", "exit", "panic-ends-emulator"),
        ("panic-stops-guest", "no", "panic-does-not-stop-guest"),
        ("cont-after-panic", "no", "cont-refused-after-panic"),
        ("builtin-pvpanic", "unknown", "probe-inconclusive"),
        ("pvpanic-attachable", "unknown", "probe-inconclusive"),
        ("panic-reported", "unknown", "probe-inconclusive"),
        ("panic-action", "unknown", "probe-inconclusive"),
        ("panic-stops-guest", "unknown", "probe-inconclusive"),
        ("cont-after-panic", "unknown", "probe-inconclusive"),
    ],
)
def test_a_design_that_works_is_needed_to_act(value: str, fact: str, answer: str, code: str) -> None:
    """One wrong or unknown fact refuses every value that acts, after a grace period as well; and no other."""
    capabilities = capable(**{fact: answer})
    assert verdict(value, capabilities) == code
    assert value not in WAITING or verdict(value, capabilities, grace=30.0) == code
    assert decide(Policy("default"), "qemu", capabilities)
    assert decide(Policy("ignore"), "qemu", capabilities)


@pytest.mark.parametrize("value", ACTIVE)
def test_a_design_that_works_accepts_every_action_with_and_without_a_dump(value: str) -> None:
    assert verdict(value) == "accepted"
    assert verdict(value, coredump=True) == "accepted"


def test_the_name_isa_pvpanic_proves_nothing() -> None:
    """An emulator that has the type of 2013 must still behave; one without it may."""
    assert (
        verdict("pause", capable(isa_pvpanic_type="yes", cont_after_panic="no")) == "cont-refused-after-panic"
    )
    assert verdict("pause", capable(isa_pvpanic_type="no", pvpanic_type="unknown")) == "accepted"


def test_crash_is_xens() -> None:
    assert verdict("crash") == "crash-needs-xen"


@pytest.mark.parametrize("value", ["default", "crash", "ignore"])
@pytest.mark.parametrize("hypervisor", ["qemu", "xen"])
def test_a_dump_goes_only_with_an_action(value: str, hypervisor: str) -> None:
    decision = decide(Policy(value, coredump=True), hypervisor, capable())  # type: ignore[arg-type]
    assert not decision
    assert decision.code == "coredump-needs-action"


@pytest.mark.parametrize("value", ON_PANIC)
@pytest.mark.parametrize("coredump", [False, True])
def test_a_grace_period_goes_only_with_what_ends_or_restarts_the_guest(value: str, coredump: bool) -> None:
    """None, and one of 0 seconds, are accepted with whatever is accepted without."""
    without = verdict(value, coredump=coredump)
    assert verdict(value, coredump=coredump, grace=0.0) == without
    found = verdict(value, coredump=coredump, grace=0.5)
    assert found == ("grace-needs-action" if without == "accepted" and value not in WAITING else without)


@pytest.mark.parametrize("grace", [-0.001, LONGEST_GRACE + 1, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("hypervisor", ["qemu", "xen"])
def test_what_is_no_grace_period(grace: float, hypervisor: Hypervisor) -> None:
    decision = decide(Policy("default", grace=grace), hypervisor, capable())
    assert (decision.code, decision.reason) == ("invalid-grace", f"this is not a grace period ({grace})")


def test_a_record_judges_a_grace_period() -> None:
    record = CapabilityRecord.from_json((RECORDS / "qemu-system-x86_64-1.7.0.json").read_bytes())
    assert record.accepts("restart", grace=30.0)
    assert record.accepts("preserve", grace=30.0).code == "grace-needs-action"


def test_xen_does_not_wait() -> None:
    decision = decide(Policy("crash", on_crash="restart", grace=30.0), "xen", UNASKED)
    assert decision.code == "grace-needs-action"
    assert decide(Policy("restart", grace=30.0), "xen", UNASKED).code == "xen-only-crash"


@pytest.mark.parametrize(
    ("value", "on_crash", "dump", "code"),
    [
        ("default", None, False, ""),
        ("crash", None, False, ""),
        ("crash", "restart", True, ""),
        ("crash", "destroy", True, ""),
        ("default", "preserve", True, "xen-coredump-on-crash"),
        ("crash", "rename-restart", True, "xen-coredump-on-crash"),
        ("crash", "rename-restart", False, ""),
        *((value, None, False, "xen-only-crash") for value in (*ACTIVE, "ignore")),
    ],
)
def test_xen(value: str, on_crash: str | None, dump: bool, code: str) -> None:
    decision = decide(Policy(value, False, on_crash, dump), "xen", UNASKED)
    assert (decision.accepted, decision.code) == (not code, code)


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        (Policy("poweroff"), "unknown-value"),
        (Policy(""), "unknown-value"),
        (Policy("pause", on_crash="ignore"), "unknown-on-crash"),
        (Policy("pause", on_crash_coredump=True), "unknown-on-crash"),
    ],
)
def test_words_that_do_not_exist_are_refused(policy: Policy, code: str) -> None:
    assert decide(policy, "qemu", capable()).code == code


def test_a_builtin_device_makes_ignoring_need_help() -> None:
    assert verdict("ignore", capable(builtin_pvpanic="yes")) == "ignore-needs-global"
    assert (
        "-global pvpanic.ioport=0" in decide(Policy("ignore"), "qemu", capable(builtin_pvpanic="yes")).remedy
    )


def test_an_architecture_that_always_reports_makes_ignoring_need_help() -> None:
    assert verdict("default", capable("s390")) == "ignore-needs-set-action"
    assert verdict("ignore", capable("pseries", set_action_command="no")) == "ignore-needs-cont"


def test_an_emulator_that_lets_a_panicked_guest_run_needs_no_help_to_ignore_it() -> None:
    assert verdict("ignore", capable("s390", panic_action="run")) == "accepted"


def test_a_checkstop_that_is_reported_makes_ignoring_need_help() -> None:
    capabilities = capable(checkstop_reported="yes")
    assert verdict("ignore", capabilities) == "ignore-needs-set-action-for-checkstops"


def test_the_help_names_the_builtin_device_by_its_type() -> None:
    facts = capable(builtin_pvpanic="yes").facts
    decision = decide(Policy("ignore"), "qemu", Capabilities(facts, builtin_type="isa-pvpanic"))
    assert "-global isa-pvpanic.ioport=0" in decision.remedy


ANSWERS = st.sampled_from(["yes", "no", "unknown"])
FACTS = st.fixed_dictionaries(dict.fromkeys(GOOD, ANSWERS))
POLICIES = st.builds(
    Policy,
    st.one_of(st.sampled_from(ON_PANIC), st.text()),
    st.booleans(),
    st.one_of(st.none(), st.sampled_from([*ON_CRASH, "coredump-destroy"]), st.text()),
    st.booleans(),
    st.one_of(st.none(), st.sampled_from([0.0, 30.0]), st.floats()),
)
ARCHITECTURES = st.sampled_from([None, "s390", "pseries"])


def known(answers: dict[str, str], architectural: str | None) -> Capabilities:
    return capable(architectural, **answers)


@given(POLICIES, st.sampled_from(["qemu", "xen"]), FACTS, ARCHITECTURES)
def test_every_question_has_an_answer_with_words(
    policy: Policy, hypervisor: str, answers: dict[str, str], architectural: str | None
) -> None:
    """Total: any policy, any facts; a refusal has a code of the catalogue, a reason and a remedy."""
    decision = decide(policy, hypervisor, known(answers, architectural))  # type: ignore[arg-type]
    if decision.code:
        assert decision.code in CATALOGUE
        assert decision.reason.startswith(CATALOGUE[decision.code].reason)
        assert decision.remedy == CATALOGUE[decision.code].remedy
    else:
        assert decision


@given(POLICIES, FACTS, ARCHITECTURES, st.sampled_from(sorted(GOOD)), ANSWERS)
def test_a_worse_fact_never_widens_what_is_accepted(
    policy: Policy, answers: dict[str, str], architectural: str | None, name: str, worse: str
) -> None:
    """Monotonic: leaving the answer of a working design, for the opposite or for unknown, accepts no more."""
    better = answers | {name: GOOD[name]}
    if decide(policy, "qemu", known(better | {name: worse}, architectural)):
        assert decide(policy, "qemu", known(better, architectural))


@given(POLICIES, FACTS, ARCHITECTURES)
def test_a_dump_is_never_accepted_where_the_value_is_not(
    policy: Policy, answers: dict[str, str], architectural: str | None
) -> None:
    capabilities = known(answers, architectural)
    if policy.coredump and decide(policy, "qemu", capabilities):
        assert decide(msgspec.structs.replace(policy, coredump=False), "qemu", capabilities)


@given(POLICIES, FACTS, ARCHITECTURES)
def test_a_grace_period_is_never_accepted_where_the_value_is_not(
    policy: Policy, answers: dict[str, str], architectural: str | None
) -> None:
    capabilities = known(answers, architectural)
    if decide(policy, "qemu", capabilities):
        assert decide(msgspec.structs.replace(policy, grace=None), "qemu", capabilities)


def test_codes_are_stable() -> None:
    """Scripts compare codes: one that is here may not go away."""
    codes = """
        unknown-value unknown-on-crash coredump-needs-action xen-only-crash xen-coredump-on-crash
        crash-needs-xen invalid-grace grace-needs-action
        builtin-panic-device panic-device-missing panic-not-reported
        panic-does-not-stop-guest cont-refused-after-panic probe-inconclusive toolstack-inconclusive
        hypervisor-reports-no-panic
        record-of-another-target no-isa-notifier libvirt-too-old no-such-panic-model no-default-panic-model
        panic-model-twice panic-address-refused lifecycle-action-refused coredump-of-confidential-guest
        guest-did-not-panic
        guest-needs-reset no-way-back reset-ends-guest
        ignore-needs-global ignore-needs-set-action ignore-needs-cont
        watch-continues watch-restarts watch-destroys watch-waits watch-dumps watch-renames watch-on-crash
        failed-dump-preserves pause-shows-crashed
        xen-does-not-continue
        xen-does-not-rename guest-needs-acpi device-by-command-line builtin-moved-away on-crash-drifted
        notifier-drifted qemu-does-not-rename restart-ends-guest arguments-decide-panic
        on-crash-without-notifier hyperv-flag-reports checkstop-reports confidential-guest-reports
        coredump-is-encrypted arguments-from-file hyperv-needs-kvm
        vmcoreinfo-off vmcoreinfo-not-added
        panic-device-hidden-from-acpi event-mask-differs-for-machine-type panic-action-not-settable
        machine-type-does-not-start stale-expectation guest-visible-change behaviour-lost machine-type-new
        machine-type-gone evidence-lost behaviour-gained
    """
    assert {*codes.split(), *(question.name for question in QUESTIONS)} <= set(CATALOGUE)
