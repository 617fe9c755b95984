"""The played libvirt behaves as the real one, and leaves nothing behind."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onpanic.core.libvirt_api import (
    find_domain,
    libvirt_module,
    monitor_command,
    open_connection,
    register_monitor_events,
    run_event_loop,
)

from ..running.libvirtd import HOST, folder_of
from ..watch import panicking_guests
from .command import CommandLibvirt
from .constants import LIBVIRT as C
from .constants import LIBVIRT_QEMU
from .libvirt import PRESERVE, Call, PlayedLibvirt

Events = list[tuple[int, int]]


def listen(played: PlayedLibvirt) -> tuple[Any, Events, list[str]]:
    """Return a connection, and lists that get the lifecycle events and QEMU's events."""
    run_event_loop()
    lifecycle: Events = []
    monitor: list[str] = []
    connection = open_connection(None)
    connection.domainEventRegisterAny(
        None,
        C["VIR_DOMAIN_EVENT_ID_LIFECYCLE"],
        lambda _c, _d, kind, detail, _o: lifecycle.append((kind, detail)),
        None,
    )
    register_monitor_events(
        connection, "^GUEST_", lambda _domain, name, data: monitor.append(f"{name} {data}")
    )
    return connection, lifecycle, monitor


def with_action(word: str) -> str:
    return PRESERVE.replace("preserve", word)


@pytest.mark.parametrize(
    ("word", "state", "events"),
    [
        ("preserve", (6, 1), [(8, 0)]),
        ("destroy", (5, 3), [(8, 0), (5, 2)]),
        ("restart", (1, 9), [(8, 0), (4, 0)]),
        ("coredump-destroy", (5, 3), [(8, 0), (5, 2)]),
        ("coredump-restart", (1, 9), [(8, 0), (4, 0)]),
    ],
)
def test_a_panic_is_followed_by_the_action(
    played_libvirt: PlayedLibvirt, word: str, state: tuple[int, int], events: Events
) -> None:
    """libvirt reports the panic first, then what it does about it."""
    connection, lifecycle, monitor = listen(played_libvirt)
    domain = played_libvirt.add(with_action(word))
    played_libvirt.wait_delivered()
    lifecycle.clear()
    domain.panic()
    played_libvirt.wait_delivered()
    assert (domain.state, lifecycle, monitor) == (state, events, ['GUEST_PANICKED {"action": "pause"}'])
    assert find_domain(connection, "guest").state() == list(state)


def test_a_resume_continues_it(played_libvirt: PlayedLibvirt) -> None:
    """The monitor shows QEMU's run state before and after."""
    domain = played_libvirt.add()
    connection = open_connection(None)
    found = find_domain(connection, str(domain.id))
    domain.panic()
    assert monitor_command(found, {"execute": "query-status"})["return"]["status"] == "guest-panicked"
    found.resume()
    assert monitor_command(found, {"execute": "query-status"})["return"]["status"] == "running"
    assert domain.state == (C["VIR_DOMAIN_RUNNING"], C["VIR_DOMAIN_RUNNING_UNPAUSED"])
    assert Call("resume", "guest") in played_libvirt.calls


def test_a_scripted_call_fails_once(
    played_libvirt: PlayedLibvirt, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error has the code that was given, and is printed as libvirt prints it."""
    libvirt = libvirt_module()
    played_libvirt.add()
    connection = open_connection(None)
    played_libvirt.fail("lookupByName", libvirt.VIR_ERR_OPERATION_DENIED, "not you")
    with pytest.raises(libvirt.libvirtError, match="not you") as caught:
        connection.lookupByName("guest")
    assert caught.value.get_error_code() == libvirt.VIR_ERR_OPERATION_DENIED
    assert capsys.readouterr().err == "libvirt: QEMU Driver error : not you\n"
    assert connection.lookupByName("guest").ID() == 1


def test_a_connection_that_dies_says_so(played_libvirt: PlayedLibvirt) -> None:
    """Its close callback is called, and its calls fail; a new connection works."""
    libvirt = libvirt_module()
    connection, _, _ = listen(played_libvirt)
    reasons: list[int] = []
    connection.registerCloseCallback(lambda _c, reason, _o: reasons.append(reason), None)
    played_libvirt.disconnect()
    played_libvirt.wait_delivered()
    assert (reasons, connection.isAlive()) == ([libvirt.VIR_CONNECT_CLOSE_REASON_EOF], 0)
    with pytest.raises(libvirt.libvirtError, match="client socket is closed"):
        connection.listAllDomains()
    assert open_connection(None).listAllDomains() == []


def test_nothing_is_left_of_it(played_libvirt: PlayedLibvirt) -> None:
    """A connection stays open until it is closed and its callbacks are gone."""
    from onpanic.shims import extend

    connection, _, _ = listen(played_libvirt)
    assert isinstance(extend(connection), libvirt_module().virConnect)
    connection.close()
    assert played_libvirt.connections == [connection]


def test_nothing_was_left_of_it() -> None:
    """After a test neither the modules nor those that had imported them are there."""
    assert not hasattr(sys.modules.get("libvirt"), "played")
    assert not any(
        hasattr(getattr(module, "libvirt", None), "played") for module in list(sys.modules.values())
    )


@pytest.mark.libvirt
@pytest.mark.parametrize(("name", "constants"), [("libvirt", C), ("libvirt_qemu", LIBVIRT_QEMU)])
def test_constants_are_those_of_libvirt(libvirt: Any, name: str, constants: dict[str, int]) -> None:
    real = sys.modules[name]
    assert {word: getattr(real, word, None) for word in constants} == constants


@pytest.mark.libvirt
def test_errors_are_those_of_libvirt(libvirt: Any, test_driver: Any, played_libvirt: PlayedLibvirt) -> None:
    """They have the same methods, codes and domains."""
    played = libvirt_module()
    assert played is not libvirt
    public = {name for name in vars(libvirt.libvirtError) if not name.startswith("_")}
    assert public <= set(dir(played.libvirtError))
    connection = open_connection(None)
    for module, asked in ((libvirt, test_driver), (played, connection)):
        with pytest.raises(module.libvirtError, match="Domain not found") as caught:
            asked.lookupByName("nobody")
        assert caught.value.get_error_code() == C["VIR_ERR_NO_DOMAIN"]
        assert caught.value.get_error_level() == C["VIR_ERR_ERROR"]
        with pytest.raises(module.libvirtError) as caught:
            asked.lookupByUUIDString("nonsense")
        assert (caught.value.get_error_code(), caught.value.get_error_domain(), str(caught.value)) == (
            C["VIR_ERR_INVALID_ARG"],
            C["VIR_FROM_DOMAIN"],
            "Invalid UUID",
        )


@pytest.mark.processes
def test_a_command_finds_its_domains(
    played_libvirt_command: CommandLibvirt, onpanic: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """A process that is started with the environment talks to the played libvirt."""
    played_libvirt_command.add(do=["panic"])
    done = onpanic("status", "--domain", "guest", "--format", "json", **played_libvirt_command.environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "panicked"
    done = onpanic("resume", "--domain", "guest", **played_libvirt_command.environment)
    assert done.returncode == 0, done.stderr
    assert Call("resume", "guest") in played_libvirt_command.calls()


@pytest.mark.processes
def test_a_running_command_gets_events(played_libvirt_command: CommandLibvirt, tmp_path: Path) -> None:
    """What a test does to a domain reaches the watcher as an event."""
    played_libvirt_command.add()
    command = [sys.executable, "-m", "onpanic", "watch", "--log-format", "json", "--state-dir", str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **played_libvirt_command.environment}
    ) as process:
        try:
            assert process.stdout
            for line in process.stdout:
                if json.loads(line)["event"] == "watching":
                    played_libvirt_command.do("disconnect")
                if json.loads(line)["event"] == "disconnected":
                    break
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()


# With a real QEMU

REAL = """\
<domain type='qemu'>
  <name>guest</name>
  <memory unit='MiB'>16</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <on_crash>{word}</on_crash>
  <devices>
    <disk type='file'><source file='{disk}'/><target dev='hda' bus='ide'/></disk>
    <panic model='isa'/>
  </devices>
</domain>
"""

#: What is done to a domain: ``panic``, or a method of `virDomain`.
SCRIPTS = {
    "destroy": ("destroy", ["panic", "create", "destroy"]),
    "restart": ("restart", ["panic", "suspend", "resume", "destroy"]),
    "preserve and resume": ("preserve", ["panic", "resume", "panic", "destroy"]),
    "preserve and reset": ("preserve", ["panic", "reset", "resume", "suspend", "reset", "destroy"]),
}


#: libvirt may or may not report these: QEMU's stop before its panic, and the end of a QEMU that is killed.
STOPPED_BEFORE_CRASH, KILLED = (3, 0), (6, 2)
#: It reports a reset once or several times.
REBOOT = ()


class Observed:
    """What libvirt shows of a domain that goes through a script."""

    def __init__(self, libvirt: Any, connection: Any) -> None:
        self._events: list[tuple[int, ...]] = []
        self.counts: list[int] = []
        self.states: list[Any] = []
        for kind in (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, libvirt.VIR_DOMAIN_EVENT_ID_REBOOT):
            connection.domainEventRegisterAny(None, kind, self._receive, None)
        self._connection = connection

    def _receive(self, _connection: Any, _domain: Any, *event: Any) -> None:
        self._events.append(event[:-1])

    def events(self) -> list[tuple[int, ...]]:
        """Return the events without those whose number or order is not fixed."""
        events = [event for event in self._events if event not in (KILLED, REBOOT)]
        following = [*events[1:], ()]
        return [e for e, n in zip(events, following, strict=True) if (e, n) != (STOPPED_BEFORE_CRASH, (8, 0))]

    @property
    def rebooted(self) -> bool:
        """True if there was a reset."""
        return REBOOT in self._events

    def run(
        self, xml: str, steps: list[str], panic: Callable[[Any], None], settle: Callable[[int], None]
    ) -> None:
        """Define, start, do all steps and undefine; after each `settle` waits for the events."""
        domain = self._connection.defineXML(xml)
        for number, step in enumerate(["create", *steps, "undefine"]):
            if step == "panic":
                panic(domain)
            else:
                getattr(domain, step)()
            settle(number)
            self.counts.append(len(self.events()))
            self.states.append((step, None if step == "undefine" else domain.state()))


@pytest.mark.libvirt
@pytest.mark.libvirts(HOST)
@pytest.mark.emulators
@pytest.mark.parametrize("script", SCRIPTS)
def test_it_does_what_libvirt_does(
    script: str, libvirt: Any, connection: Any, uri: str, played_libvirt: PlayedLibvirt
) -> None:
    """The same steps lead to the same states and events."""
    run_event_loop()
    word, steps = SCRIPTS[script]
    disk = folder_of(uri) / "played.img"
    panicking_guests.disk(disk, panicking_guests.waits())
    xml = REAL.format(word=word, disk=disk)
    played, real = Observed(libvirt_module(), open_connection(None)), Observed(libvirt, connection)
    played.run(
        xml, steps, lambda _: played_libvirt.domains[0].panic(), lambda _: played_libvirt.wait_delivered()
    )
    monitor = played_libvirt.replaced["libvirt_qemu"].qemuMonitorCommand

    def panic(domain: Any) -> None:
        monitor(domain, "o /b 0x505 1", LIBVIRT_QEMU["VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP"])

    def settle(number: int) -> None:
        deadline = time.monotonic() + 60
        expected = played.events()[: played.counts[number]]
        while len(real.events()) < len(expected) or real.events()[-1:] != expected[-1:]:
            assert time.monotonic() < deadline, (real.events(), played.events())
            time.sleep(0.005)

    real.run(xml, steps, panic, settle)
    assert (played.states, played.events()) == (real.states, real.events())
    assert played.rebooted == real.rebooted
