"""The watcher as a process: one acts, others stand by; signals; the end."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from onpanic.probe.decision import Policy
from onpanic.probe.errors import OnpanicError

from .hook import Hook
from .journal import Journal, default_folder
from .notify import notify, reloading
from .office import Office
from .report import Line, Sink, now
from .settings import Settings

__all__ = ("watch_domains", "watch_monitors")

_STANDBY = 0.25  # seconds between attempts to be the one who acts


class _Guests(Protocol):
    """All guests that are watched."""

    ready: asyncio.Event

    async def run(self) -> None: ...
    async def reload(self) -> None: ...
    async def settled(self) -> None: ...
    async def close(self) -> None: ...


async def watch_domains(
    uri: str | None,
    settings: Settings,
    say: Sink,
    *,
    state: Path | None = None,
    dry_run: bool = False,
    once: bool = False,
    reload: Callable[[], Settings] | None = None,
) -> None:
    """Carry out the policies of a libvirt's domains, until SIGTERM or SIGINT.

    :param uri: libvirt's connection URI; None for its default.
    :param settings: How to act.
    :param say: Takes a line for each thing seen and done.
    :param state: The folder where the watcher notes what it has done; None for the usual one.
    :param dry_run: Only say what would be done.
    :param once: Do what is due now, and return.
    :param reload: Returns new settings on SIGHUP.
    :raise OnpanicError: When libvirt cannot be reached at first, or the folder not be written to.
    """
    from .domains import Domains

    folder = state or default_folder(uri or "")
    await _serve(lambda office: Domains(uri, office), settings, say, folder, dry_run, once, reload)


async def watch_monitors(
    addresses: Sequence[str],
    policy: Policy,
    settings: Settings,
    say: Sink,
    *,
    state: Path | None = None,
    dry_run: bool = False,
    once: bool = False,
    reload: Callable[[], Settings] | None = None,
) -> None:
    """Carry out a policy for guests without libvirt, over their QMP monitors, until SIGTERM or SIGINT.

    :param addresses: UNIX sockets' paths, or ``host:port``; their emulators may come and go.
    :param policy: What is to be done for each.

    The other parameters and errors are `watch_domains`'.
    """
    from .monitors import Monitors

    folder = state or default_folder("qmp")
    await _serve(
        lambda office: Monitors(addresses, policy, office), settings, say, folder, dry_run, once, reload
    )


async def _serve(
    guests_of: Callable[[Office], _Guests],
    settings: Settings,
    say: Sink,
    folder: Path,
    dry_run: bool,
    once: bool,
    reload: Callable[[], Settings] | None,
) -> None:
    def complain(words: str) -> None:
        say(Line("problem", "error", at=now(), detail=words))

    def tell(line: Line) -> None:
        say(line)
        hook(line)

    journal = Journal(None if dry_run else folder, complain)
    office = Office(journal, settings, tell, dry_run=dry_run)
    hook = Hook(lambda: office.settings, say)
    hooking = asyncio.create_task(hook.run())
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        if await _acquired(journal, stop, tell):
            guests = guests_of(office)
            background: set[asyncio.Task[None]] = set()

            def on_hangup() -> None:
                task = asyncio.create_task(_reload(guests, office, reload, tell))
                background.add(task)
                task.add_done_callback(background.discard)

            loop.add_signal_handler(signal.SIGHUP, on_hangup)
            try:
                await _until(stop, guests, once=once)
            finally:
                tell(Line("stopping", at=now()))
                notify("STOPPING=1")
                await guests.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(hook.drained(), settings.hook_timeout)
    finally:
        hooking.cancel()
        await asyncio.gather(hooking, return_exceptions=True)
        journal.close()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


async def _acquired(journal: Journal, stop: asyncio.Event, say: Sink) -> bool:
    """Wait until nobody else acts; return False if this shall end before."""
    said = False
    while not journal.acquire():
        if not said:
            said = True
            say(Line("standby", at=now(), detail="another watcher acts; this one does when that ends"))
            notify("READY=1", "STATUS=standing by")
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _STANDBY)
        if stop.is_set():
            return False
    return True


async def _until(stop: asyncio.Event, guests: _Guests, *, once: bool) -> None:
    """Watch until told to stop, or until nothing is due any more."""
    running = asyncio.create_task(guests.run())
    stopped = asyncio.create_task(stop.wait())
    ready = asyncio.create_task(_when_ready(guests, once=once))
    watched: list[asyncio.Task[Any]] = [running, stopped, *([ready] if once else [])]
    try:
        done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        if running in done:
            await running  # it ends by an error only
    finally:
        for task in (running, stopped, ready):
            task.cancel()
        await asyncio.gather(running, stopped, ready, return_exceptions=True)


async def _when_ready(guests: _Guests, *, once: bool) -> None:
    await guests.ready.wait()
    notify("READY=1", "STATUS=watching")
    if once:
        await guests.settled()


async def _reload(guests: _Guests, office: Office, read: Callable[[], Settings] | None, say: Sink) -> None:
    """Take new settings, and look at all guests; no event is lost meanwhile, as none waits for it."""
    reloading()
    try:
        if read:
            office.settings = read()
        await guests.reload()
        say(Line("reloaded", at=now()))
    except OnpanicError as error:
        say(Line("problem", "error", at=now(), detail=f"not reloaded: {error.message}"))
    notify("READY=1")
