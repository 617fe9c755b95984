"""What is observed of a guest: the state that it was found in, and what events have reported since."""

from typing import Literal

import msgspec

from onpanic.probe.decision.policy import Policy
from onpanic.watch.rules.panic_details import PanicDetails
from onpanic.watch.rules.panic_reason import PanicReason
from onpanic.watch.rules.policy_steps import Condition, Step

__all__ = ("Assignment", "GuestState", "Observation", "PanicReport", "StepResult")


class GuestState(msgspec.Struct, frozen=True):
    """The state in which a guest was found.

    :param condition: Its condition.
    :param instance: Which start of the guest this is: another start has another value.
    :param cpu_time: The CPU time of its vCPUs, in nanoseconds; None if unknown.
    :param busy: Whether libvirt or QEMU works on the guest, for example dumps it.
    :param dumped: Bytes that a dump has written so far and bytes to dump; None if no dump is in progress.
    :param ending: How a guest that is off has ended: ``shutdown`` if QEMU shut down, also by a reset that it
        turned into one; ``crashed`` if libvirt destroyed it after a panic, or QEMU died; else empty.
    :param detail: Why the condition is unknown.
    """

    condition: Condition
    instance: str = ""
    cpu_time: int | None = None
    busy: bool = False
    dumped: tuple[int, int] | None = None
    ending: Literal["", "shutdown", "crashed"] = ""
    detail: str = ""

    @property
    def mark(self) -> str:
        """What is another text once the guest has run, as far as its CPU time is known."""
        return f"{self.condition} {self.instance} {self.cpu_time}"


class Assignment(msgspec.Struct, frozen=True):
    """A guest's policy, and libvirt's share in it.

    :param policy: The policy.
    :param libvirt_action: The ``<on_crash>`` action that libvirt itself takes when the guest panics; empty if
        it takes none.
    :param reset_ends: The part of the guest's definition because of which a reset ends it; empty if a reset
        reboots it.
    :param resettable: Whether a guest that panicked can be reset at all; else it is ended and started again.
    :param fixed: Whether libvirt's action stays the same as long as the guest runs: a change is one of the
        guest's definition, and takes effect when the guest is started next.
    """

    policy: Policy
    libvirt_action: str = ""
    reset_ends: str = ""
    resettable: bool = True
    fixed: bool = False

    @property
    def starts_anew(self) -> bool:
        """Whether a restart must end the guest and start it again."""
        return bool(self.reset_ends) or not self.resettable


class PanicReport(msgspec.Struct, frozen=True):
    """A panic that an event has reported.

    :param at: When the event came, in seconds of the boot clock.
    :param stamp: The same, in the format of `Line.at`.
    :param details: What QEMU reports about the panic.
    :param stopped: Whether the guest was stopped for it.
    :param logged: Whether a line about it was written.
    :param repeated: Whether it may be the panic that was reported before, reported by another notifier.
    :param instance: Which start of the guest has panicked, if the event says so; else empty.
    """

    at: float
    stamp: str
    details: PanicDetails = PanicDetails()
    stopped: bool = True
    logged: bool = False
    repeated: bool = False
    instance: str = ""


class StepResult(msgspec.Struct, frozen=True):
    """How a step has ended.

    :param step: The step.
    :param began: When it began, in seconds of the boot clock.
    :param error: Why it has failed; empty if nothing refused it.
    :param uncertain: Whether it is not known if it was taken: libvirt or QEMU was busy, or did not answer.
    :param retry_after: Seconds after which an uncertain step may be tried again.
    :param coredump: The file of the dump that was made.
    :param detail: Why that dump is not as the settings ask; empty if it is.
    :param reason: Why the guest panicked; None if that was not read.
    """

    step: Step
    began: float
    error: str = ""
    uncertain: bool = False
    retry_after: float = 0.0
    coredump: str = ""
    detail: str = ""
    reason: PanicReason | None = None


class Observation(msgspec.Struct, frozen=True):
    """What is known of a guest at one moment.

    All times are seconds of the boot clock.

    :param state: The state that it was found in.
    :param at: When the read of the state began.
    :param since: Since when it has been found in the same condition, and busy or not.
    :param watched_since: Since when no event can have been missed.
    :param key: Its key in the journal.
    :param name: Its name.
    :param stamp: The wall-clock time when it was read, in the format of `Line.at`.
    :param epoch: The same, in seconds since the epoch.
    :param assignment: Its policy; None if it has none, or an invalid one.
    :param reports: The panics that were reported, and of which nothing has been concluded yet, oldest first.
    :param ran: Whether an event says that it has run since it was last considered.
    :param helped_itself: The event that says that the guest handles its last panic itself: ``reset``,
        ``crashloaded`` or ``shutdown``; empty if there was none.
    :param first: Whether this watcher has concluded nothing about the guest yet.
    :param seen_well: Whether it was seen in no failure, so that an event reports the next one.
    :param failed_cpu_time: Its CPU time when it was last found in a failure, in nanoseconds; None if unknown.
    :param retry: Whether to resume what was given up.
    :param libvirt_dump_error: Why libvirt's own dump has failed; empty if it has not.
    :param result: How the last step has ended; None if none was taken, or if that was concluded.
    """

    state: GuestState
    at: float
    since: float = 0.0
    watched_since: float = 0.0
    key: str = ""
    name: str = ""
    stamp: str = ""
    epoch: float = 0.0
    assignment: Assignment | None = None
    reports: tuple[PanicReport, ...] = ()
    ran: bool = False
    helped_itself: str = ""
    first: bool = False
    seen_well: bool = False
    failed_cpu_time: int | None = None
    retry: bool = False
    libvirt_dump_error: str = ""
    result: StepResult | None = None
