"""A guest's failure and what has been done about it: the state that the journal keeps."""

from typing import Literal

import msgspec

from onpanic.watch.rules.policy_steps import Action, Failure, Step

__all__ = ("Incident", "has_run")

_CPU_TIME_TOLERANCE = 20_000_000  # nanoseconds: KVM runs the vCPUs of a stopped guest for a moment to dump it


class Incident(msgspec.Struct, frozen=True, omit_defaults=True):
    """A guest's failure and what has been done about it.

    The names in JSON are those that version 0.1.0 wrote.

    :param key: The guest: a domain's UUID, or a monitor's address.
    :param name: The guest's name when it failed.
    :param failure: What failed.
    :param action: What the guest's policy asks for.
    :param instance: Which start of the guest failed.
    :param cpu_time: The CPU time of its vCPUs at that moment, in nanoseconds, which tells later failures
        from this one.
    :param at: When the failure was found, in seconds since the epoch; the dump's name says it.
    :param found: The same on the boot clock, in seconds, as for the other times.
    :param grace_until: Until when the guest may help itself; 0 if it has no grace period.
    :param due: When the guest may be restarted; 0 if that is not decided.
    :param coredump: The file to which the guest's memory is dumped.
    :param dumped: Whether that file is complete.
    :param explained: Whether it was read, or given up, why the guest panicked.
    :param readings: How often that was begun.
    :param begun: Whether the watcher has begun to restart or destroy the guest.
    :param step: The last step that the watcher has begun; empty if there was none.
    :param tried: The state before that step: condition, instance and CPU time.
    :param tries: How often that step was taken in that state.
    :param new_name: The guest's name after a rename-restart.
    :param xml: The XML from which a transient domain is started again.
    :param error: Why the watcher gave up and left the guest as it was.
    :param finished: Whether no step is left.
    :param resolved: Whether the guest has left the condition since.
    :param restarts: When the guest was restarted, this time and before.
    :param overridden: libvirt's ``<on_crash>`` action, while the watcher has replaced it in the domain.
    :param starter: The process that runs the start command.
    :param boot: The boot ID of the host.  The guests of an earlier boot no longer run here.
    """

    key: str
    name: str
    failure: Failure | None = msgspec.field(default=None, name="trouble")
    action: Action = msgspec.field(default=Action("nothing"), name="duty")
    instance: str = ""
    cpu_time: int | None = msgspec.field(default=None, name="ran")
    at: float = 0.0
    found: float = 0.0
    grace_until: float = 0.0
    due: float = 0.0
    coredump: str = ""
    dumped: bool = False
    explained: bool = False
    readings: int = 0
    begun: bool = False
    step: Step | Literal[""] = ""
    tried: str = ""
    tries: int = 0
    new_name: str = ""
    xml: str = ""
    error: str = msgspec.field(default="", name="failed")
    finished: bool = True
    resolved: bool = msgspec.field(default=True, name="over")
    restarts: list[float] = []
    overridden: str = msgspec.field(default="", name="put_aside")
    starter: str = ""
    boot: str = ""

    def is_about(self, failure: str, instance: str, cpu_time: int | None) -> bool:
        """Return whether a guest that is found to have failed is found in this incident, not in a new one.

        One that is not finished counts as the same: to continue it has the same result as to start anew.
        """
        same = (self.failure, self.instance) == (failure, instance)
        return same and not self.resolved and not (self.finished and has_run(self.cpu_time, cpu_time))

    def expects(self, condition: str) -> bool:
        """Return whether a guest in a condition still is in this incident.

        After a grace period the guest runs; while it is restarted, it has been reset.
        """
        return (
            condition == self.failure
            or (condition == "reset" and self.begun)
            or (condition == "healthy" and bool(self.grace_until))
        )


def has_run(before: int | None, after: int | None) -> bool:
    """Return whether a guest has run for a while between two moments, as far as that can be known.

    :param before: The CPU time of its vCPUs at the first, in nanoseconds; None if unknown.
    :param after: The same at the second.
    """
    return before is not None and after is not None and after > before + _CPU_TIME_TOLERANCE
