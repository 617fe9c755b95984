"""A guest without libvirt, watched over its QMP monitor."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from onpanic.probe.decision import Policy

from .duty import Condition, Step, duty_of
from .guest import FailedError, Look, LostError, Progress, StaleError, Standing
from .journal import Entry
from .naming import dump_name, renamed
from .processes import alive, call, identity
from .qmp import Qmp
from .settings import Settings

__all__ = ("Monitor",)

_POLL = (0.01, 0.5)  # seconds between questions how far a dump is: the first, and the longest
_ENDING = 30.0  # seconds that an emulator has to end
_STARTING = 60.0  # seconds that a guest has to be there again

_BY_RUN_STATE: dict[str, Condition] = {
    "guest-panicked": "panicked",
    "internal-error": "internal-error",
    "prelaunch": "reset",
    "paused": "reset",  # QEMU 1.5 and 1.6
}


class Monitor:
    """A guest, as `onpanic.watch.guest.Guest` describes it.

    :param address: Its monitor: a UNIX socket's path, or ``host:port``.
    :param policy: Its policy.
    :param settings: Returns the settings of now.
    :raise SourceError: When it is no address.
    """

    def __init__(self, address: str, policy: Policy, settings: Callable[[], Settings]) -> None:
        self.key = f"qmp:{address}"
        self.name = address
        self.uuid = ""
        self.qmp = Qmp(address)
        #: True while nobody listens at the address.
        self.absent = False
        self.dump_error: str | None = None
        self._policy = policy
        self._settings = settings
        self._instance = ""
        self._thread = 0

    def came(self) -> None:
        """Note that an emulator is there, which is to be greeted."""
        self.absent, self._instance = False, ""

    async def greet(self, *, arm: bool) -> None:
        """Learn who it is.

        :param arm: Tell QEMU what to do about a panic, where it lets itself be told (6.0 and later).
        """
        with suppress(FailedError):
            self.name = str((await self.qmp.ask("query-name")).get("name") or self.name)
        with suppress(FailedError):
            uuid = str((await self.qmp.ask("query-uuid")).get("UUID", ""))
            self.uuid = uuid if uuid.strip("0-") else ""
        self._thread = await self._first_thread()
        if arm:
            ignored = duty_of(self._policy, "panicked").action == "ignore"
            with suppress(FailedError):  # then it depends on -no-shutdown
                await self.qmp.ask("set-action", panic="none" if ignored else "pause")
        self._instance = f"{self.qmp.pid or ''}/{self._thread}"

    async def look(self, *, curious: bool) -> Look:  # noqa: ARG002  a monitor always knows
        """Look at it."""
        if self.absent:
            return Look("off")
        if not self.qmp.connected or not self._instance:  # an event may come before it was greeted
            raise LostError(f"{self.name} is not connected")
        status = (await self.qmp.ask("query-status")).get("status", "")
        condition = _BY_RUN_STATE.get(status, "fine")
        if condition not in ("panicked", "internal-error"):
            return Look(condition, self._instance)
        ran = self.qmp.thread_time(self._thread)
        dump = await self._dump_status()
        if dump.get("status") == "active":
            return Look(condition, self._instance, ran, busy=True, dumped=(dump["completed"], dump["total"]))
        return Look(condition, self._instance, ran)

    async def standing(self) -> Standing | None:
        """Return what is to be done about it."""
        return Standing(self._policy)

    async def dump_path(self, at: float) -> str:
        """Return where its memory can be dumped to, on its emulator's host."""
        folder = Path(self._settings().dump_dir).absolute()  # noqa: ASYNC240  QEMU may be in another folder
        return str(folder / dump_name(self.name, self.uuid, at))

    async def dump(self, entry: Entry, progress: Progress) -> None:
        """Have QEMU dump its memory, as an ELF file that has its name when it is whole."""
        path = entry.coredump
        partial, deadline = f"{path}.partial", time.monotonic() + self._settings().dump_timeout
        self.dump_error = None
        wait = _POLL[0]
        arguments: dict[str, Any] = {"paging": False, "protocol": f"file:{partial}"}
        try:
            try:
                await self.qmp.ask("dump-guest-memory", **arguments, detach=True)
            except FailedError as error:
                if "detach" not in error.message:
                    raise
                await self.qmp.ask("dump-guest-memory", self._settings().dump_timeout, **arguments)
            while (dump := await self._dump_status()).get("status") == "active":
                progress(dump["completed"], dump["total"])
                if time.monotonic() > deadline:
                    raise FailedError(f"it took longer than {self._settings().dump_timeout:g} s")
                await asyncio.sleep(wait)
                wait = min(wait * 2, _POLL[1])
            if dump.get("status") == "failed":
                raise FailedError(self.dump_error or "QEMU says no more than that it failed")
            with suppress(FileNotFoundError):  # it is on another host
                Path(partial).rename(path)  # noqa: ASYNC240  a short call
        except FailedError:
            with suppress(OSError):
                Path(partial).unlink()  # noqa: ASYNC240  a short call
            raise
        except OSError as error:
            raise FailedError(f"{partial}: {error.strerror}") from error

    async def act(self, step: Step, entry: Entry, note: Callable[[str], None]) -> None:
        """Take any other step."""
        if step == "rename":
            self.name = entry.new_name
        elif step == "start":
            await self._start(entry, note)
        elif entry.instance != self._instance:
            raise StaleError("the guest was started anew meanwhile")
        elif step == "destroy":
            await self._quit()
        elif step == "restart":
            await self._restart()
        else:
            await self.qmp.ask("cont")

    async def new_name(self) -> str:
        """Return a name that it can have after a rename-restart."""
        return renamed(self.name, (self.name,))

    async def configuration(self) -> str:
        """Return nothing: who starts it knows how."""
        return ""

    async def act_itself(self, word: str) -> bool:  # noqa: ARG002
        """Return False: there is no libvirt."""
        return False

    async def _first_thread(self) -> int:
        """Return the thread that the first vCPU runs in."""
        for command, member in (("query-cpus-fast", "thread-id"), ("query-cpus", "thread_id")):
            with suppress(FailedError, LookupError):
                return int((await self.qmp.ask(command))[0][member])
        return 0

    async def _dump_status(self) -> dict[str, Any]:
        with suppress(FailedError):  # before 2.6
            return dict(await self.qmp.ask("query-dump"))
        return {}

    async def _restart(self) -> None:
        with suppress(FailedError):  # before 6.0; else -no-reboot would end it
            await self.qmp.ask("set-action", reboot="reset")
        await self.qmp.ask("system_reset")
        await self.qmp.ask("cont")
        if (await self.qmp.ask("query-status")).get("status") == "shutdown":
            raise FailedError("its QEMU was told not to reset", "start it without -no-reboot")

    async def _quit(self) -> None:
        with suppress(LostError):  # it may be faster than its answer
            await self.qmp.ask("quit")
        await self._until(lambda: not self.qmp.connected, _ENDING, "it does not end")
        self.absent = True

    async def _start(self, entry: Entry, note: Callable[[str], None]) -> None:
        """Call the command that starts it again, and wait until it is there."""
        if entry.starter and alive(entry.starter):  # another watcher has called it
            await self._until(lambda: not alive(entry.starter), _STARTING, "its starter does not end")
        else:
            await self._call_starter(entry, note)
        await self._until(lambda: self.qmp.connected, _STARTING, "nobody listens though it was started")

    async def _call_starter(self, entry: Entry, note: Callable[[str], None]) -> None:
        command = self._settings().start
        names = {"ONPANIC_DOMAIN": entry.name, "ONPANIC_UUID": self.uuid, "ONPANIC_NEW_NAME": entry.new_name}
        if not command.strip():
            raise FailedError(
                "nobody was named who can start it again", "name a command with --start COMMAND"
            )
        wrong = await call(command, names, _STARTING, lambda pid: note(identity(pid)))
        if wrong:
            raise FailedError(f"{command}: {wrong}")

    async def _until(self, holds: Callable[[], bool], seconds: float, words: str) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise FailedError(words)
            await asyncio.sleep(0.02)
