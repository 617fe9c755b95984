"""QEMU's own actions on a panic and on a reset, which a watcher changes while it watches.

QMP has no query for them.  What they were is what the command line says, so a watcher that was killed
needs no record of it: the next one reads the command line again.
"""

from collections.abc import Callable
from contextlib import suppress

from onpanic.core.errors import FailedError
from onpanic.probe.emulator.action_options import QemuActions, read_actions
from onpanic.probe.emulator.command_line_parser import option_values
from onpanic.watch.guests.qmp_monitor import QmpMonitor

__all__ = ("MonitoredActions",)

_NAME = "QEMU's action on a"


class MonitoredActions:
    """The actions of one emulator.  QEMU before 6.0 cannot change them.

    :param monitor: Its monitor.
    :param note: Called with each change, as a sentence.
    """

    def __init__(self, monitor: QmpMonitor, note: Callable[[str], object]) -> None:
        self._monitor = monitor
        self._note = note
        self._before: QemuActions | None = None
        self._panic = ""

    async def set_panic(self, wanted: str, thread: int) -> None:
        """Set the action on a panic to what a policy needs.

        If the command line says the same, that is set: an earlier watcher that was killed may have left
        something else.

        :param wanted: What a panic must end in: ``pause`` or ``run``.
        :param thread: The ID of a thread of the emulator on this host.
        :raise LostError: When the emulator does not answer.
        """
        words = self._monitor.command_line(thread)
        known = bool(words) and not option_values(words, "readconfig")  # such a file may set actions, too
        self._before, self._panic = read_actions(words) if known else None, ""
        action = "pause" if wanted == "pause" else "none"
        if self._before and self._before.outcome == wanted:
            action = self._before.panic
        elif self._before:
            self._panic = self._before.panic  # even if the answer is not waited for
        try:
            await self._monitor.execute("set-action", panic=action)
        except FailedError:
            self._panic = ""
            return
        if self._panic:
            self._note(f"{_NAME} panic is {action} while the guest is watched; it was {self._panic}")
        elif self._before is None:
            self._note(f"{_NAME} panic is {action}, and stays so: what it was is not known")

    async def restore_panic(self) -> None:
        """Set the action on a panic back to what the command line says.

        :raise LostError: When the emulator does not answer.
        :raise FailedError: When it refuses.
        """
        action, self._panic = self._panic, ""
        if action:
            await self._monitor.execute("set-action", panic=action)
            self._note(f"{_NAME} panic is {action} again")

    async def allow_reset(self) -> None:
        """Let a reset reset the guest, where ``-no-reboot`` would make it a shutdown.

        That is not undone: SeaBIOS resets the guest once more while it boots after a reset.

        :raise LostError: When the emulator does not answer.
        """
        before = self._before.reboot if self._before else ""
        if before == "reset":
            return
        with suppress(FailedError):  # QEMU before 6.0
            await self._monitor.execute("set-action", reboot="reset")
            if before:
                self._note(f"{_NAME} reboot is reset, and stays so for the guest to boot; it was {before}")
