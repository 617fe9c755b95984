"""A guest without libvirt, watched through its QMP monitor."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from onpanic.core.errors import FailedError, LostError, StaleError
from onpanic.core.operator_commands import identity_of, is_alive, run_command
from onpanic.core.untrusted import wellformed
from onpanic.probe.decision.policy import Policy
from onpanic.watch.guests.guest import DumpProgress
from onpanic.watch.guests.monitored_actions import MonitoredActions
from onpanic.watch.guests.qmp_monitor import QmpMonitor
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.naming import dump_name, renamed
from onpanic.watch.rules.observation import Assignment, GuestState
from onpanic.watch.rules.policy_steps import FAILURES, Condition, Step, action_for
from onpanic.watch.rules.settings import Settings

__all__ = ("QmpGuest",)

_POLL = (0.01, 0.5)  # seconds between queries of a dump's progress: the first, and the longest
_RESET_TIMEOUT = 10.0  # seconds for QEMU to report what became of a reset
_EXIT_TIMEOUT = 30.0  # seconds for an emulator to exit
_START_TIMEOUT = 60.0  # seconds for the start command, and then for the monitor to be connected

_BY_RUN_STATE: dict[str, Condition] = {
    "guest-panicked": "panicked",
    "internal-error": "internal-error",
    "prelaunch": "reset",
    "paused": "reset",  # QEMU 1.5 and 1.6
}


class QmpGuest:
    """A `Guest` behind a QMP monitor.

    :param address: The monitor: a UNIX socket's path, or ``host:port``.
    :param policy: The guest's policy.
    :param settings: Returns the current settings.
    :param note: Called with each change of QEMU's own actions, as a sentence.
    :raise UsageError: When the address is invalid.
    :ivar address: The monitor's address.
    :ivar monitor: The monitor.
    :ivar absent: Whether nothing listens at the address.
    :ivar asked: Whether its state has been read.
    """

    def __init__(
        self,
        address: str,
        policy: Policy,
        settings: Callable[[], Settings],
        note: Callable[[str], object],
    ) -> None:
        self.key = f"qmp:{address}"
        self.name = self.address = address
        self.uuid = ""
        self.monitor = QmpMonitor(address)
        self.absent = self.asked = False
        self._actions = MonitoredActions(self.monitor, note)
        self._policy = policy
        self._settings = settings
        self._instance = ""
        self._thread = 0
        self._dump_error = ""
        self._reset_event = ""

    def on_connected(self) -> None:
        """Note that there is a new connection.  The emulator behind it may be another one: see `identify`."""
        self.absent, self._instance = False, ""

    def on_dump_completed(self, error: str) -> None:
        """Note how a dump ended.

        :param error: Why it failed; empty if it did not.
        """
        self._dump_error = error

    def on_reset(self, event: str) -> None:
        """Note what became of a reset.

        :param event: ``RESET``, or ``SHUTDOWN`` with QEMU's option ``-no-reboot``.
        """
        self._reset_event = event

    async def identify(self, *, set_action: bool) -> None:
        """Read the guest's name, UUID and vCPU thread.

        :param set_action: Whether to set QEMU's own action on a panic if the policy needs another one, which
            QEMU 6.0 and later allow.
        :raise LostError: When the emulator does not answer.
        """
        with suppress(FailedError):
            self.name = str(wellformed((await self._query("query-name")).get("name")) or self.name)
        with suppress(FailedError):
            uuid = str(wellformed((await self._query("query-uuid")).get("UUID", "")))
            self.uuid = uuid if uuid.strip("0-") else ""
        self._thread = await self._first_vcpu_thread()
        if set_action:
            ignored = action_for(self._policy, "panicked").action == "ignore"
            await self._actions.set_panic("run" if ignored else "pause", self._thread)
        self._instance = f"{self.monitor.pid or ''}/{self._thread}"

    async def release(self) -> None:
        """Set QEMU's own action on a panic back to what it was before `identify`.

        :raise LostError: When the emulator does not answer.
        :raise FailedError: When it refuses.
        """
        await self._actions.restore_panic()

    async def read_state(self, *, ask_qemu: bool) -> GuestState:  # noqa: ARG002  QEMU is always asked
        """Return the guest's state."""
        if self.absent:
            return GuestState("off")
        if not self.monitor.connected or not self._instance:  # events come before `identify`
            raise LostError(f"{self.name} is not connected")
        status = str((await self._query("query-status")).get("status", ""))
        self.asked = True
        condition = _BY_RUN_STATE.get(status, "healthy")
        if condition not in FAILURES:
            return GuestState(condition, self._instance)
        cpu_time = self.monitor.cpu_time(self._thread)
        dump = await self._dump_status()
        if dump.get("status") == "active":
            return GuestState(condition, self._instance, cpu_time, busy=True, dumped=_progress_of(dump))
        return GuestState(condition, self._instance, cpu_time)

    async def read_assignment(self) -> Assignment | None:
        """Return the guest's policy."""
        return Assignment(self._policy)

    async def dump_path(self, at: float) -> str:
        """Return the file that the guest's memory can be dumped to, on the emulator's host."""
        # absolute: the emulator's working directory may be another one
        folder = Path(self._settings().dump_dir).absolute()  # noqa: ASYNC240
        return str(folder / dump_name(self.name, self.uuid, at))

    async def dump(self, incident: Incident, progress: DumpProgress) -> None:
        """Dump the guest's memory as an ELF file, which gets its name when it is complete."""
        partial = f"{incident.coredump}.partial"
        try:
            await self._dump_to(partial, progress)
            with suppress(FileNotFoundError):  # it is on another host
                Path(partial).rename(incident.coredump)  # noqa: ASYNC240  a short call
        except FailedError:
            with suppress(OSError):
                Path(partial).unlink()  # noqa: ASYNC240  a short call
            raise
        except OSError as error:
            raise FailedError(f"{partial}: {error.strerror}") from error

    async def take_step(self, step: Step, incident: Incident, on_starter: Callable[[str], None]) -> None:
        """Take a step other than ``coredump``."""
        if step == "rename":
            self.name = incident.new_name
        elif step == "start":
            await self._start(incident, on_starter)
        elif incident.instance != self._instance:
            raise StaleError("the guest has been started again meanwhile")
        elif step == "destroy":
            await self._quit()
        elif step == "restart":
            await self._restart()
        elif step == "continue":
            await self.monitor.execute("cont")
        else:
            raise FailedError(f"a guest without libvirt has no step {step}")

    async def new_name(self) -> str:
        """Return a name for the guest after a rename-restart."""
        return renamed(self.name, (self.name,))

    async def transient_xml(self) -> str:
        """Return an empty string: the start command knows the guest."""
        return ""

    async def set_libvirt_action(self, action: str) -> bool:  # noqa: ARG002
        """Return False: there is no libvirt."""
        return False

    async def _query(self, command: str) -> dict[str, Any]:
        """Return what a query returns; nothing if that is not an object."""
        answer = await self.monitor.execute(command)
        return answer if isinstance(answer, dict) else {}

    async def _first_vcpu_thread(self) -> int:
        for command, member in (("query-cpus-fast", "thread-id"), ("query-cpus", "thread_id")):
            with suppress(FailedError, LookupError, TypeError, ValueError):
                return int((await self.monitor.execute(command))[0][member])
        return 0

    async def _dump_to(self, path: str, progress: DumpProgress) -> None:
        limit, delay = self._settings().dump_timeout, _POLL[0]
        deadline = time.monotonic() + limit
        self._dump_error = ""
        arguments: dict[str, Any] = {"paging": False, "protocol": f"file:{path}"}
        try:
            await self.monitor.execute("dump-guest-memory", **arguments, detach=True)
        except FailedError as error:
            if "detach" not in error.message:
                raise
            await self.monitor.execute("dump-guest-memory", limit, **arguments)  # QEMU before 2.6
        while (dump := await self._dump_status()).get("status") == "active":
            if done := _progress_of(dump):
                progress(*done)
            if time.monotonic() > deadline:
                raise FailedError(f"it took longer than {limit:g} s")
            await asyncio.sleep(delay)
            delay = min(delay * 2, _POLL[1])
        if dump.get("status") == "failed":
            raise FailedError(self._dump_error or "QEMU does not say why")

    async def _dump_status(self) -> dict[str, Any]:
        with suppress(FailedError):  # QEMU before 2.6
            return await self._query("query-dump")
        return {}

    async def _restart(self) -> None:
        await self._actions.allow_reset()
        self._reset_event = ""
        await self.monitor.execute("system_reset")
        failure = "QEMU does not report that it has reset the guest"
        await self._until(lambda: bool(self._reset_event), _RESET_TIMEOUT, failure)
        if self._reset_event == "SHUTDOWN":  # cont might go on with the guest as it was
            raise FailedError("this QEMU was started with -no-reboot", "start it without -no-reboot")
        await self.monitor.execute("cont")

    async def _quit(self) -> None:
        with suppress(LostError):  # it may exit before it answers
            await self.monitor.execute("quit")
        await self._until(lambda: not self.monitor.connected, _EXIT_TIMEOUT, "the emulator does not exit")
        self.absent = True

    async def _start(self, incident: Incident, on_starter: Callable[[str], None]) -> None:
        """Run the start command, and wait until the monitor is connected."""
        if incident.starter and is_alive(incident.starter):  # an earlier watcher has started it
            await self._until(
                lambda: not is_alive(incident.starter), _START_TIMEOUT, "the start command does not end"
            )
        else:
            await self._run_start_command(incident, on_starter)
        await self._until(
            lambda: self.monitor.connected and bool(self._instance),
            _START_TIMEOUT,
            "nothing listens at the monitor's address after the start command",
        )

    async def _run_start_command(self, incident: Incident, on_starter: Callable[[str], None]) -> None:
        command = self._settings().start
        variables = {
            "ONPANIC_DOMAIN": incident.name,
            "ONPANIC_UUID": self.uuid,
            "ONPANIC_NEW_NAME": incident.new_name,
        }
        if not command.strip():
            raise FailedError("there is no start command", "name one with --start COMMAND")
        error = await run_command(
            command, variables, _START_TIMEOUT, lambda pid: on_starter(identity_of(pid))
        )
        if error:
            raise FailedError(f"{command}: {error}")

    async def _until(self, holds: Callable[[], bool], seconds: float, failure: str) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise FailedError(failure)
            await asyncio.sleep(0.02)


def _progress_of(dump: dict[str, Any]) -> tuple[int, int] | None:
    done, total = dump.get("completed"), dump.get("total")
    return (done, total) if isinstance(done, int) and isinstance(total, int) else None
