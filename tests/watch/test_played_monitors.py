"""Guests behind played monitors: policies, faults of monitors, and what is left of a connection."""

import asyncio
import gc
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from qemu.qmp.message import Message

from onpanic.core.errors import AbsentError, FailedError, LostError, UsageError
from onpanic.probe.decision.policy import Policy
from onpanic.watch import Settings, watch_monitors
from onpanic.watch.guests.qmp_guest import QmpGuest
from onpanic.watch.guests.qmp_monitor import QmpMonitor
from onpanic.watch.rules.incident import Incident

from ..running.ports import reserved_port
from .played_monitor import PlayedMonitor
from .running import DEADLINE, RunningWatcher

STEPS = {
    "ignore": [("continue", "done")],
    "restart": [("restart", "done")],
    "destroy": [("destroy", "done")],
    "preserve": [("preserve", "kept")],
    "pause": [("pause", "kept")],
}
STATUS = {"ignore": "running", "restart": "running", "preserve": "guest-panicked", "pause": "guest-panicked"}


def watching(
    addresses: list[str], policy: Policy, state: Path, settings: Settings | None = None, **options: Any
) -> RunningWatcher:
    return RunningWatcher(partial(watch_monitors, addresses, policy), state, settings, **options)


@pytest.mark.parametrize("coredump", [False, True])
@pytest.mark.parametrize("value", STEPS)
async def test_a_policy_is_carried_out(value: str, coredump: bool, folder: Path, tmp_path: Path) -> None:
    """QEMU's own action is set, and each step is taken once."""
    if value == "ignore" and coredump:
        return
    monitor = PlayedMonitor(uuid="c7a5fdbd-edaf-9455-926a-d65c16db1809")
    async with monitor.at(folder / "qmp") as address:
        settings = Settings(dump_dir=str(folder))
        async with watching([address], Policy(value, coredump), tmp_path, settings) as watcher:
            await watcher.until("connected", domain="guest", uuid=monitor.uuid)
            monitor.panic()
            action, outcome = STEPS[value][-1]
            await watcher.until("action", action=action, outcome=outcome)
            if value == "destroy":
                await watcher.until("disconnected")
            assert watcher.actions == [*([("coredump", "done")] if coredump else []), *STEPS[value]]
            assert len(watcher.logged("panicked")) == 1
        assert monitor.status == STATUS.get(value, "guest-panicked")
        assert monitor.count("set-action") == (2 if value == "restart" else 1)
        assert monitor.count("quit") == (value == "destroy")
    cores = [path for path in folder.iterdir() if "core" in path.name]
    assert len(cores) == coredump
    assert all(path.name.startswith("guest-c7a5fdbd-") and path.suffix == ".core" for path in cores)


async def test_a_guest_is_started_by_the_start_command(folder: Path, tmp_path: Path) -> None:
    """It has the new name in its environment; the guest is watched again when it listens."""
    monitor = PlayedMonitor()
    program = folder / "start"
    program.write_text('#!/bin/sh\necho "$ONPANIC_DOMAIN $ONPANIC_NEW_NAME" > "$0.out"\n')
    program.chmod(0o755)
    async with monitor.at(folder / "qmp") as address:
        settings = Settings(start=str(program))
        async with watching([address], Policy("rename-restart"), tmp_path, settings) as watcher:
            await watcher.until("connected")
            monitor.panic()
            await watcher.until_true((folder / "start.out").exists)
            await monitor.exit()
            monitor.name, monitor.status = "guest-restart-1", "running"
            await monitor.listen(folder / "qmp")
            await watcher.until("action", action="start", outcome="done")
            await watcher.until("connected", domain="guest-restart-1")
            assert watcher.actions == [("destroy", "done"), ("rename", "done"), ("start", "done")]
    assert (folder / "start.out").read_text() == "guest guest-restart-1\n"


@pytest.mark.parametrize(
    ("command", "message"), [("", "there is no start command"), ("false", "it exited with status 1")]
)
async def test_a_start_command_that_fails(command: str, message: str, folder: Path, tmp_path: Path) -> None:
    """The guest stays off.  A reload may have taken the command away."""
    monitor = PlayedMonitor()
    async with monitor.at(folder / "qmp") as address:
        settings = Settings(start="true")
        async with watching([address], Policy("rename-restart"), tmp_path, settings) as watcher:
            await watcher.until("connected")
            watcher.new_settings = Settings(start=command)
            watcher.reload.set()
            await watcher.until("reloaded")
            monitor.panic()
            failed = await watcher.until("action", action="start", outcome="failed")
            assert message in failed.detail


async def test_an_emulator_that_hangs_is_not_taken_for_ended(folder: Path) -> None:
    """It has the guest's disks: the guest must not be started again beside it."""
    played = PlayedMonitor()
    played.unanswered = {"quit"}
    async with played.at(folder / "qmp") as address:
        guest = QmpGuest(address, Policy("destroy"), Settings, lambda _: None)
        guest.monitor = QmpMonitor(address, timeout=0.1)
        running = asyncio.create_task(guest.monitor.run(lambda: None, ignore))
        async with asyncio.timeout(DEADLINE):
            while not guest.monitor.connected:
                await asyncio.sleep(0.001)
            with pytest.raises(LostError, match="does not answer quit"):
                await guest.take_step("destroy", Incident(guest.key, guest.name), lambda _: None)
            await running
        assert not guest.absent


async def test_an_internal_error_is_covered_by_on_crash(folder: Path, tmp_path: Path) -> None:
    """No event reports it but STOP."""
    monitor = PlayedMonitor()
    async with (
        monitor.at(folder / "qmp") as address,
        watching([address], Policy("pause", on_crash="restart"), tmp_path) as watcher,
    ):
        await watcher.until("connected")
        monitor.status = "internal-error"
        monitor.event("STOP")
        await watcher.until("internal-error")
        await watcher.until("action", action="restart", outcome="done")
        assert monitor.status == "running"


async def test_a_crash_kernel_is_not_disturbed(folder: Path, tmp_path: Path) -> None:
    """GUEST_CRASHLOADED is only logged; a panic of a QEMU that ignores it is reported as QEMU's."""
    monitor = PlayedMonitor()
    async with (
        monitor.at(folder / "qmp") as address,
        watching([address], Policy("ignore"), tmp_path) as watcher,
    ):
        await watcher.until("connected")
        monitor.event("GUEST_CRASHLOADED", action="run")
        await watcher.until("crashloaded")
        monitor.panic("run")
        await watcher.until("action", action="ignore", outcome="done", by="QEMU")
        assert monitor.count("cont") == 0


@pytest.mark.parametrize(
    ("error", "polls", "message"),
    [("No space left on device", 3, "No space left on device"), ("", 10**9, "it took longer than 0.5 s")],
)
async def test_a_dump_that_fails(error: str, polls: int, message: str, folder: Path, tmp_path: Path) -> None:
    """QEMU's reason is logged, no incomplete file is left, and the guest stays as it is."""
    monitor = PlayedMonitor()
    monitor.dump_error, monitor.dump_polls = error, polls
    async with monitor.at(folder / "qmp") as address:
        settings = Settings(dump_dir=str(folder), dump_timeout=0.5 if not error else 60.0, progress=0.001)
        async with watching([address], Policy("destroy", coredump=True), tmp_path, settings) as watcher:
            await watcher.until("connected")
            monitor.panic()
            failed = await watcher.until("action", action="coredump", outcome="failed")
            assert message in failed.detail
            assert watcher.logged("progress")
            assert [path.name for path in folder.iterdir()] == ["qmp"]
            assert monitor.count("quit") == 0


async def test_a_dump_of_an_old_qemu(folder: Path, tmp_path: Path) -> None:
    """Before 2.6 there is no detached dump."""
    monitor = PlayedMonitor()
    monitor.refused = {"query-dump": "not found"}

    class Old(dict[str, str]):
        def __contains__(self, command: object) -> bool:
            detached = command == "dump-guest-memory" and monitor.count("dump-guest-memory") == 1
            return detached or super().__contains__(command)

        def __missing__(self, command: str) -> str:
            return "Parameter 'detach' is unexpected"

    monitor.refused = Old(monitor.refused)
    async with monitor.at(folder / "qmp") as address:
        settings = Settings(dump_dir=str(folder))
        async with watching([address], Policy("preserve", coredump=True), tmp_path, settings) as watcher:
            await watcher.until("connected")
            monitor.panic()
            await watcher.until("action", action="coredump", outcome="done")
            assert monitor.count("dump-guest-memory") == 2


async def test_a_qemu_that_may_not_reboot(folder: Path, tmp_path: Path) -> None:
    """The hint is in the log when even set-action does not help."""
    monitor = PlayedMonitor()
    monitor.no_reboot = True
    async with (
        monitor.at(folder / "qmp") as address,
        watching([address], Policy("restart"), tmp_path) as watcher,
    ):
        await watcher.until("connected")
        monitor.panic()
        failed = await watcher.until("action", action="restart", outcome="failed")
        assert "-no-reboot" in failed.detail


async def test_an_emulator_that_comes_and_goes(folder: Path, tmp_path: Path) -> None:
    """It need not run when the watcher starts, and may be replaced."""
    async with watching([str(folder / "qmp")], Policy("pause"), tmp_path) as watcher:
        assert "No such file" in (await watcher.until("waiting")).detail
        for times in (1, 2):
            monitor = PlayedMonitor()
            async with monitor.at(folder / "qmp"):
                await watcher.until("connected", times=times)
                monitor.panic()
                await watcher.until("action", outcome="kept", times=times)
            await watcher.until("disconnected", times=times)
            await watcher.until("over", times=times)  # both are this process, so only that tells them apart


async def test_a_monitor_that_hangs_up_again_and_again_is_not_connected_to_without_pause(
    folder: Path, tmp_path: Path
) -> None:
    """Each connection would cost four log lines: a hundred of them and more in a second."""
    monitor = PlayedMonitor()
    monitor.hangs_up_at = {"query-status"}
    async with (
        monitor.at(folder / "qmp") as address,
        watching([address], Policy("pause"), tmp_path) as watcher,
    ):
        await watcher.until("disconnected", times=2)
        await asyncio.sleep(0.4)
        assert monitor.clients < 10


async def test_an_event_before_the_guest_is_known(folder: Path, tmp_path: Path) -> None:
    """A panic as soon as capabilities are negotiated is handled."""
    monitor = PlayedMonitor()
    monitor.status, monitor.early_events = "guest-panicked", ["GUEST_PANICKED", "STOP"]
    async with (
        monitor.at(folder / "qmp") as address,
        watching([address], Policy("ignore"), tmp_path) as watcher,
    ):
        await watcher.until("action", action="continue", outcome="done")
        assert len(watcher.logged("panicked")) == 1


async def test_no_event_is_kept(folder: Path, tmp_path: Path) -> None:
    """A QEMU that sends nothing but events takes no memory; one that lives for years neither."""
    monitor = PlayedMonitor()
    async with (
        monitor.at(folder / "qmp") as address,
        watching([address], Policy("pause"), tmp_path) as watcher,
    ):
        await watcher.until("connected")
        for _ in range(300):
            monitor.event("RTC_CHANGE")
        monitor.panic()
        await watcher.until("action", outcome="kept")
        gc.collect()  # when Python looks for cycles by itself differs between its releases
        assert len([kept for kept in gc.get_objects() if isinstance(kept, Message)]) < 30


async def test_a_monitor_that_says_anything_of_its_guest(folder: Path, tmp_path: Path) -> None:
    """The hook runs all the same: an environment has no NUL, and no variable of a megabyte."""
    said, hook = tmp_path / "said", tmp_path / "hook"
    hook.write_text(f'#!/bin/sh\nprintf %s "$ONPANIC_DOMAIN" > {said}\n')
    hook.chmod(0o700)
    monitor = PlayedMonitor(uuid="/../../x")
    monitor.name = "\0\x1b[31m\nguest" + "x" * 500_000
    async with monitor.at(folder / "qmp") as address:
        settings = Settings(dump_dir=str(folder), hook=str(hook))
        async with watching(
            [address], Policy("destroy", coredump=True), tmp_path / "state", settings
        ) as watcher:
            monitor.panic()
            await watcher.until("action", action="destroy", outcome="done")
    (line,) = watcher.logged("panicked")
    assert (line.domain[:10], len(line.domain), line.uuid) == ("[31m guest", 258, "")
    assert said.read_text() == line.domain
    assert not watcher.logged("problem")


@pytest.mark.parametrize("command", ["query-name", "query-status", "cont", "set-action"])
@pytest.mark.parametrize("answer", [42, [], None, {"status": 7}, "\ud800", {"name": "\ud800", "UUID": 1}])
async def test_an_answer_of_the_wrong_shape(
    command: str, answer: object, folder: Path, tmp_path: Path
) -> None:
    """Another guest is still watched, whatever a monitor answers."""
    bad, good = PlayedMonitor("bad"), PlayedMonitor("good")
    bad.answers[command] = answer
    bad.status = "guest-panicked"
    async with bad.at(folder / "bad") as first, good.at(folder / "good") as second:
        async with watching([first, second], Policy("ignore"), tmp_path) as watcher:
            await watcher.until("connected", domain="good")
            good.panic()
            await watcher.until("action", domain="good", outcome="done")
        assert not [line for line in watcher.lines if "a bug" in line.detail]


# The connection


def ignore(_event: dict[str, Any]) -> None:
    pass


async def test_every_address_of_a_host_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """QEMU may listen at 127.0.0.1 only, where localhost is ::1 first."""

    def getaddrinfo(host: str, port: int, **_options: Any) -> list[Any]:
        assert host == "localhost"
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    played = PlayedMonitor()
    async with played.at_port("127.0.0.1") as port:
        monitor = QmpMonitor(f"localhost:{port}")
        connected = asyncio.Event()
        running = asyncio.create_task(monitor.run(connected.set, ignore))
        await asyncio.wait_for(connected.wait(), DEADLINE)
        assert await monitor.execute("query-name") == {"name": "guest"}
        assert monitor.pid is None
        await monitor.close()
        await asyncio.wait_for(running, DEADLINE)
        assert not monitor.connected


async def test_a_local_emulators_process_is_known(folder: Path) -> None:
    """Its threads' CPU time can be read."""
    async with PlayedMonitor().at(folder / "qmp") as address:
        monitor = QmpMonitor(address)
        connected = asyncio.Event()
        running = asyncio.create_task(monitor.run(connected.set, ignore))
        await asyncio.wait_for(connected.wait(), DEADLINE)
        assert monitor.pid == os.getpid()
        assert (monitor.cpu_time(os.getpid()) or 0) > 0
        assert monitor.cpu_time(0) is None
        await monitor.close()
        await asyncio.wait_for(running, DEADLINE)


@pytest.mark.parametrize(
    ("greeting", "error", "message"),
    [
        (None, LostError, "is in use by another client, or its QEMU hangs"),
        (
            b"QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) ",
            LostError,
            r"human monitor \(HMP\)",
        ),
        (b"SSH-2.0-OpenSSH\r\n", LostError, "does not speak QMP"),
        (b"{}\r\n", LostError, "does not speak QMP"),
        (b"[" * 100_000 + b"\r\n", LostError, "does not speak QMP"),
        (b"x" * 2**21, LostError, "a message of more than 1048576 bytes"),
    ],
    ids=["none", "HMP", "text", "object", "nesting", "endless"],
)
async def test_what_is_not_a_monitor(
    greeting: bytes | None, error: type[Exception], message: str, folder: Path
) -> None:
    """Connecting fails in time, with a reason."""
    played = PlayedMonitor()
    played.greeting = greeting
    async with played.at(folder / "qmp") as address:
        monitor = QmpMonitor(address, timeout=DEADLINE if greeting else 0.05)
        with pytest.raises(error, match=message):
            await asyncio.wait_for(monitor.run(lambda: None, ignore), DEADLINE)
        assert not monitor.connected


@pytest.mark.parametrize("address", ["{folder}/missing", "{folder}/refused", "127.0.0.1:{port}"])
async def test_an_address_where_nothing_listens(address: str, folder: Path) -> None:
    """The guest is absent, which is not the same as a lost connection."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "refused"))
    with reserved_port() as port, pytest.raises(AbsentError):
        await QmpMonitor(address.format(folder=folder, port=port)).run(lambda: None, ignore)


async def test_a_host_that_cannot_be_encoded() -> None:
    """It is like one that does not exist."""
    with pytest.raises(LostError):
        await QmpMonitor(f"{'x' * 70}:4444").run(lambda: None, ignore)
    with pytest.raises(UsageError, match="is not a port"):
        QmpMonitor("localhost:99999")


async def test_commands_that_fail(folder: Path) -> None:
    """A refusal has QEMU's reason; no answer and no connection are losses."""
    played = PlayedMonitor()
    played.unanswered = {"query-status"}
    async with played.at(folder / "qmp") as address:
        monitor = QmpMonitor(address)
        with pytest.raises(LostError, match="is not connected"):
            await monitor.execute("query-name")
        async with running(monitor):
            with pytest.raises(FailedError, match="The command nonsense has not been found"):
                await monitor.execute("nonsense")
            asked = asyncio.create_task(monitor.execute("query-status"))
            async with asyncio.timeout(DEADLINE):
                while not played.count("query-status"):
                    await asyncio.sleep(0.001)
            played.hang_up()
            with pytest.raises(LostError, match="closed the connection"):
                await asyncio.wait_for(asked, DEADLINE)


async def test_a_command_that_is_not_answered_ends_the_connection(folder: Path) -> None:
    """The watcher then connects again, which is how it learns that the guest can be asked."""
    played = PlayedMonitor()
    played.unanswered = {"query-status"}
    async with played.at(folder / "qmp") as address:
        monitor = QmpMonitor(address)
        async with running(monitor):
            with pytest.raises(LostError, match="does not answer query-status"):
                await monitor.execute("query-status", timeout=0.01)
        assert not monitor.connected


@asynccontextmanager
async def running(monitor: QmpMonitor) -> AsyncIterator[None]:
    """Connect a monitor; in the end, wait until its connection has ended."""
    connected = asyncio.Event()
    task = asyncio.create_task(monitor.run(connected.set, ignore))
    await asyncio.wait_for(connected.wait(), DEADLINE)
    yield
    await asyncio.wait_for(task, DEADLINE)


async def test_events_arrive_in_order(folder: Path) -> None:
    """And none is kept afterwards."""
    played = PlayedMonitor()
    events: list[str] = []
    async with played.at(folder / "qmp") as address:
        monitor = QmpMonitor(address)
        connected = asyncio.Event()
        running = asyncio.create_task(monitor.run(connected.set, lambda event: events.append(event["event"])))
        await asyncio.wait_for(connected.wait(), DEADLINE)
        names = [f"EVENT_{number}" for number in range(100)]
        for name in names:
            played.event(name)
        played.hang_up()
        await asyncio.wait_for(running, DEADLINE)
    assert events == names


# What is left


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Assert that no task and no descriptor is left that was not there before."""
    tasks, descriptors = asyncio.all_tasks(), _descriptors()
    yield
    left = asyncio.all_tasks() - tasks
    assert not [task for task in left if "PlayedMonitor" not in repr(task)]
    if left:
        await asyncio.wait(left, timeout=DEADLINE)
    async with asyncio.timeout(DEADLINE):
        while _descriptors() - descriptors:  # the played monitor closes its end a little later
            await asyncio.sleep(0.01)


def _descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@pytest.mark.parametrize("greeting", [True, False])
async def test_a_connection_that_is_cancelled_leaves_nothing(greeting: bool, folder: Path) -> None:
    """Wherever it is cancelled: while it connects, negotiates, waits for an answer, or closes."""
    for steps in range(40):
        played = PlayedMonitor()
        played.unanswered = {"query-status"}
        if not greeting:
            played.greeting = None
        async with nothing_left(), played.at(folder / "qmp") as address:
            monitor = QmpMonitor(address)
            asked: list[asyncio.Task[Any]] = []

            def ask(monitor: QmpMonitor = monitor, asked: list[asyncio.Task[Any]] = asked) -> None:
                asked.append(asyncio.create_task(monitor.execute("query-status")))

            running = asyncio.create_task(monitor.run(ask, ignore))
            for _ in range(steps):
                await asyncio.sleep(0)
            running.cancel()
            if steps % 2:  # while it closes, again
                await asyncio.sleep(0)
                running.cancel()
            async with asyncio.timeout(DEADLINE):
                await asyncio.gather(running, *asked, return_exceptions=True)
            assert not monitor.connected


async def test_a_watcher_that_is_cancelled_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    """Wherever it is cancelled."""
    for steps in range(0, 60, 3):
        played = PlayedMonitor()
        async with (
            nothing_left(),
            played.at(folder / "qmp") as address,
            watching([address], Policy("pause"), tmp_path) as watcher,
        ):
            for _ in range(steps):
                await asyncio.sleep(0)
            played.panic()
            await watcher.cancel()
