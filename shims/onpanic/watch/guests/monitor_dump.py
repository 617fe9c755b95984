"""Dumps of a guest's memory through its QMP monitor."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from onpanic.core.errors import FailedError, LostError
from onpanic.watch.guests.dump_space import space_for_dump
from onpanic.watch.guests.guest import DumpProgress, DumpResult
from onpanic.watch.guests.incomplete_dumps import locked, remove_incomplete
from onpanic.watch.guests.qmp_monitor import QmpMonitor
from onpanic.watch.rules.dump_files import PARTIAL, with_format
from onpanic.watch.rules.settings import Settings

__all__ = ("MonitorDump", "progress_of")

_POLL = (0.01, 0.5)  # seconds between queries of a dump's progress: the first, and the longest
_CLOSED = 1.0  # seconds in which a QEMU that has ended, or a dump, has closed its file and said why
_LIBVIRT_MONITOR = "charmonitor"  # what every libvirt calls its own monitor of a QEMU


class MonitorDump:
    """Makes dumps of one guest.

    :param monitor: The guest's monitor.
    :param settings: Returns the current settings.
    """

    def __init__(self, monitor: QmpMonitor, settings: Callable[[], Settings]) -> None:
        self._monitor = monitor
        self._settings = settings
        self._error = ""
        self._completed = asyncio.Event()
        self._abandoned: set[Path] = set()  # incomplete files that may still be written

    def on_completed(self, error: str) -> None:
        """Note how a dump ended.

        :param error: Why it failed; empty if it did not.
        """
        self._error = error
        self._completed.set()
        self._remove_until(time.monotonic() + _CLOSED)  # QEMU closes the file after this event

    def remove_abandoned(self) -> None:
        """Remove what dumps have left that were given up, unless QEMU still writes it."""
        self._abandoned = {path for path in self._abandoned if not remove_incomplete(path)}

    def _remove_until(self, deadline: float) -> None:
        """Remove abandoned files, and try again until the deadline while QEMU still writes one."""
        self.remove_abandoned()
        if self._abandoned and time.monotonic() < deadline:
            asyncio.get_running_loop().call_later(_POLL[0], self._remove_until, deadline)

    async def run(self, path: str, progress: DumpProgress) -> DumpResult:
        """Dump the guest's memory, in the first format that QEMU offers and that works.

        :param path: The file, whose extension becomes that of the format.  It gets its name when it is
            complete.
        :raise FailedError: When QEMU refuses, or no format works; or when the QEMU is libvirt's, which may
            crash if something else starts a dump.
        :raise LostError: When the connection is lost.
        """
        await self._refuse_libvirt()
        self.remove_abandoned()
        settings, offered = self._settings(), await self._offered()
        reasons: list[str] = []
        needed = await self._memory_size() if settings.limits_dumps else None
        async with space_for_dump(path, needed, settings, here=self._monitor.pid is not None) as note:
            for form in settings.dump_formats:
                if offered and form not in offered:
                    reasons.append(f"this QEMU does not offer {form}; it offers {', '.join(offered)}")
                    continue
                target = Path(with_format(path, form))
                try:
                    named = await self._dump_as(form, target, progress)
                except _NotDumpedError as error:
                    reasons.append(f"{form}: {error.message}" if form != "elf" else error.message)
                    continue
                return DumpResult(named, "; ".join([*reasons, *([note] if note else [])]))
        raise FailedError("; ".join(reasons))

    async def status(self) -> dict[str, Any]:
        """Return what QEMU says about the last dump (``query-dump``); nothing if it does not say.

        :raise LostError: When the connection is lost.
        """
        with suppress(FailedError):  # QEMU before 2.6
            return await self._monitor.query("query-dump")
        return {}

    async def _dump_as(self, form: str, path: Path, progress: DumpProgress) -> str:
        """Dump in one format, and return the file's name: it stays incomplete on another host.

        :raise _NotDumpedError: When QEMU refuses, or the dump fails.
        :raise FailedError: When the dump takes too long.
        """
        partial = path.with_name(path.name + PARTIAL)
        arguments: dict[str, Any] = {"paging": self._settings().dump_paging, "protocol": f"file:{partial}"}
        if form != "elf":
            arguments["format"] = form  # since QEMU 2.0
        async with self._removing(partial):
            await self._begin(arguments)
            with locked(partial):
                await self._wait(progress)
                try:
                    partial.rename(path)
                except FileNotFoundError:  # it is on another host
                    return str(partial)
                except OSError as error:
                    raise FailedError(f"{partial}: {error.strerror}") from error
        return str(path)

    async def _begin(self, arguments: dict[str, Any]) -> None:
        """Begin a dump; with QEMU before 2.6, return when it has ended."""
        self._error = ""
        self._completed.clear()
        try:
            await self._monitor.execute("dump-guest-memory", **arguments, detach=True)
        except FailedError as error:
            if "detach" not in error.message:
                raise _NotDumpedError(error.message) from error
        else:
            return
        try:
            await self._monitor.execute("dump-guest-memory", self._settings().dump_timeout, **arguments)
        except FailedError as error:
            raise _NotDumpedError(error.message, ended=True) from error

    async def _wait(self, progress: DumpProgress) -> None:
        """Wait until the dump has ended."""
        limit, delay = self._settings().dump_timeout, _POLL[0]
        deadline = time.monotonic() + limit
        while (dump := await self.status()).get("status") == "active":
            if done := progress_of(dump):
                progress(*done)
            if time.monotonic() > deadline:
                raise FailedError(f"it took longer than {limit:g} s; QEMU continues it")
            await asyncio.sleep(delay)
            delay = min(delay * 2, _POLL[1])
        if dump.get("status") == "failed":
            with suppress(TimeoutError):  # the event that says why comes after this state
                async with asyncio.timeout(_CLOSED):
                    await self._completed.wait()
            raise _NotDumpedError(self._error or "QEMU does not say why", ended=True)

    @asynccontextmanager
    async def _removing(self, partial: Path) -> AsyncIterator[None]:
        """Remove an incomplete file if a dump is not made, as soon as nothing writes it; a context."""
        try:
            yield
        except BaseException as error:
            if isinstance(error, _NotDumpedError) and error.ended:
                with suppress(OSError):
                    partial.unlink()  # noqa: ASYNC240  a short call
            self._abandoned.add(partial)
            self.remove_abandoned()
            if isinstance(error, _NotDumpedError | LostError):
                deadline = time.monotonic() + _CLOSED
                while self._abandoned and time.monotonic() < deadline:
                    await asyncio.sleep(_POLL[0])
                    self.remove_abandoned()
            raise

    async def _refuse_libvirt(self) -> None:
        """Refuse a QEMU that libvirt has started.

        :raise FailedError: When it has.
        """
        devices: Any = None
        with suppress(FailedError):  # the command may be forbidden
            devices = await self._monitor.execute("query-chardev")
        labels = [one.get("label") for one in devices or () if isinstance(one, dict)]
        if _LIBVIRT_MONITOR in labels:
            raise FailedError(
                f"this QEMU is libvirt's (its monitor is {_LIBVIRT_MONITOR}), and libvirt may crash if "
                "something else starts a dump; watch the domain: onpanic watch --connect URI"
            )

    async def _offered(self) -> list[str]:
        """Return the formats that QEMU offers; none if it does not say."""
        with suppress(FailedError):  # QEMU before 2.0
            found = (await self._monitor.query("query-dump-guest-memory-capability")).get("formats")
            return [str(form) for form in found] if isinstance(found, list) else []
        return []

    async def _memory_size(self) -> int | None:
        """Return the bytes of the guest's memory; None if QEMU does not say."""
        with suppress(FailedError):  # QEMU before 2.11
            found = await self._monitor.query("query-memory-size-summary")
            sizes = [found.get("base-memory"), found.get("plugged-memory", 0)]
            return sum(size for size in sizes if isinstance(size, int)) or None
        return None


class _NotDumpedError(FailedError):
    """QEMU refuses a dump, or it has failed; another format may work.

    :param ended: Whether the dump had begun, and QEMU has given it up.
    """

    def __init__(self, message: str, *, ended: bool = False) -> None:
        super().__init__(message)
        self.ended = ended


def progress_of(dump: dict[str, Any]) -> tuple[int, int] | None:
    """Return the bytes that a dump has written and those that it will write; None if QEMU does not say.

    :param dump: What ``query-dump`` returns.
    """
    done, total = dump.get("completed"), dump.get("total")
    return (done, total) if isinstance(done, int) and isinstance(total, int) else None
