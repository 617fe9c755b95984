"""The watcher: it takes the lock or stands by, watches guests, reloads its settings, and stops."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from onpanic.core.errors import MissingExtraError, OnpanicError, SourceError, UsageError
from onpanic.core.libvirt_api import libvirt_module
from onpanic.core.tasks import finish
from onpanic.probe.decision.policy import Policy
from onpanic.probe.decision.rules import refusal_of_policy
from onpanic.watch.guests.incomplete_dumps import remove_incomplete_in
from onpanic.watch.reporting.hook import Hook
from onpanic.watch.reporting.lines import Line, Sink, now
from onpanic.watch.reporting.systemd import reloading
from onpanic.watch.reporting.watch_result import FailureRecorder, WatchResult
from onpanic.watch.rules.settings import Settings
from onpanic.watch.supervision.context import WatchContext
from onpanic.watch.supervision.journal import STANDBY, Journal, default_folder, subfolder

__all__ = ("watch_domains", "watch_monitors")

_CANCEL_TIMEOUT = 30.0  # seconds
_CLOSE_TIMEOUT = 90.0  # seconds; restoring libvirt's action takes a call to libvirt
_READY_TIMEOUT = 180.0  # seconds for the first look at all guests, if the watcher is not to run on
# What systemctl status shows after these lines about libvirt itself
_STATUS = {"connected": "watching", "disconnected": "waiting for libvirt"}


class _GuestSource(Protocol):
    """Guests to watch: the domains of a libvirt connection, or QMP monitors."""

    ready: asyncio.Event

    @property
    def unreachable(self) -> Sequence[str]: ...

    async def run(self) -> None: ...
    async def reload(self) -> None: ...
    async def wait_idle(self) -> None: ...
    async def close(self) -> None: ...


async def watch_domains(
    uri: str | None,
    settings: Settings,
    sink: Sink,
    *,
    state: Path | None = None,
    dry_run: bool = False,
    once: bool = False,
    stop: asyncio.Event | None = None,
    reload: asyncio.Event | None = None,
    read_settings: Callable[[], Settings] | None = None,
    notify: Callable[..., object] | None = None,
) -> WatchResult:
    """Carry out the policies of a libvirt connection's domains, until stopped or cancelled.

    Signal handlers are left to the application, so this also works in a thread's event loop.

    :param uri: libvirt's connection URI; None for its default.
    :param settings: The settings.
    :param sink: Takes a line for each event and action.
    :param state: The directory of the journal; None for the usual one.
    :param dry_run: Whether to only log what would be done.
    :param once: Whether to return when nothing is left to do.
    :param stop: Set it to stop.  What is in progress is left for the next watcher to continue.
    :param reload: Set it to call ``read_settings``, and to resume what was given up.
    :param read_settings: Returns the new settings.  When it raises an `OnpanicError`, the old ones stay.
    :param notify: Called with assignments of sd_notify(3), for example ``READY=1``.
    :return: What is left undone.  With ``once``, it is complete.
    :raise UsageError: When the settings ask for dumps that libvirt does not make.
    :raise SourceError: When libvirt cannot be reached at first; with ``once``, also when not all guests could
        be asked within three minutes.
    :raise FileError: When the journal's directory cannot be written to.
    :raise MissingExtraError: When a module of the extra ``watch`` is not installed.
    """
    if settings.dump_paging:
        raise UsageError("libvirt makes no dumps with virtual addresses", "leave out dump-paging")
    with _needing_watch():
        libvirt_module()
        from onpanic.watch.guests.libvirt_connection import server_identity
        from onpanic.watch.sources.domains import Domains

    stop = stop or asyncio.Event()
    identity, _ = await _until_first(server_identity(uri), stop.wait())
    if identity.cancelled():
        return WatchResult()
    folder = subfolder(state or default_folder(), identity.result())
    watcher = _Watcher(
        settings,
        sink,
        folder,
        dry_run=dry_run,
        once=once,
        stop=stop,
        reload=reload,
        read_settings=read_settings,
        notify=notify,
    )
    return await watcher.run(lambda context: Domains(uri, context), exclusive=True)


async def watch_monitors(
    addresses: Sequence[str],
    policy: Policy,
    settings: Settings,
    sink: Sink,
    *,
    state: Path | None = None,
    dry_run: bool = False,
    once: bool = False,
    stop: asyncio.Event | None = None,
    reload: asyncio.Event | None = None,
    read_settings: Callable[[], Settings] | None = None,
    notify: Callable[..., object] | None = None,
) -> WatchResult:
    """Carry out a policy for guests without libvirt, until stopped or cancelled.

    :param addresses: Their QMP monitors: UNIX sockets' paths, or ``host:port``.  Emulators may come and go.
    :param policy: The policy of each guest.
    :raise UsageError: When an address or the policy is invalid, when the addresses are a string, or when
        the policy needs the setting ``start`` and it is empty.

    The other parameters and errors, and what is returned, are those of `watch_domains`.
    """
    _check_policy(policy, settings)
    with _needing_watch():
        from onpanic.watch.sources.monitors import Monitors

    if isinstance(addresses, str):  # a string is a sequence of its letters
        raise UsageError(
            f"addresses is the string {addresses!r}", f"it is a list of addresses: [{addresses!r}]"
        )
    folder = subfolder(state or default_folder(), "qmp")
    if not dry_run:
        remove_incomplete_in(Path(settings.dump_dir))
    watcher = _Watcher(
        settings,
        sink,
        folder,
        dry_run=dry_run,
        once=once,
        stop=stop,
        reload=reload,
        read_settings=read_settings,
        notify=notify,
    )
    return await watcher.run(lambda context: Monitors(addresses, policy, context), exclusive=False)


@contextmanager
def _needing_watch() -> Iterator[None]:
    """Name the extra ``watch`` in an error about a library that is only a part of it."""
    try:
        yield
    except MissingExtraError as error:
        raise MissingExtraError(error.package, "watch", error.detail) from error


def _check_policy(policy: Policy, settings: Settings) -> None:
    """Check a policy for guests without libvirt.

    :raise UsageError: When it is invalid on QEMU, or needs a command that starts a guest.
    """
    refusal = refusal_of_policy(policy, "qemu")
    if refusal is not None:
        raise UsageError(f"refused: {refusal.code}: {refusal.reason}", refusal.remedy)
    if "rename-restart" in (policy.on_panic, policy.on_crash) and not settings.start.strip():
        raise UsageError(
            "rename-restart requires a command that starts a guest", "name one with --start COMMAND"
        )


class _Watcher:
    """A watcher.  The parameters are those of `watch_domains`; `folder` is the directory of its journal."""

    def __init__(
        self,
        settings: Settings,
        sink: Sink,
        folder: Path,
        *,
        dry_run: bool,
        once: bool,
        stop: asyncio.Event | None,
        reload: asyncio.Event | None,
        read_settings: Callable[[], Settings] | None,
        notify: Callable[..., object] | None,
    ) -> None:
        def warn(text: str) -> None:
            emit(Line("problem", "error", at=now(), detail=text))

        def emit(line: Line) -> None:
            sink(line)
            self._failures(line)
            self._hook(line)
            if not line.domain and (status := _STATUS.get(line.event)):
                self._notify(f"STATUS={status}")

        self._emit = emit
        self._failures = FailureRecorder()
        self._once = once
        self._stop = stop or asyncio.Event()
        self._reload_requested = reload or asyncio.Event()
        self._read_settings = read_settings
        self._notify = notify or (lambda *_: None)
        self._source: _GuestSource | None = None
        self._unreachable: tuple[str, ...] = ()
        self._journal = Journal(None if dry_run else folder, warn)
        self._context = WatchContext(self._journal, settings, emit, dry_run=dry_run)
        self._hook = Hook(lambda: self._context.settings, sink)

    async def run(self, source_of: Callable[[WatchContext], _GuestSource], *, exclusive: bool) -> WatchResult:
        """Watch, and return what is left undone.

        :param source_of: Returns the source of guests.
        :param exclusive: Whether one lock protects all guests.  This then stands by while another watcher
            holds it.
        """
        try:
            await _until_first(
                self._run(source_of, exclusive=exclusive),
                self._hook.run(),
                self._reload_on_request(),
                seconds=_CANCEL_TIMEOUT + 2 * _CLOSE_TIMEOUT,
            )
            return self._failures.result(self._journal.incidents(), self._unreachable)
        finally:
            self._journal.close()

    async def _run(self, source_of: Callable[[WatchContext], _GuestSource], *, exclusive: bool) -> None:
        acts = True
        if exclusive and self._once:
            acts = self._journal.try_acquire()
            if not acts:
                self._emit(
                    Line("standby", at=now(), detail="another watcher acts, so this one has nothing to do")
                )
        elif exclusive:
            await _until_first(self._journal.acquire("", self._on_standby), self._stop.wait())
        if acts and not self._stop.is_set():
            await self._watch(source_of(self._context))
        with suppress(TimeoutError):
            async with asyncio.timeout(self._context.settings.hook_timeout):
                await self._hook.drained()

    async def _watch(self, source: _GuestSource) -> None:
        self._source = source
        try:
            await _until_first(source.run(), self._stop.wait(), self._when_ready(source))
        finally:
            self._source, self._unreachable = None, tuple(source.unreachable)
            self._emit(Line("stopping", at=now()))
            self._notify("STOPPING=1")
            await finish(source.close(), _CLOSE_TIMEOUT)

    async def _when_ready(self, source: _GuestSource) -> None:
        """Announce that the watcher is ready; return when it need not run on."""
        try:
            async with asyncio.timeout(_READY_TIMEOUT if self._once else None):
                await source.ready.wait()
        except TimeoutError as error:
            raise SourceError(f"not all guests could be asked within {_READY_TIMEOUT:g} s") from error
        self._notify("READY=1", "STATUS=watching")
        await (source.wait_idle() if self._once else self._stop.wait())

    def _on_standby(self) -> None:
        self._emit(Line("standby", at=now(), detail=STANDBY))
        self._notify("READY=1", "STATUS=standing by")

    async def _reload_on_request(self) -> None:
        while True:
            await self._reload_requested.wait()
            self._reload_requested.clear()
            await self._reload()

    async def _reload(self) -> None:
        """Take new settings and reconcile all guests.  Events are still handled meanwhile."""
        self._notify(*reloading())
        try:
            if self._read_settings:
                self._context.settings = self._read_settings()
            if self._source:
                await self._source.reload()
            self._emit(Line("reloaded", at=now()))
        except OnpanicError as error:
            self._emit(Line("problem", "error", at=now(), detail=f"not reloaded: {error.message}"))
        except Exception as error:  # noqa: BLE001  the next reload must still be possible
            self._emit(Line("problem", "error", at=now(), detail=f"not reloaded: a bug: {error!r}"))
        self._notify("READY=1")


async def _until_first(
    *coroutines: Coroutine[Any, Any, Any], seconds: float = _CANCEL_TIMEOUT
) -> list[asyncio.Task[Any]]:
    """Run coroutines until one of them returns or raises; raise what it raises, and cancel the others.

    :param seconds: How long the others may take to end.
    :return: Their tasks, in order.
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await finish(asyncio.gather(*tasks, return_exceptions=True), seconds)
    return tasks
