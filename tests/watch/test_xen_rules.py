"""Domains of Xen without a Xen: what states, policies and files mean, and what follows from reports alone."""

import struct
from pathlib import Path

import pytest

from onpanic.probe.decision.policy import Policy
from onpanic.shims.domain_xml.policy_xml import NAMESPACE
from onpanic.watch.guests.xen_assignment import with_on_crash, xen_assignment
from onpanic.watch.guests.xen_dumps import incompleteness, latest_dump
from onpanic.watch.guests.xen_reading import XenReading, is_pending, xen_condition, xen_ending
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.next_action import NextAction
from onpanic.watch.rules.observation import Assignment, GuestState, Observation, PanicReport, StepResult
from onpanic.watch.rules.policy_steps import Action, Condition, action_for
from onpanic.watch.rules.reconcile import reconcile
from onpanic.watch.rules.reconcile_settings import ReconcileSettings
from onpanic.watch.rules.restart_limit import RestartLimit

RUNNING, PAUSED, SHUTOFF = 1, 3, 5
SETTINGS = ReconcileSettings(RestartLimit(3, 300), grace=30)
RESTARTS = Policy("crash", on_crash="restart")


@pytest.mark.parametrize(
    ("state", "reason", "active", "on_crash", "condition", "ending"),
    [
        (RUNNING, 1, True, "", "healthy", ""),
        (PAUSED, 1, True, "", "healthy", ""),
        (SHUTOFF, 3, True, "preserve", "panicked", ""),
        (SHUTOFF, 3, True, "coredump-destroy", "changing", ""),
        (SHUTOFF, 3, False, "destroy", "off", "crashed"),
        (SHUTOFF, 3, False, "coredump-restart", "changing", "crashed"),
        (SHUTOFF, 2, False, "", "off", ""),
        (SHUTOFF, 1, False, "", "off", "shutdown"),
    ],
)
@pytest.mark.usefixtures("played_libvirt")
def test_states(
    state: int, reason: int, active: bool, on_crash: str, condition: Condition, ending: str
) -> None:
    """libvirt shows a guest as shut off while it dumps, ends or restarts it, and when it keeps it."""
    found = XenReading(state, reason, active, "4", on_crash=on_crash)
    assert (xen_condition(found), xen_ending(found)) == (condition, ending)
    assert is_pending(found) == (condition == "changing" and not active)


@pytest.mark.parametrize(
    ("policy", "action"),
    [
        (Policy("crash"), Action("destroy")),
        (RESTARTS, Action("restart")),
        (Policy("crash", on_crash="restart", on_crash_coredump=True), Action("restart", coredump=True)),
        (Policy("crash", on_crash="coredump-destroy"), Action("destroy", coredump=True)),
    ],
)
def test_crash_is_what_on_crash_says(policy: Policy, action: Action) -> None:
    """Without an ``<on_crash>``, libvirt's default applies."""
    assert action_for(policy, "panicked") == action


def xml(on_panic: str = "crash", policy: str = "restart", on_crash: str = "restart", wrote: str = "") -> str:
    return (
        f"<domain type='xen'><name>guest</name><metadata><policy xmlns='{NAMESPACE}'>"
        f"<on_panic>{on_panic}</on_panic><on_crash>{policy}</on_crash>"
        f"<wrote on_crash='{wrote or on_crash}'/></policy></metadata>"
        f"<os><type machine='xenpv'>linux</type></os><on_crash>{on_crash}</on_crash></domain>"
    )


def test_a_policy_in_the_metadata() -> None:
    """``default`` means ``crash``, and what libvirt does follows from the running domain."""
    assignment, problems = xen_assignment(xml("default"), "", overridden=False)
    assert assignment == Assignment(RESTARTS, "restart", resettable=False, fixed=True)
    assert not problems
    assignment, _ = xen_assignment(xml(on_crash="preserve"), "", overridden=False)
    assert assignment
    assert not assignment.libvirt_action
    assert xen_assignment("<domain type='xen'><name>guest</name></domain>", "", overridden=False) == (
        None,
        [],
    )


def test_a_policy_that_cannot_be_kept_is_refused_by_name() -> None:
    """The line begins with what is wrong, and has a code."""
    assignment, problems = xen_assignment(xml("pause"), "", overridden=False)
    assert assignment is None
    assert "xen-only-crash" in problems[0]
    assignment, problems = xen_assignment(
        xml(policy="rename-restart", on_crash="rename-restart"), "", overridden=False
    )
    assert assignment
    assert assignment.libvirt_action == "restart"
    assert problems[0].startswith("xen-does-not-rename: ")


def test_a_changed_on_crash_is_noted() -> None:
    """Unless the watcher has changed it, or the definition has the right one again."""
    drifted = xml(on_crash="preserve", wrote="restart")
    assert xen_assignment(drifted, "", overridden=False)[1]
    assert not xen_assignment(drifted, "", overridden=True)[1]
    assert not xen_assignment(drifted, xml(), overridden=False)[1]


def test_the_definition_gets_another_on_crash_and_its_own_back() -> None:
    """Also where libvirt's driver takes one value for another."""
    for own in ("restart", "rename-restart"):
        before = xml(on_crash=own)
        changed = with_on_crash(before, "preserve")
        assert "<on_crash>preserve</on_crash>" in changed
        assert with_on_crash(changed, "restart") == before


def core(size: int) -> bytes:
    """Return a dump with memory of this many bytes, as Xen makes it."""
    header = struct.pack("<6s10xHHIQQQIHHHHHH", b"\x7fELF\x02\x01", 4, 62, 1, 0, 0, 64, 0, 64, 0, 0, 64, 2, 1)
    sections = bytes(64) + struct.pack("<IIQQQQIIQQ", 1, 1, 0, 0, 192, size, 0, 0, 0, 0)
    return header + sections + bytes(size)


def test_an_incomplete_dump(tmp_path: Path) -> None:
    """libvirt leaves an empty file, or one that ends too early."""
    path = tmp_path / "dump"
    assert incompleteness(path) == "No such file or directory"
    for content, said in (
        (b"", "it is empty"),
        (b"text" * 20, "it is no ELF file"),
        (core(100)[:100], "its section headers are incomplete"),
        (core(100)[:-1], "it has 291 of 292 bytes"),
        (core(100), ""),
    ):
        path.write_bytes(content)
        assert incompleteness(path) == said


def test_the_dump_of_a_guest(tmp_path: Path) -> None:
    """Other guests' dumps, those that are known and the watcher's own are left out."""
    for name in (
        "guest-2026-11-27-13:18:15",
        "guest-2-2026-11-27-13:18:15",
        "guest-c7a5fdbd-20261127T020126Z.core",
    ):
        (tmp_path / name).touch()
    found = latest_dump(tmp_path, "guest", 0, ())
    assert found == tmp_path / "guest-2026-11-27-13:18:15"
    assert latest_dump(tmp_path, "guest", 0, {found.name}) is None
    assert latest_dump(tmp_path, "guest", found.stat().st_mtime + 1, ()) is None


def observed(
    condition: Condition,
    instance: str,
    *reports: str,
    action: str = "restart",
    result: StepResult | None = None,
) -> Observation:
    """Return an observation of a guest, some starts of which were reported to have crashed."""
    return Observation(
        GuestState(condition, instance),
        at=100.0,
        since=100.0,
        key="guest",
        name="guest",
        assignment=Assignment(RESTARTS, action, resettable=False, fixed=True),
        reports=tuple([PanicReport(100.0, "", logged=True, instance=start) for start in reports]),
        seen_well=True,
        result=result,
    )


def actions(action: NextAction) -> list[tuple[str, str, str]]:
    return [
        (line.members["action"], line.members["outcome"], line.members.get("by", ""))
        for line in action.lines
        if line.event == "action"
    ]


def test_a_guest_that_is_never_seen_to_run() -> None:
    """That a later start has crashed says that libvirt has restarted the one before; then comes the limit."""
    first = reconcile(None, observed("changing", "2", "1", "2"), SETTINGS, 100.0)
    assert actions(first) == [("restart", "done", "libvirt")]
    assert first.handled == 1
    assert first.wait
    second = reconcile(first.incident, observed("changing", "3", "2", "3"), SETTINGS, 101.0)
    assert actions(second) == [("restart", "done", "libvirt")]
    assert second.step == "limit"
    assert second.incident
    assert second.incident.overridden == "restart"
    limited = StepResult("limit", 101.0)
    third = reconcile(second.incident, observed("changing", "3", "3", result=limited), SETTINGS, 101.0)
    assert third.concluded
    assert [line.event for line in third.lines] == ["limit"]


def test_the_limit_outlives_the_start_in_which_it_was_set() -> None:
    """The definition keeps another action until the guest has run for the interval."""
    incident = Incident("guest", "guest", instance="3", restarts=[90.0, 95.0], overridden="restart")
    kept = reconcile(incident, observed("panicked", "4", "4", action=""), SETTINGS, 100.0)
    assert kept.incident
    assert kept.incident.overridden == "restart"
    rested = reconcile(incident, observed("healthy", "5", action=""), SETTINGS, 500.0)
    assert rested.step == "unlimit"


def test_a_restart_ends_the_guest_and_starts_it() -> None:
    """There is no reset, and no grace period whatever the settings say."""
    incident = Incident(
        "guest",
        "guest",
        "panicked",
        Action("restart"),
        instance="1",
        found=90.0,
        finished=False,
        resolved=False,
    )
    ended = reconcile(incident, observed("panicked", "1", action=""), SETTINGS, 100.0)
    assert (ended.step, ended.wait) == ("destroy", None)
    assert ended.incident
    assert not ended.incident.grace_until
    assert reconcile(ended.incident, observed("off", "-1", action=""), SETTINGS, 100.0).step == "start"
