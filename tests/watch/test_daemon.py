"""The watcher as a library: it is stopped, reloaded and cancelled, in any thread."""

import asyncio
import os
import signal
import threading
from functools import partial
from pathlib import Path

import pytest

from onpanic.core.errors import FileError, UsageError
from onpanic.probe.decision.policy import Policy
from onpanic.watch import Line, Settings, WatchResult, watch_monitors

from .played_monitor import PlayedMonitor
from .running import DEADLINE, RunningWatcher

PAUSE = Policy("pause")


def watching(
    address: str, state: Path, settings: Settings | None = None, policy: Policy = PAUSE, **options: bool
) -> RunningWatcher:
    return RunningWatcher(partial(watch_monitors, [address], policy), state, settings, **options)


async def test_it_runs_until_it_is_stopped(folder: Path, tmp_path: Path) -> None:
    """systemd is notified of each stage, in order."""
    async with PlayedMonitor().at(folder / "qmp") as address:
        async with watching(address, tmp_path) as watcher:
            await watcher.until_true(lambda: watcher.notifications)
        assert watcher.notifications == [("READY=1", "STATUS=watching"), ("STOPPING=1",)]
        assert [line.event for line in watcher.lines] == [
            "watching",
            "qemu-action",
            "connected",
            "stopping",
        ]


async def test_it_is_stopped_before_it_is_ready(folder: Path, tmp_path: Path) -> None:
    """Even if no monitor answers."""
    monitor = PlayedMonitor()
    monitor.greeting = None
    async with monitor.at(folder / "qmp") as address:
        async with watching(address, tmp_path) as watcher:
            await watcher.until("watching")
        assert watcher.notifications == [("STOPPING=1",)]


async def test_it_returns_when_nothing_is_left_to_do(folder: Path, tmp_path: Path) -> None:
    """The next one finds the journal, and does nothing again."""
    monitor = PlayedMonitor()
    monitor.status = "guest-panicked"
    async with monitor.at(folder / "qmp") as address:
        for actions in ([("pause", "kept")], []):
            async with watching(address, tmp_path, once=True) as watcher:
                await watcher.end()
                assert watcher.actions == actions


async def test_what_is_left_undone(folder: Path, tmp_path: Path) -> None:
    """It is returned: guests of which an action failed, also before, and monitors that could not be asked."""
    good, bad, hmp = PlayedMonitor("good"), PlayedMonitor("bad"), PlayedMonitor()
    good.status = bad.status = "guest-panicked"
    bad.refused = {"cont": "Resetting the Virtual Machine is required"}
    hmp.greeting = b"QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) "
    async with (
        good.at(folder / "good") as one,
        bad.at(folder / "bad") as two,
        hmp.at(folder / "hmp") as three,
    ):
        addresses, absent = [one, two, three], str(folder / "none")
        function = partial(watch_monitors, [*addresses, absent], Policy("ignore"))
        for _ in range(2):
            async with RunningWatcher(function, tmp_path, once=True) as watcher:
                await watcher.end()
            assert watcher.result == WatchResult(failed=("bad",), unreachable=(three, absent))
        bad.refused = {}
        async with RunningWatcher(partial(watch_monitors, [one, two], Policy("ignore")), tmp_path) as watcher:
            await watcher.until("action", domain="bad", outcome="done")
        assert watcher.result == WatchResult()


@pytest.mark.parametrize("command", ["query-name", "query-status"])
async def test_a_monitor_that_closes_the_connection_could_not_be_asked(
    command: str, folder: Path, tmp_path: Path
) -> None:
    """Whatever it is asked."""
    monitor = PlayedMonitor()
    monitor.hangs_up_at = {command}
    async with monitor.at(folder / "qmp") as address, watching(address, tmp_path, once=True) as watcher:
        await watcher.end()
    assert watcher.result == WatchResult(unreachable=(address,))


async def test_a_guest_that_another_watcher_watches_is_left_to_it(folder: Path, tmp_path: Path) -> None:
    """Nothing is left undone by the one that stands by."""
    monitor = PlayedMonitor()
    async with monitor.at(folder / "qmp") as address, watching(address, tmp_path) as first:
        await first.until("connected")
        async with watching(address, tmp_path, once=True) as second:
            await second.end()
        assert second.result == WatchResult()


async def test_a_dry_run_writes_nothing(folder: Path, tmp_path: Path) -> None:
    """Nor does it change QEMU's own action."""
    monitor = PlayedMonitor()
    monitor.status = "guest-panicked"
    async with (
        monitor.at(folder / "qmp") as address,
        watching(address, tmp_path / "state", policy=Policy("restart"), once=True, dry_run=True) as watcher,
    ):
        await watcher.end()
        assert watcher.actions == [("restart", "dry-run")]
    assert not (tmp_path / "state").exists()
    assert {"set-action", "cont", "system_reset"}.isdisjoint(monitor.commands)


async def test_a_reload_resumes_what_was_given_up(folder: Path, tmp_path: Path) -> None:
    """Invalid settings change nothing, and one line says so."""
    monitor = PlayedMonitor()
    policy = Policy("preserve", coredump=True)
    async with (
        monitor.at(folder / "qmp") as address,
        watching(address, tmp_path, Settings(dump_dir="/nowhere"), policy) as watcher,
    ):
        await watcher.until_true(lambda: watcher.notifications)
        monitor.answers["dump-guest-memory"] = {}
        monitor.answers["query-dump"] = {"status": "failed"}
        monitor.panic()
        await watcher.until("action", action="coredump", outcome="failed")
        monitor.answers.clear()
        watcher.new_settings = None
        watcher.reload.set()
        assert (await watcher.until("problem")).detail == "not reloaded: watch.toml: nonsense"
        watcher.new_settings = Settings(dump_dir=str(folder))
        watcher.reload.set()
        await watcher.until("reloaded")
        await watcher.until("action", action="preserve", outcome="kept")
        assert len(list(folder.glob("*.core"))) == 1
        reloads = [sent for sent in watcher.notifications if sent[0] == "RELOADING=1"]
        assert len(reloads) == 2
        assert reloads[0][1].startswith("MONOTONIC_USEC=")


async def test_a_reload_that_fails_unexpectedly_is_not_the_last(folder: Path, tmp_path: Path) -> None:
    """What an application's own `read_settings` raises is logged, and the next reload is read."""
    results: list[Settings | Exception] = [KeyError("bug"), Settings()]
    lines: list[Line] = []
    stop, reload = asyncio.Event(), asyncio.Event()

    def read_settings() -> Settings:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    async def until(event: str) -> Line:
        while not (found := [line for line in lines if line.event == event]):
            await asyncio.sleep(0.001)
        return found[0]

    async with PlayedMonitor().at(folder / "qmp") as address, asyncio.timeout(DEADLINE):
        watcher = asyncio.create_task(
            watch_monitors(
                [address],
                PAUSE,
                Settings(),
                lines.append,
                state=tmp_path,
                stop=stop,
                reload=reload,
                read_settings=read_settings,
            )
        )
        await until("connected")
        reload.set()
        assert (await until("problem")).detail == "not reloaded: a bug: KeyError('bug')"
        reload.set()
        await until("reloaded")
        stop.set()
        await watcher


async def test_the_second_watcher_stands_by(folder: Path, tmp_path: Path) -> None:
    """It acts when the first one has ended, and can be reloaded and stopped before."""
    monitor = PlayedMonitor()
    async with monitor.at(folder / "qmp") as address:
        async with watching(address, tmp_path) as first:
            await first.until("connected")
            async with watching(address, tmp_path) as second:
                await second.until("standby")
                second.reload.set()
                await second.until("reloaded")
                first.stop.set()
                await first.end()
                await second.until("connected")
                monitor.panic()
                await second.until("action", outcome="kept")
        assert first.logged("panicked") == []


async def test_a_watcher_that_stands_by_is_stopped(folder: Path, tmp_path: Path) -> None:
    """The first one goes on."""
    monitor = PlayedMonitor()
    async with monitor.at(folder / "qmp") as address, watching(address, tmp_path) as first:
        await first.until("connected")
        async with watching(address, tmp_path) as second:
            await second.until("standby")
        assert second.logged("connected") == []
        monitor.panic()
        await first.until("action", outcome="kept")


async def test_a_cancelled_watcher_releases_its_lock(folder: Path, tmp_path: Path) -> None:
    """And closes its connection."""
    monitor = PlayedMonitor()
    async with monitor.at(folder / "qmp") as address:
        async with watching(address, tmp_path) as first:
            await first.until("connected")
            await first.cancel()
        async with watching(address, tmp_path) as second:
            await second.until("connected")
        assert second.logged("standby") == []


async def test_the_hook_runs_for_the_last_lines_too(folder: Path, tmp_path: Path) -> None:
    """The watcher waits for it when it stops."""
    hook = folder / "hook"
    hook.write_text('#!/bin/sh\necho "$ONPANIC_EVENT" >> "$0.out"\n')
    hook.chmod(0o755)
    monitor = PlayedMonitor()
    monitor.status = "guest-panicked"
    async with (
        monitor.at(folder / "qmp") as address,
        watching(address, tmp_path, Settings(hook=str(hook)), once=True) as watcher,
    ):
        await watcher.end()
    assert (folder / "hook.out").read_text() == "panicked\naction\n"


@pytest.mark.parametrize("end", ["stop", "once", "cancel"])
async def test_the_applications_signal_handlers_stay(end: str, folder: Path, tmp_path: Path) -> None:
    """In the main thread, where it could take them; so does the descriptor that signals are written to."""
    loop = asyncio.get_running_loop()
    received: list[int] = []
    loop.add_signal_handler(signal.SIGTERM, received.append, signal.SIGTERM)
    before = signals()
    monitor = PlayedMonitor()
    async with (
        monitor.at(folder / "qmp") as address,
        watching(address, tmp_path, once=end == "once") as watcher,
    ):
        if end == "once":
            await watcher.end()
        else:
            await watcher.until("connected")
            monitor.panic()
            await watcher.until("action", outcome="kept")
            assert signals() == before
            os.kill(os.getpid(), signal.SIGTERM)
            await watcher.until_true(lambda: received)
            assert watcher.logged("stopping") == []
            if end == "cancel":
                await watcher.cancel()
    assert signals() == before
    loop.remove_signal_handler(signal.SIGTERM)


def signals() -> tuple[object, ...]:
    """Return the handlers of all signals, and the descriptor that signals are written to."""
    descriptor = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(descriptor)
    return descriptor, *(signal.getsignal(number) for number in sorted(signal.valid_signals()))


def test_it_works_in_a_thread(folder: Path, tmp_path: Path) -> None:
    """And leaves the application's signal handlers alone."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    during: list[object] = []
    lines: list[Line] = []

    async def work() -> None:
        async with PlayedMonitor().at(folder / "qmp") as address:
            async with watching(address, tmp_path) as watcher:
                await watcher.until("connected")
                during.extend(signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
            lines.extend(watcher.lines)

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert [line.event for line in lines] == ["watching", "qemu-action", "connected", "stopping"]
    assert during == handlers


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (Policy("reboot"), "unknown-value"),
        (Policy("crash"), "crash-needs-xen"),
        (Policy("ignore", coredump=True), "coredump-needs-action"),
        (Policy("rename-restart"), "requires a command"),
        (Policy("pause", on_crash="rename-restart"), "requires a command"),
    ],
    ids=str,
)
async def test_a_policy_that_cannot_be_carried_out(policy: Policy, message: str, tmp_path: Path) -> None:
    """It is refused at once, not when a guest panics."""
    with pytest.raises(UsageError, match=message):
        await watch_monitors(["/nowhere"], policy, Settings(), print, state=tmp_path)


async def test_wrong_arguments(tmp_path: Path) -> None:
    """They are errors of their own."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is not a port"):
        await watch_monitors(["localhost:0"], PAUSE, Settings(), print, state=tmp_path)
    with pytest.raises(UsageError, match="it is a list of addresses"):
        await watch_monitors("localhost:4444", PAUSE, Settings(), print, state=tmp_path)
    with pytest.raises(FileError, match="--state-dir"):
        await watch_monitors(["/nowhere"], PAUSE, Settings(), print, state=tmp_path / "file" / "state")
