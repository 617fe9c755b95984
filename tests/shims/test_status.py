"""`onpanic status` explains a guest's state, since when, the guest's policy, and what can be done."""

import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from onpanic import shims
from onpanic.probe.testing import QEMU_7_2, Fault, PlayedEmulator

from ..running.libvirtd import folder_of

pytestmark = pytest.mark.processes

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Any]  # a `Guest` of tests/conftest.py
Play = Callable[[PlayedEmulator], str]
Until = Callable[[Callable[[], object]], None]

XML = """\
<domain type="qemu">
  <name>guest</name>
  <uuid>6d0e1b0c-4b5f-4b4f-8a3e-0f2c9e8f3a11</uuid>
  <memory unit="MiB">16</memory>
  <os><type arch="x86_64" machine="pc">hvm</type></os>
  <features><acpi/></features>
  {policy}
  <devices>{devices}</devices>
</domain>
"""
PAUSE = "<on_panic coredump='yes'>pause</on_panic><on_crash>restart</on_crash>"
CRASHED = "guest: crashed: it panicked and was destroyed, or its QEMU exited;"
DUMP = "keep its memory           "
CONTINUE = "continue it as it is      "
NO_REASON = (
    "  reason     not known: the domain has no vmcoreinfo device, which "
    "<features><vmcoreinfo state='on'/></features> adds when it is started next; "
    "onpanic why --search searches the guest's memory"
)
RESET = "reset it and let it boot  "


# Through a monitor


@pytest.mark.emulators
def test_a_real_guest(guest: Start, onpanic: Run) -> None:
    """The command that is printed works."""
    running = guest("-device", "pvpanic", "-no-shutdown", "-name", "web")
    assert onpanic("status", "--qmp", str(running.path)).stdout == (
        "web: running: the guest runs\n  QEMU       running\n"
    )
    running.ask("human-monitor-command", **{"command-line": "o /b 0x505 1"})
    shown = onpanic("status", "--qmp", str(running.path)).stdout
    assert shown == (
        "web: panicked: the guest's kernel panicked, and QEMU stopped the guest\n"
        "  QEMU       guest-panicked\n"
        "  reason     not known: the machine has no vmcoreinfo device; "
        "onpanic why --search searches the guest's memory\n"
        f"  you can    {DUMP}dump-guest-memory over QMP\n"
        f"             {CONTINUE}onpanic resume --qmp {running.path}\n"
        f"             {RESET}system_reset, then cont over QMP\n"
    )
    command = shown.split(CONTINUE)[1].splitlines()[0]
    assert onpanic(*shlex.split(command)[1:]).returncode == 0
    assert running.status == "running"


@pytest.mark.parametrize(
    ("run_state", "name", "remedies"),
    [
        ("guest-panicked", "panicked", 3),
        ("internal-error", "internal error", 2),
        ("shutdown", "shut down", 1),
        ("paused", "paused", 1),
        ("prelaunch", "not started", 1),
        ("io-error", "I/O error", 1),
        ("watchdog", "watchdog", 2),
        ("suspended", "suspended", 1),
        ("inmigrate", "inmigrate", 0),
        ("finish-migrate", "finish-migrate", 0),
    ],
)
def test_each_run_state(run_state: str, name: str, remedies: int, played: Play, onpanic: Run) -> None:
    """Each run state of QEMU is explained."""
    address = played(QEMU_7_2.but(run_state=run_state))
    done = onpanic("status", "--qmp", address, "--format", "json")
    assert done.returncode == 0
    status = json.loads(done.stdout)
    assert (status["state"], status["said"]) == (name, {"QEMU": run_state})
    assert status["meaning"]
    assert len(status["remedies"]) == remedies
    first = onpanic("status", "--qmp", address).stdout.splitlines()[0]
    assert first == f"{name}: {status['meaning']}"


@pytest.mark.parametrize("kind", ["hang", "exit", "hang-up", "wrong-shape", "junk"])
def test_a_monitor_that_fails(kind: str, played: Play, onpanic: Run) -> None:
    address = played(QEMU_7_2.but(fault=Fault(kind, at="query-status")))
    done = onpanic("status", "--qmp", address, "--timeout", "1")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) in (1, 2)


# Through libvirt


@pytest.fixture
def screen(uri: str, onpanic: Run) -> Callable[[], list[str]]:
    """Return a function that returns the lines that are printed for the domain, without the times."""

    def show() -> list[str]:
        done = onpanic("status", "--domain", "guest", "--connect", uri)
        assert (done.returncode, done.stderr) == (0, "")
        return [re.sub(r"\d{4}-\S+Z", "TIME", line) for line in done.stdout.splitlines()]

    return show


Screen = Callable[[], list[str]]
POLICY = "  policy     {} ({})"
KEPT = POLICY.format(PAUSE.replace("><on_crash", "> <on_crash"), "kept in its metadata")


@pytest.fixture
def define(connection: Any) -> Callable[..., Any]:
    """Return a function that defines the domain with a policy."""

    def run(policy: str = PAUSE, devices: str = "") -> Any:
        return shims.extend(connection).defineXML(XML.format(policy=policy, devices=devices))

    return run


def hmp(domain: Any, line: str) -> None:
    import libvirt_qemu

    libvirt_qemu.qemuMonitorCommand(domain, line, libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)


def panic(domain: Any, state: int = 6) -> None:
    """Make the domain panic, and wait for the state that libvirt brings it to."""
    hmp(domain, "o /b 0x505 1")
    wait_for_state(domain, state)


def wait_for_state(domain: Any, *states: int) -> None:
    deadline = time.monotonic() + 60
    while domain.state()[0] not in states:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def qemu(uri: str) -> int:
    """Return the process id of the domain's QEMU."""
    return int((folder_of(uri) / "qemu/run/guest.pid").read_text("utf-8"))


@pytest.mark.libvirt
@pytest.mark.emulators
class TestLibvirt:
    def test_a_panicked_guest(
        self, define: Callable[..., Any], screen: Screen, uri: str, onpanic: Run
    ) -> None:
        """The commands that are printed name the connection."""
        domain = define()
        domain.create()
        panic(domain)
        connect = f" --connect {shlex.quote(uri)}"
        assert screen() == [
            "guest: paused (panicked): the guest's kernel panicked, and QEMU stopped the guest",
            "  libvirt    crashed (panicked)",
            "  since      TIME or earlier",
            NO_REASON,
            KEPT,
            f"  you can    {DUMP}virsh{connect} dump --memory-only guest FILE",
            f"             {CONTINUE}onpanic resume{connect} --domain guest",
            f"             {RESET}virsh{connect} reset guest; virsh{connect} resume guest",
        ]
        command = next(line for line in screen() if CONTINUE in line).split(CONTINUE)[1]
        assert onpanic(*shlex.split(command)[1:]).returncode == 0
        assert screen() == ["guest: running: the guest runs", "  libvirt    running (unpaused)", KEPT]

    def test_a_guest_that_was_reset(self, define: Callable[..., Any], screen: Screen) -> None:
        domain = define()
        domain.create()
        panic(domain)
        domain.reset()
        assert screen()[0] == "guest: paused: it panicked and has been reset; it waits to be continued"

    def test_a_guest_that_libvirt_restarted(
        self, define: Callable[..., Any], screen: Screen, until: Until
    ) -> None:
        domain = define("<on_panic>restart</on_panic>")
        domain.create()
        hmp(domain, "o /b 0x505 1")
        until(lambda: domain.state() == [1, 9])
        assert screen()[0] == "guest: running: the guest runs; it has panicked since it was started"

    def test_a_guest_that_was_stopped(self, define: Callable[..., Any], screen: Screen) -> None:
        """QEMU is asked, because a panicked guest that was saved can look like that to libvirt."""
        domain = define()
        domain.create()
        domain.suspend()
        stopped = "guest: paused: the guest was stopped on request; it did not panic"
        assert screen()[:3] == [stopped, "  libvirt    paused (user)", "  QEMU       paused"]
        domain.resume()
        hmp(domain, "stop")
        wait_for_state(domain, 3)
        assert screen()[:3] == [stopped, "  libvirt    paused (unknown)", "  QEMU       paused"]

    def test_a_panicked_guest_that_was_saved_and_restored(
        self, define: Callable[..., Any], screen: Screen, uri: str, onpanic: Run
    ) -> None:
        """libvirt shows it as paused; `status` and `resume` know that it panicked."""
        domain = define()
        domain.create()
        panic(domain)
        domain.managedSave()
        domain.create()
        shown = screen()
        assert shown[:3] == [
            "guest: paused (panicked): the guest's kernel panicked, and QEMU stopped the guest",
            "  libvirt    paused (migration)",
            "  QEMU       guest-panicked",
        ]
        done = onpanic("resume", "--domain", "guest", "--connect", uri)
        assert done.stdout == "continued: was guest-panicked, is running (unpaused)\n"
        assert screen()[0] == "guest: running: the guest runs"

    def test_a_guest_that_a_reset_would_end(
        self, connection: Any, define: Callable[..., Any], screen: Screen
    ) -> None:
        """The command that is printed ends it and starts it again."""
        define()
        xml = connection.lookupByName("guest").XMLDesc()
        xml, count = re.subn("<on_reboot>restart<", "<on_reboot>destroy<", xml)
        assert count == 1
        domain = connection.defineXML(xml)
        domain.create()
        panic(domain)
        (command,) = [line for line in screen() if "destroy guest;" in line]
        assert command.endswith(" start guest")
        assert not [line for line in screen() if "reset" in line]

    def test_a_guest_that_is_off(self, define: Callable[..., Any], screen: Screen, uri: str) -> None:
        domain = define()
        start = f"  you can    start it again  virsh --connect {shlex.quote(uri)} start guest"
        assert screen() == [
            "guest: off: the guest is not running",
            "  libvirt    shutoff (unknown)",
            KEPT,
            start,
        ]
        domain.create()
        domain.destroy()
        assert screen() == [
            "guest: off: the guest is not running",
            "  libvirt    shutoff (destroyed)",
            "  since      TIME",
            KEPT,
            start,
        ]

    @pytest.mark.parametrize(
        ("policy", "state"),
        [
            ("<on_panic>pause</on_panic>", "crashed process: its QEMU exited or was killed;"),
            ("<on_panic>ignore</on_panic>", "crashed process: its QEMU exited or was killed;"),
            (
                "<on_panic>destroy</on_panic>",
                CRASHED.removeprefix("guest: "),
            ),
        ],
    )
    def test_a_guest_whose_qemu_was_killed(
        self, policy: str, state: str, define: Callable[..., Any], screen: Screen, uri: str
    ) -> None:
        """libvirt shows the same state as after a panic with ``destroy``; other policies rule that out."""
        domain = define(policy)
        domain.create()
        os.kill(qemu(uri), signal.SIGKILL)
        wait_for_state(domain, 5)
        shown = screen()
        assert shown[0].startswith(f"guest: {state}")
        assert shown[1:3] == ["  libvirt    shutoff (crashed)", "  since      TIME"]

    def test_a_guest_that_was_destroyed_for_its_panic(
        self, define: Callable[..., Any], screen: Screen
    ) -> None:
        """The policy of a domain that was never translated is what libvirt carries out."""
        domain = define("", "<panic model='isa'/>")
        domain.create()
        panic(domain, 5)
        assert screen()[:4] == [
            f"{CRASHED} libvirt does not record which",
            "  libvirt    shutoff (crashed)",
            "  since      TIME",
            POLICY.format(
                "<on_panic>destroy</on_panic> <on_crash>destroy</on_crash>",
                "what its <panic> and <on_crash> amount to",
            ),
        ]

    def test_an_action_that_libvirt_never_carries_out(
        self, connection: Any, define: Callable[..., Any], screen: Screen
    ) -> None:
        """Nothing reports a panic of the domain: that is why there is no coredump."""
        xml = define("").XMLDesc()
        connection.defineXML(xml.replace("<on_crash>destroy<", "<on_crash>coredump-destroy<"))
        shown = screen()
        assert any("<on_panic>ignore</on_panic>" in line for line in shown)
        assert any("nothing in this domain reports a panic" in line for line in shown)

    def test_a_policy_that_was_broken_by_hand(
        self, define: Callable[..., Any], connection: Any, screen: Screen
    ) -> None:
        define()
        xml = connection.lookupByName("guest").XMLDesc()
        connection.defineXML(re.sub("<onpanic:on_panic .*?</onpanic:on_panic>", "", xml))
        assert "  policy     cannot be read: the policy in the metadata has no <on_panic>" in screen()

    def test_qemu_hangs(self, define: Callable[..., Any], uri: str, onpanic: Run) -> None:
        """If only QEMU knows the state and does not answer, the command ends in time."""
        domain = define()
        domain.create()
        hmp(domain, "stop")
        wait_for_state(domain, 3)
        process = qemu(uri)
        os.kill(process, signal.SIGSTOP)
        try:
            done = onpanic("status", "--domain", "guest", "--connect", uri, "--timeout", "1")
        finally:
            os.kill(process, signal.SIGCONT)
        assert done.returncode == 2
        assert done.stderr.startswith("onpanic: libvirt did not answer in time\n")
