"""A guest without libvirt, watched through its QMP monitor."""

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from onpanic.core.errors import FailedError, LostError, StaleError, UnansweredError
from onpanic.core.operator_commands import identity_of, is_alive, run_command
from onpanic.core.untrusted import printable, wellformed
from onpanic.probe.decision.policy import Policy
from onpanic.watch.guests.guest import DumpProgress, DumpResult
from onpanic.watch.guests.monitor_dump import MonitorDump, progress_of
from onpanic.watch.guests.monitor_words import monitored_words
from onpanic.watch.guests.monitored_actions import MonitoredActions
from onpanic.watch.guests.qmp_monitor import QmpMonitor
from onpanic.watch.rules.dump_files import dump_name
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.naming import renamed
from onpanic.watch.rules.observation import Assignment, GuestState
from onpanic.watch.rules.policy_steps import FAILURES, Condition, Step, action_for
from onpanic.watch.rules.settings import Settings
from onpanic.why.words.last_words import LastWords

__all__ = ("QmpGuest",)

_NAME_LIMIT = 255  # characters; a QEMU may say any name, and it becomes an environment variable of the hook
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
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
        self._dump = MonitorDump(self.monitor, settings)
        self._reset_event = ""

    def on_connected(self) -> None:
        """Note that there is a new connection.  The emulator behind it may be another one: see `identify`."""
        self.absent, self._instance = False, ""

    def on_dump_completed(self, error: str) -> None:
        """Note how a dump ended.

        :param error: Why it failed; empty if it did not.
        """
        self._dump.on_completed(error)

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
            said = (await self.monitor.query("query-name")).get("name")
            self.name = printable(str(wellformed(said or "")), _NAME_LIMIT) or self.name
        with suppress(FailedError):
            uuid = printable(str((await self.monitor.query("query-uuid")).get("UUID", "")))
            self.uuid = uuid if _UUID.fullmatch(uuid) and uuid.strip("0-") else ""
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
        status = str((await self.monitor.query("query-status")).get("status", ""))
        self.asked = True
        condition = _BY_RUN_STATE.get(status, "healthy")
        if condition not in FAILURES:
            return GuestState(condition, self._instance)
        cpu_time = self.monitor.cpu_time(self._thread)
        dump = await self._dump.status()
        if dump.get("status") == "active":
            return GuestState(condition, self._instance, cpu_time, busy=True, dumped=progress_of(dump))
        return GuestState(condition, self._instance, cpu_time)

    async def read_assignment(self) -> Assignment | None:
        """Return the guest's policy."""
        return Assignment(self._policy)

    async def dump_path(self, at: float) -> str:
        """Return the file that the guest's memory can be dumped to, on the emulator's host."""
        # absolute: the emulator's working directory may be another one
        folder = Path(self._settings().dump_dir).absolute()  # noqa: ASYNC240
        return str(folder / dump_name(self.name, self.uuid, at))

    async def dump(self, incident: Incident, progress: DumpProgress) -> DumpResult:
        """Dump the guest's memory, to a file that gets its name when it is complete."""
        return await self._dump.run(incident.coredump, progress)

    async def libvirt_dump(self) -> None:
        """Return None: there is no libvirt."""

    async def read_words(self, incident: Incident, timeout: float, folder: Path | None) -> LastWords:  # noqa: ARG002, ASYNC109
        """Return why the guest panicked."""
        if incident.instance != self._instance:
            raise StaleError("the guest has been started again meanwhile")
        return await monitored_words(self.monitor, timeout)

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

    async def transient_xml(self, *, renames: bool) -> str:  # noqa: ARG002
        """Return an empty string: the start command knows the guest."""
        return ""

    async def set_libvirt_action(self, action: str) -> None:
        """Do nothing: there is no libvirt."""

    async def _first_vcpu_thread(self) -> int:
        for command, member in (("query-cpus-fast", "thread-id"), ("query-cpus", "thread_id")):
            with suppress(FailedError, LookupError, TypeError, ValueError):
                return int((await self.monitor.execute(command))[0][member])
        return 0

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
        try:
            await self.monitor.execute("quit")
        except UnansweredError:  # it hangs, and still has the guest's disks
            raise
        except LostError:  # it may exit before it answers
            pass
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
