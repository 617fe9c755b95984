"""What each of QEMU's events means for a run, and what is due then: pure, without a connection or a clock."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from onpanic.probe.emulator.action_options import QemuActions

__all__ = ("RunEvents", "RunStep")

_QUICK = 10.0  # seconds between two resets of a loop at most: fewer than a kernel needs to boot and to work


class RunStep(Enum):
    """What is due after an event."""

    NOTHING = "nothing"
    #: The guest has panicked and stops: read it, and end QEMU.
    REPORT = "report"
    #: The guest has panicked and runs on: stop it for as long as it is read.
    READ = "read"
    #: From now on, stop the guest where it would be reset.
    CATCH_RESETS = "catch-resets"
    #: The guest is stopped where it would be reset: its log may tell of a panic.
    EXAMINE = "examine"
    #: QEMU has stopped the guest; it may be for an error of its own.
    STOPPED = "stopped"
    #: The guest has ended, and so would QEMU: end it.
    END = "end"
    #: The guest resets itself again and again: end QEMU.
    LOOP = "loop"


class RunEvents:
    """What events have told of one run so far.

    :param actions: What the user's command sets QEMU to do on a panic, a shutdown and a reboot.
    :param most_resets: How many quick resets in a row are a loop; 0 if none are.
    :param started: When QEMU was started, in seconds of a monotonic clock.
    :ivar crashloaded: Whether the guest's crash kernel has taken over.
    :ivar resets: How often the guest has reset itself.
    """

    def __init__(self, actions: QemuActions, most_resets: int, started: float) -> None:
        self.crashloaded = False
        self.resets = 0
        self._actions = actions
        self._most_resets = most_resets
        self._last_reset = started
        self._quick = 0

    def after(self, event: str, data: Mapping[str, Any], at: float) -> RunStep:
        """Return what is due after an event.

        :param event: The event's name, as in QAPI's run-state.json.
        :param data: Its members.
        :param at: When it came, in seconds of the same clock.
        """
        if event == "GUEST_PANICKED":
            return RunStep.READ if data.get("action") == "run" else RunStep.REPORT
        if event == "GUEST_CRASHLOADED":
            self.crashloaded = True
            return RunStep.READ
        if event == "STOP":
            return RunStep.STOPPED
        # QEMU before 4.0 gives no reason
        by_guest = data.get("guest") is True and data.get("reason", "guest-reset") == "guest-reset"
        if event == "RESET" and by_guest:
            return self._reset(at, RunStep.CATCH_RESETS if self.resets == 0 else RunStep.NOTHING)
        if event == "SHUTDOWN" and data.get("guest") is True:
            return self._reset(at, RunStep.EXAMINE) if by_guest else self.after_end()
        return RunStep.NOTHING  # what the host does to QEMU ends it without help

    def after_end(self) -> RunStep:
        """Return what is due when the guest has ended: nothing if the user wants QEMU to stay."""
        ends = self.crashloaded or self._actions.shutdown == "poweroff"
        return RunStep.END if ends else RunStep.NOTHING

    @property
    def resets_end_it(self) -> bool:
        """Whether a reset ends QEMU, as the user's command says."""
        return self._actions.reboot == "shutdown"

    def _reset(self, at: float, otherwise: RunStep) -> RunStep:
        if self.crashloaded:  # the crash kernel has done its work
            return RunStep.END
        self.resets += 1
        self._quick = self._quick + 1 if at - self._last_reset < _QUICK else 0
        self._last_reset = at
        if self._most_resets and self._quick >= self._most_resets:
            return RunStep.LOOP
        return otherwise
