"""A panicked guest is continued if possible, and reset only if that is allowed."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from onpanic import shims
from onpanic.probe.testing import QEMU_1_5, QEMU_1_6, QEMU_1_7, QEMU_7_2, RHEL_6, Fault, PlayedEmulator

pytestmark = pytest.mark.processes

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Any]  # a `Guest` of tests/conftest.py
Play = Callable[[PlayedEmulator], str]
Until = Callable[[Callable[[], object]], None]

PANIC = {"command-line": "o /b 0x505 1"}
XML = """\
<domain type="qemu" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
  <name>guest</name>
  <memory unit="MiB">16</memory>
  <os><type arch="x86_64" machine="pc">hvm</type></os>
  <features><acpi/></features>
  <on_panic>pause</on_panic>
  <devices/>
  {more}
</domain>
"""


def said(done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    """Return the exit status and the one line of output, which must be on the right stream."""
    lines = (done.stdout + done.stderr).splitlines()
    assert (done.stdout == "") == (done.returncode != 0), done
    assert len(lines) == 1 or lines[1].startswith("onpanic: hint: "), lines
    return done.returncode, lines[0].removeprefix("onpanic: ")


# Through the monitor of a real QEMU


@pytest.mark.emulators
@pytest.mark.parametrize("way", ["path", "port"])
def test_a_panicked_guest_is_continued(way: str, guest: Start, onpanic: Run) -> None:
    """The guest continues without a reset."""
    running = guest("-device", "pvpanic", "-no-shutdown")
    running.ask("human-monitor-command", **PANIC)
    assert running.status == "guest-panicked"
    running.events.clear()
    address = str(running.path) if way == "path" else f"localhost:{running.port}"
    done = onpanic("resume", "--qmp", address)
    assert said(done) == (0, "continued: was guest-panicked, is running")
    assert running.status == "running"
    assert running.events == ["RESUME"]
    assert said(onpanic("resume", "--qmp", address)) == (0, "nothing to do: was running, is running")


@pytest.mark.emulators
def test_what_did_not_panic_is_left_alone(guest: Start, onpanic: Run) -> None:
    """A guest that was stopped on request stays stopped."""
    running = guest("-device", "pvpanic")
    running.ask("stop")
    running.events.clear()
    done = onpanic("resume", "--qmp", str(running.path), "--allow-reset")
    assert said(done)[0] == 1
    assert "refused: guest-did-not-panic: " in done.stderr
    assert "(paused)" in done.stderr
    assert running.status == "paused"
    assert running.events == []


@pytest.mark.emulators
def test_a_guest_that_is_shut_down_needs_a_reset(guest: Start, onpanic: Run, until: Until) -> None:
    """With -no-reboot even a reset does not help, which is reported."""
    running = guest("-no-shutdown", "-no-reboot")
    running.ask("system_reset")
    until(lambda: running.status == "shutdown")
    running.events.clear()
    done = onpanic("resume", "--qmp", str(running.path))
    assert "refused: guest-needs-reset: " in said(done)[1]
    assert running.status == "shutdown"
    assert running.events == []
    done = onpanic("resume", "--qmp", str(running.path), "--allow-reset")
    assert "refused: no-way-back: " in said(done)[1]
    assert "Resetting the Virtual Machine is required" in done.stderr


@pytest.mark.emulators
def test_json(guest: Start, onpanic: Run) -> None:
    running = guest("-device", "pvpanic", "-no-shutdown")
    running.ask("human-monitor-command", **PANIC)
    done = onpanic("resume", "--qmp", str(running.path), "--format", "json")
    assert json.loads(done.stdout) == {"how": "cont", "before": "guest-panicked", "after": "running"}
    assert (onpanic("resume", "-q", "--qmp", str(running.path)).stdout) == ""


# Emulators that are not available any more, and states that cannot be provoked


@pytest.mark.parametrize(
    ("emulator", "refused", "allowed"),
    [
        (QEMU_1_5, "cont-refused-after-panic", "reset and started"),
        (QEMU_1_6, "cont-refused-after-panic", "reset and started"),
        (RHEL_6, "cont-refused-after-panic", "reset and started"),
        (QEMU_1_7, "", "nothing to do"),
        (QEMU_7_2.but(run_state="internal-error"), "guest-needs-reset", "reset and started"),
        (QEMU_7_2.but(run_state="shutdown"), "guest-needs-reset", "reset and started"),
        (QEMU_7_2.but(run_state="io-error"), "guest-did-not-panic", "refused: guest-did-not-panic"),
        (QEMU_7_2.but(run_state="x\x1b[31m"), "guest-did-not-panic", "refused: guest-did-not-panic"),
    ],
    ids=lambda value: ".".join(map(str, value.version)) if isinstance(value, PlayedEmulator) else None,
)
def test_a_reset_only_where_it_is_needed_and_allowed(
    emulator: PlayedEmulator, refused: str, allowed: str, played: Play, onpanic: Run
) -> None:
    if emulator.run_state == "prelaunch":
        emulator = emulator.but(run_state="guest-panicked")
    address = played(emulator)
    done = onpanic("resume", "--qmp", address)
    if refused:
        assert said(done)[1].startswith(f"refused: {refused}: ")
        assert done.stderr.replace("\n", "").isprintable()
    else:
        assert said(done) == (0, "continued: was guest-panicked, is running")
    assert said(onpanic("resume", "--qmp", address, "--allow-reset"))[1].startswith(allowed)


@pytest.mark.parametrize("at", ["query-status", "cont", "system_reset"])
@pytest.mark.parametrize("kind", ["hang", "exit", "hang-up", "wrong-shape", "silence", "junk"])
def test_a_monitor_that_fails(at: str, kind: str, played: Play, onpanic: Run) -> None:
    """A monitor that fails is an error, not a success."""
    emulator = QEMU_1_5.but(run_state="guest-panicked", fault=Fault(kind, at=at))
    done = onpanic("resume", "--qmp", played(emulator), "--allow-reset", "--timeout", "1")
    assert said(done)[0] in (1, 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "which guest?"),
        (["--qmp", "x", "--domain", "y"], "which guest?"),
        (["--qmp", "x", "--connect", "y"], "--connect goes with --domain"),
        (["--qmp", "/nowhere"], "/nowhere: No such file or directory"),
        (["--domain", "x", "--connect", "nonsense:///x"], "libvirt: "),
    ],
)
@pytest.mark.parametrize("command", ["resume", "status"])
def test_no_such_guest(command: str, words: list[str], message: str, onpanic: Run) -> None:
    done = onpanic(command, *words)
    assert done.returncode == 2
    assert said(done)[1].startswith(message)


# Through libvirt


@pytest.fixture
def start(connection: Any, libvirt: Any) -> Callable[..., Any]:
    """Return a function that starts a domain with the policy ``pause``."""

    def run(more: str = "") -> Any:
        return shims.extend(connection).createXML(XML.format(more=more))

    return run


@pytest.fixture
def panic(libvirt: Any, until: Until) -> Callable[[Any], None]:
    """Return a function that makes a domain panic and waits until libvirt has noticed."""

    def write(domain: Any) -> None:
        hmp(domain, "o /b 0x505 1")
        until(lambda: domain.state()[0] == libvirt.VIR_DOMAIN_CRASHED)

    return write


def hmp(domain: Any, line: str) -> str:
    import libvirt_qemu

    return str(
        libvirt_qemu.qemuMonitorCommand(domain, line, libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
    )


@pytest.mark.libvirt
@pytest.mark.emulators
class TestLibvirt:
    def test_libvirt_knows_that_the_guest_runs(
        self, start: Start, panic: Callable[[Any], None], uri: str, onpanic: Run, libvirt: Any
    ) -> None:
        domain = start()
        panic(domain)
        done = onpanic("resume", "--domain", "guest", "--connect", uri)
        assert said(done) == (0, "continued: was crashed (panicked), is running (unpaused)")
        assert domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
        assert "running" in hmp(domain, "info status")
        done = onpanic("resume", "--domain", domain.UUIDString(), "--connect", uri)
        assert said(done) == (0, "nothing to do: was running (unpaused), is running (unpaused)")

    def test_a_guest_that_was_reset_after_its_panic(
        self, start: Start, panic: Callable[[Any], None], uri: str, onpanic: Run, libvirt: Any
    ) -> None:
        """libvirt leaves the guest paused, and it is continued."""
        domain = start()
        panic(domain)
        domain.reset()
        assert domain.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED]
        done = onpanic("resume", "--domain", "guest", "--connect", uri)
        assert said(done) == (0, "continued: was paused (crashed), is running (unpaused)")
        assert domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING

    def test_a_guest_that_goes_on_without_libvirts_knowledge(
        self, connection: Any, panic: Callable[[Any], None], uri: str, onpanic: Run, libvirt: Any
    ) -> None:
        """QEMU ignores panics, which libvirt does not know; afterwards libvirt's state is right."""
        import libvirt_qemu

        own = "<on_crash>preserve</on_crash><devices><panic/></devices>"
        domain = connection.createXML(
            XML.format(more="").replace("<on_panic>pause</on_panic>", "").replace("<devices/>", own)
        )
        # On the command line, libvirt 12.6 and later override it
        action = '{"execute": "set-action", "arguments": {"panic": "none"}}'
        assert '"return"' in libvirt_qemu.qemuMonitorCommand(domain, action, 0)
        panic(domain)
        assert "running" in hmp(domain, "info status")
        done = onpanic("resume", "--domain", "guest", "--connect", uri)
        assert said(done) == (0, "continued: was crashed (panicked), is running (unpaused)")
        assert domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
        assert "running" in hmp(domain, "info status")

    def test_what_did_not_panic_is_left_alone(self, start: Start, uri: str, onpanic: Run) -> None:
        """A guest that was paused, with or without libvirt, or is off is not continued."""
        domain = start()
        domain.suspend()
        for state in ("paused (user)", "paused", "shutoff"):
            if state == "paused":
                domain.resume()
                hmp(domain, "stop")
            if state == "shutoff":
                domain.connect().defineXML(domain.XMLDesc())
                domain.destroy()
            done = onpanic("resume", "--domain", "guest", "--connect", uri, "--allow-reset")
            assert said(done)[0] == 1
            assert "refused: guest-did-not-panic: " in done.stderr
            assert f"({state}" in done.stderr
        assert not domain.isActive()

    def test_libvirt_has_no_such_domain(self, uri: str, onpanic: Run) -> None:
        done = onpanic("resume", "--domain", "none", "--connect", uri)
        assert said(done)[0] == 2
        assert "domain none: Domain not found" in done.stderr


class LibvirtOnOldQemu:
    """A domain of a libvirt before 2.0 on a QEMU that refuses ``cont``; neither is available any more."""

    def __init__(self, state: list[int], *, words: str = "Resetting the Virtual Machine is required") -> None:
        self.calls: list[str] = []
        self._state, self._words = state, words

    def connect(self) -> "LibvirtOnOldQemu":
        return self

    def getType(self) -> str:  # noqa: N802
        return "QEMU"

    def state(self) -> list[int]:
        return self._state

    def resume(self) -> None:
        import libvirt

        self.calls.append("resume")
        if "reset" not in self.calls:
            error = libvirt.libvirtError("")
            error.args = (f"internal error: unable to execute QEMU command 'cont': {self._words}",)
            raise error
        self._state = [1, 5]

    def reset(self) -> None:
        self.calls.append("reset")

    def XMLDesc(self) -> str:  # noqa: N802
        return XML.format(more="")


@pytest.mark.libvirt
def test_libvirt_on_a_qemu_that_refuses(libvirt: Any) -> None:
    from onpanic.core.errors import RefusedError
    from onpanic.shims.guests.resume import resume_domain

    panicked = [libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_CRASHED_PANICKED]
    domain = LibvirtOnOldQemu(panicked)
    with pytest.raises(RefusedError, match="cont-refused-after-panic"):
        resume_domain(domain)
    assert domain.calls == ["resume"]
    assert resume_domain(domain, allow_reset=True).how == "reset"
    assert domain.calls == ["resume", "resume", "reset", "resume"]
    with pytest.raises(libvirt.libvirtError, match="no memory"):
        resume_domain(LibvirtOnOldQemu(panicked, words="no memory"), allow_reset=True)
