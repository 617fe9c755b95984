"""The state of a Xen guest: what libvirt and Xen say of it, and what that means."""

import os
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from onpanic.core.errors import EmulatorError, RefusedError
from onpanic.core.libvirt_api import libvirt_module
from onpanic.shims.guests.guest_status import Status, status_of_domain
from onpanic.shims.guests.resume import resume_domain
from onpanic.shims.guests.xen_domain import XenDomain, cpus_run, observe_xen_domain, working_since
from onpanic.shims.guests.xen_states import explain_xen_domain
from onpanic.shims.guests.xl_state import XlState, ask_xl_state, read_xl_list

from ..played.libvirt import PlayedDomain, PlayedLibvirt

pytestmark = pytest.mark.usefixtures("played_libvirt")

RUNNING, PAUSED, SHUTOFF = 1, 3, 5
UNKNOWN, BOOTED, UNPAUSED, USER = 0, 1, 5, 1
OFF_BY_GUEST, DESTROYED, CRASHED = 1, 2, 3
DUMPING = 2  # VIR_DOMAIN_JOB_UNBOUNDED
UUID = "8bba1894-107b-4770-aaa0-a57f5cdda931"
REMOTE, LOCAL = "xen+ssh://dom0.example/system", "xen:///system"

XML = f"""\
<domain type='xen'>
  <name>guest</name>
  <uuid>{UUID}</uuid>
  <memory unit='MiB'>32</memory>
  <os><type arch='x86_64' machine='xenpv'>linux</type></os>
  <on_crash>{{}}</on_crash>
  <devices/>
</domain>
"""

PRETENDED = "11111111-2222-4333-8444-555555555555"

# As xl 4.17 prints it
LISTED = f"""
Name                                        ID   Mem VCPUs\tState\tTime(s)   UUID                            \
Reason-Code\tSecurity Label
Domain-0                                     0  1200     1     r-----      18.7 \
00000000-0000-0000-0000-000000000000        -                -
r----- 1.0 {UUID[::-1]}                      4    32     1     -b----       0.0 \
a001cfc3-1b40-4dc6-ac9d-0dcbbd4ffaa4        -                -
guest                                1    32     1     ---sc-       0.0 {UUID}        3                -
x r----- 1.0 {PRETENDED} y    12    32     1     ---sc-       0.0 {PRETENDED}        3                -
"""


def domain(state: int, reason: int, **more: Any) -> XenDomain:
    return XenDomain(state=state, reason=reason, **more)


def xl(flags: str) -> XlState:
    return XlState(flags)


@pytest.mark.parametrize(
    ("seen", "name", "meaning"),
    [
        # libvirt knows
        (domain(SHUTOFF, CRASHED, number=-1), "crashed", "its memory is gone"),
        (domain(SHUTOFF, DESTROYED, number=-1), "off", "not running"),
        (domain(SHUTOFF, UNKNOWN, number=-1), "off", "not running"),
        (domain(SHUTOFF, CRASHED, on_crash="preserve"), "preserved", "its memory is kept"),
        (domain(SHUTOFF, CRASHED, on_crash="preserve", worked=9), "preserved", "libvirt works on it"),
        (domain(SHUTOFF, CRASHED, on_crash="destroy"), "ending", "libvirt destroys it"),
        (domain(SHUTOFF, CRASHED), "ending", "libvirt destroys it"),
        (domain(SHUTOFF, CRASHED, on_crash="coredump-destroy", xl=xl("---sc-")), "ending", "destroys it"),
        (domain(RUNNING, UNKNOWN, on_crash="destroy", xl=xl("---sc-")), "preserved", "takes it for running"),
        (domain(SHUTOFF, CRASHED, on_crash="coredump-destroy", worked=9), "dumping", "then destroys it"),
        (domain(SHUTOFF, CRASHED, on_crash="coredump-restart", worked=9), "dumping", "then starts it again"),
        (domain(SHUTOFF, CRASHED, on_crash="restart"), "restarting", "starts it again"),
        (domain(SHUTOFF, CRASHED, on_crash="restart", number=-1, worked=9), "restarting", "starts it"),
        (domain(SHUTOFF, CRASHED, on_crash="restart", number=-1), "crashed", "its memory is gone"),
        (domain(SHUTOFF, OFF_BY_GUEST), "shut down", "its memory is kept"),
        # from another host: libvirt's word is not enough
        (domain(RUNNING, BOOTED, cpus_run=True), "running", "the guest runs"),
        (domain(RUNNING, BOOTED, cpus_run=False, not_asked="no"), "unknown", "Xen cannot be asked: no"),
        (domain(RUNNING, BOOTED, cpus_run=False, worked=9), "unknown", "libvirt works on it"),
        (domain(PAUSED, USER), "paused", "libvirt does not show whether it crashed"),
        (domain(PAUSED, UNKNOWN, not_asked="no"), "unknown", "Xen cannot be asked: no"),
        # in the dom0: Xen knows
        (domain(RUNNING, BOOTED, xl=xl("-b----")), "running", "the guest runs"),
        (domain(RUNNING, UNKNOWN, xl=xl("---sc-")), "preserved", "libvirt takes it for running"),
        (domain(PAUSED, USER, xl=xl("--psc-")), "preserved", "libvirt takes it for paused"),
        (domain(SHUTOFF, CRASHED, on_crash="preserve", xl=xl("---sc-")), "preserved", "memory is kept"),
        (domain(RUNNING, UNKNOWN, xl=xl("---s--")), "shut down", "(poweroff), and its memory is kept"),
        (domain(RUNNING, UNKNOWN, xl=xl("---sr-")), "shut down", "(reboot)"),
        (domain(RUNNING, BOOTED, xl=xl("-bp---")), "paused", "it did not crash"),
        (domain(PAUSED, USER, xl=xl("--p---")), "paused", "it did not crash"),
        (domain(RUNNING, BOOTED, xl=xl("-----d")), "ending", "frees its memory"),
        (domain(RUNNING, UNKNOWN, number=0, cpus_run=False), "running", "the control domain"),
    ],
)
def test_meaning(seen: XenDomain, name: str, meaning: str) -> None:
    """No guest is said to run unless it was seen to; none of these states speaks of QEMU."""
    found = explain_xen_domain(seen)
    assert found.name == name
    assert meaning in found.meaning
    assert "QEMU" not in found.meaning


@pytest.mark.parametrize(
    ("seen", "commands"),
    [
        (domain(SHUTOFF, CRASHED, number=-1), ["virsh start g"]),
        (
            domain(SHUTOFF, CRASHED, on_crash="preserve"),
            ["virsh dump g FILE", "virsh destroy g; virsh start g"],
        ),
        (
            domain(SHUTOFF, CRASHED, on_crash="preserve", persistent=False),
            [
                "virsh dump g FILE",
                "virsh dumpxml --migratable --security-info g > FILE; virsh destroy g; virsh create FILE",
            ],
        ),
        (domain(SHUTOFF, OFF_BY_GUEST), ["virsh destroy g; virsh start g"]),
        (domain(SHUTOFF, CRASHED, on_crash="coredump-destroy", worked=1), ["virsh domjobinfo g"]),
        (domain(RUNNING, BOOTED, cpus_run=False), ["xl list 1", "virsh vcpuinfo g"]),
        (domain(RUNNING, BOOTED, xl=xl("--p---")), ["xl unpause 1"]),
        (domain(PAUSED, USER, xl=xl("--p---")), ["virsh resume g"]),
        (domain(RUNNING, BOOTED, xl=xl("r-----")), []),
    ],
)
def test_commands(seen: XenDomain, commands: list[str]) -> None:
    """What can be done is what libvirt's Xen driver and xl can do."""
    remedies = explain_xen_domain(seen).remedies
    assert [remedy.domain.format(domain="g", connect="") for remedy in remedies] == commands


@pytest.mark.parametrize(
    ("uuid", "flags"),
    [
        (UUID, "---sc-"),
        ("a001cfc3-1b40-4dc6-ac9d-0dcbbd4ffaa4", "-b----"),
        (PRETENDED, "---sc-"),
        (UUID[::-1], None),
    ],
)
def test_xl_list(uuid: str, flags: str | None) -> None:
    """A guest is found by its UUID, whatever the names of guests look like."""
    found = read_xl_list(LISTED, uuid)
    assert (found and found.flags) == flags


@pytest.mark.parametrize(("times", "runs"), [([7, 7, 8], True), ([7] * 11, False)])
def test_cpu_time(times: list[int], runs: bool) -> None:
    """A CPU time that goes on shows that a guest runs; it is watched for as long as it may be."""
    waited: list[float] = []
    assert cpus_run(iter(times).__next__, waited.append, 1.0) == runs
    assert sum(waited) <= 1.01


def test_since_when_libvirt_dumps() -> None:
    """libvirt says how long its job has been going on."""
    now = datetime(2026, 11, 27, 12, 0, 10, tzinfo=UTC)
    assert working_since(domain(SHUTOFF, CRASHED, worked=1500), now) == "2026-11-27T12:00:08.500Z"
    assert working_since(domain(SHUTOFF, CRASHED), now) is None


# Of a played libvirt


@pytest.fixture
def on_xen(played_libvirt: PlayedLibvirt) -> PlayedLibvirt:
    """Return a libvirt with Xen's driver."""
    played_libvirt.driver = "Xen"
    return played_libvirt


def add(played: PlayedLibvirt, state: tuple[int, int], on_crash: str = "preserve") -> PlayedDomain:
    added = played.add(XML.format(on_crash), running=state[0] != SHUTOFF or on_crash == "preserve")
    added.state = state
    return added


@pytest.fixture
def status(on_xen: PlayedLibvirt) -> Callable[[str], Status]:
    """Return a function that returns the domain's status through a URI."""

    def of(uri: str) -> Status:
        assert on_xen.driver == "Xen"
        return status_of_domain(libvirt_module().openReadOnly(uri).lookupByName("guest"), uri)

    return of


def put_xl(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put an xl in front of the others."""
    program = folder / "xl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_preserved_guest_through_libvirt(on_xen: PlayedLibvirt, status: Callable[[str], Status]) -> None:
    """A connection that may only read shows it, with its policy and what can be done."""
    add(on_xen, (SHUTOFF, CRASHED))
    found = status(REMOTE)
    assert (found.state, found.said) == ("preserved", {"libvirt": "shutoff (crashed)"})
    assert found.policy is not None
    assert (found.policy.on_panic, found.policy.on_crash) == ("crash", "preserve")
    assert found.remedies[0] == ("keep its memory", f"virsh --connect {REMOTE} dump guest FILE")
    assert (found.since, found.panicked) == (None, False)


def test_idle_guest_through_libvirt(on_xen: PlayedLibvirt, status: Callable[[str], Status]) -> None:
    """From another host it is not known whether a guest runs whose CPUs do nothing."""
    guest = add(on_xen, (RUNNING, UNKNOWN))
    assert status(REMOTE).state == "unknown"

    def run() -> None:
        guest.cpu_time += 1

    on_xen.on("info", run, times=3, after=True)
    assert status(REMOTE).state == "running"


def test_dump_through_libvirt(on_xen: PlayedLibvirt, status: Callable[[str], Status]) -> None:
    """While libvirt dumps a crashed guest, its state has a time."""
    guest = add(on_xen, (SHUTOFF, CRASHED))
    guest.redefine(XML.format("coredump-destroy"), live=True)
    guest.job = DUMPING
    found = status(REMOTE)
    assert (found.state, found.since_is) == ("dumping", "exact")


def test_state_that_changes_meanwhile(on_xen: PlayedLibvirt) -> None:
    """A domain that crashes while it is read is read again."""
    guest = add(on_xen, (RUNNING, BOOTED))
    on_xen.on("jobInfo", lambda: setattr(guest, "state", (SHUTOFF, CRASHED)), after=True)
    found = observe_xen_domain(libvirt_module().openReadOnly(REMOTE).lookupByName("guest"))
    assert explain_xen_domain(found).name == "preserved"


def test_id_that_changes_meanwhile(on_xen: PlayedLibvirt) -> None:
    """A domain that is restarted while xl is asked is read again: xl does not list the old ID."""
    guest = add(on_xen, (RUNNING, BOOTED))
    old = guest.id

    def ask(number: int, _uuid: str) -> XlState:
        if number == old:
            guest.id = old + 1
            raise EmulatorError("not listed", "")
        return xl("-b----")

    found = observe_xen_domain(libvirt_module().openReadOnly(LOCAL).lookupByName("guest"), ask)
    assert (found.number, found.xl, found.not_asked) == (old + 1, xl("-b----"), "")


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [("Xen", "pause", "on Xen"), ("Xen", "crash", ""), ("QEMU", "crash", "only Xen"), ("QEMU", "pause", "")],
)
def test_policy_of_another_hypervisor(
    played_libvirt: PlayedLibvirt, kind: str, value: str, said: str
) -> None:
    """A policy in the metadata that the domain's hypervisor never keeps is shown as that."""
    played_libvirt.driver = kind
    policy = (
        "<metadata><p:policy xmlns:p='urn:uuid:ae79e4ab-53c8-4ed2-aab8-40f241372412'>"
        f"<p:on_panic>{value}</p:on_panic><p:wrote/></p:policy></metadata>"
    )
    xml = XML.format("destroy").replace("<os>", f"{policy}<os>").replace("'xen'", f"'{kind.lower()}'")
    played_libvirt.add(xml, running=False)
    (domain,) = libvirt_module().open(None).listAllDomains()
    found = status_of_domain(domain)
    assert found.policy is not None
    refusals = [note for note in found.policy_notes if "Xen" in note]
    assert (found.policy.on_panic, [said in note for note in refusals]) == (value, [True] * bool(said))


def test_control_domain(on_xen: PlayedLibvirt, status: Callable[[str], Status]) -> None:
    """It has no policy, whatever libvirt shows as its ``<on_crash>``."""
    add(on_xen, (RUNNING, UNKNOWN)).id = 0
    found = status(REMOTE)
    assert (found.state, found.policy, found.remedies) == ("running", None, ())


@pytest.mark.processes
def test_guest_that_libvirt_has_lost_sight_of(
    on_xen: PlayedLibvirt,
    status: Callable[[str], Status],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the dom0 xl says that it has crashed."""
    add(on_xen, (RUNNING, UNKNOWN))
    put_xl(tmp_path, monkeypatch, f"echo {shlex.quote(LISTED)}")
    found = status(LOCAL)
    assert (found.state, found.said["xl"]) == ("preserved", "---sc-")


@pytest.mark.processes
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo xc: cannot open privcmd >&2; exit 1", "cannot open privcmd"),
        ("exit 0", "not listed"),
        (f"echo {shlex.quote(LISTED.replace(UUID, UUID[::-1]))}", "not listed"),
        ("exec sleep 60", "did not answer"),
    ],
)
def test_xl_that_does_not_tell(
    script: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what xl said; another guest with the domain's ID does not count."""
    put_xl(tmp_path, monkeypatch, script)
    with pytest.raises(EmulatorError, match=said):
        ask_xl_state(1, UUID, timeout=0.5 if "sleep" in script else 60.0)


def test_dom0_without_xl(
    on_xen: PlayedLibvirt,
    status: Callable[[str], Status],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The state is unknown, and the reason is named."""
    add(on_xen, (RUNNING, UNKNOWN))
    monkeypatch.setenv("PATH", str(tmp_path))
    found = status(LOCAL)
    assert found.state == "unknown"
    assert "xl: No such file" in found.meaning


@pytest.mark.parametrize("allow_reset", [False, True])
@pytest.mark.parametrize(
    ("state", "code"),
    [
        ((SHUTOFF, CRASHED), "xen-shutdown-is-final"),
        ((SHUTOFF, OFF_BY_GUEST), "xen-shutdown-is-final"),
        ((RUNNING, UNPAUSED), "xen-state-unknown"),
        ((PAUSED, USER), "xen-guest-paused"),
    ],
)
def test_resume_refuses(on_xen: PlayedLibvirt, state: tuple[int, int], code: str, allow_reset: bool) -> None:
    """Nothing is tried on a Xen guest, and the refusal says why."""
    add(on_xen, state)
    guest = libvirt_module().open(REMOTE).lookupByName("guest")
    with pytest.raises(RefusedError, match=code):
        resume_domain(guest, allow_reset=allow_reset)
    assert not {"resume", "reset", "suspend", "qemuMonitorCommand"} & {call.name for call in on_xen.calls}


def test_resume_of_a_guest_that_is_off(on_xen: PlayedLibvirt) -> None:
    """It did not panic."""
    add(on_xen, (SHUTOFF, DESTROYED), "destroy")
    with pytest.raises(RefusedError, match="guest-did-not-panic"):
        resume_domain(libvirt_module().open(REMOTE).lookupByName("guest"))


def test_resume_of_a_guest_that_runs(on_xen: PlayedLibvirt) -> None:
    """There is nothing to do."""
    guest = add(on_xen, (RUNNING, BOOTED))
    on_xen.on("info", lambda: setattr(guest, "cpu_time", guest.cpu_time + 1), times=9, after=True)
    assert resume_domain(libvirt_module().open(REMOTE).lookupByName("guest")).how == "nothing"
