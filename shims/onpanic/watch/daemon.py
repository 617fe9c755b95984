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
from .journal import STANDBY, Journal, default_folder, subfolder
from .notify import notify, reloading
from .office import Office
from .report import Line, Sink, now
from .settings import Settings

__all__ = ("watch_domains", "watch_monitors")


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
    from .hypervisor import server

    folder = subfolder(state or default_folder(), await server(uri))
    watch = _Watch(lambda office: Domains(uri, office), settings, say, folder, dry_run, once, reload)
    await watch.run(alone=True)


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

    folder = subfolder(state or default_folder(), "qmp")

    def guests_of(office: Office) -> Monitors:
        return Monitors(addresses, policy, office)

    watch = _Watch(guests_of, settings, say, folder, dry_run, once, reload)
    await watch.run(alone=False)


class _Watch:
    """A watcher, from its start to its end."""

    def __init__(
        self,
        guests_of: Callable[[Office], _Guests],
        settings: Settings,
        say: Sink,
        folder: Path,
        dry_run: bool,
        once: bool,
        reload: Callable[[], Settings] | None,
    ) -> None:
        def complain(words: str) -> None:
            self._say(Line("problem", "error", at=now(), detail=words))

        def tell(line: Line) -> None:
            say(line)
            self._hook(line)

        self._say = tell
        self._once = once
        self._read = reload
        self._guests_of = guests_of
        self._guests: _Guests | None = None
        self._stop = asyncio.Event()
        self._reloading: set[asyncio.Task[None]] = set()
        self._journal = Journal(None if dry_run else folder, complain)
        self._office = Office(self._journal, settings, tell, dry_run=dry_run)
        self._hook = Hook(lambda: self._office.settings, say)

    async def run(self, *, alone: bool) -> None:
        """Watch.

        :param alone: Stand by as long as another watcher acts for any of the guests.
        """
        loop = asyncio.get_running_loop()
        hooking = asyncio.create_task(self._hook.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        try:
            if not alone or await self._acquired():
                await self._watch()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hook.drained(), self._office.settings.hook_timeout)
        finally:
            for task in (hooking, *self._reloading):
                task.cancel()
            await asyncio.gather(hooking, *self._reloading, return_exceptions=True)
            self._journal.close()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    async def _watch(self) -> None:
        guests = self._guests = self._guests_of(self._office)
        running = asyncio.create_task(guests.run())
        stopped = asyncio.create_task(self._stop.wait())
        ready = asyncio.create_task(self._when_ready(guests))
        watched: list[asyncio.Task[Any]] = [running, stopped, *([ready] if self._once else [])]
        try:
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if running in done:
                await running  # it ends by an error only
        finally:
            for task in (running, stopped, ready):
                task.cancel()
            await asyncio.gather(running, stopped, ready, return_exceptions=True)
            self._say(Line("stopping", at=now()))
            notify("STOPPING=1")
            await guests.close()

    async def _when_ready(self, guests: _Guests) -> None:
        await guests.ready.wait()
        notify("READY=1", "STATUS=watching")
        if self._once:
            await guests.settled()

    async def _acquired(self) -> bool:
        """Wait until nobody else acts; return False if this shall end before."""

        def standing_by() -> None:
            self._say(Line("standby", at=now(), detail=STANDBY))
            notify("READY=1", "STATUS=standing by")

        turn = asyncio.create_task(self._journal.turn("", standing_by))
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait((turn, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if turn.done():
            await turn  # which may have failed
            return True
        turn.cancel()
        return False

    def _on_hangup(self) -> None:
        task = asyncio.create_task(self._reload())
        self._reloading.add(task)
        task.add_done_callback(self._reloading.discard)

    async def _reload(self) -> None:
        """Take new settings, and look at all guests; no event is lost meanwhile, as none waits for it."""
        reloading()
        try:
            if self._read:
                self._office.settings = self._read()
            if self._guests:
                await self._guests.reload()
            self._say(Line("reloaded", at=now()))
        except OnpanicError as error:
            self._say(Line("problem", "error", at=now(), detail=f"not reloaded: {error.message}"))
        notify("READY=1")
