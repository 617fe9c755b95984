"""What log lines about a guest say."""

from typing import Any, Literal

import msgspec

from onpanic.watch.rules.observation import PanicReport
from onpanic.watch.rules.panic_details import PanicDetails
from onpanic.watch.rules.panic_reason import PanicReason

__all__ = ("LineContent", "action_line", "details_of", "failure_line", "handled_elsewhere", "reason_line")

_STATES = {"healthy": "runs", "reset": "was reset, and is paused", "gone": "no longer exists"}


class LineContent(msgspec.Struct, frozen=True):
    """What a log line about a guest says; the log adds the guest and the time, see `Line`.

    :param event: See `Line`.
    :param level: See `Line`.
    :param members: Other members of `Line`.
    :param once: Whether it is left out if the last such line about the guest said the same.
    """

    event: str
    level: Literal["info", "notice", "warning", "error"] = "info"
    members: dict[str, Any] = {}
    once: bool = False


def action_line(action: str, outcome: str, **members: Any) -> LineContent:
    """Return what the line says that tells that an action was taken, or why it was not.

    :param action: See `Line.action`.
    :param outcome: See `Line.outcome`.
    :param members: Other members of `Line`.
    """
    level: Literal["error", "notice"] = (
        "error" if outcome in ("failed", "lost", "start-limit-hit") else "notice"
    )
    return LineContent("action", level, {"action": action, "outcome": outcome, **members})


def failure_line(report: PanicReport, event: str = "panicked") -> LineContent:
    """Return the line about a failure.

    :param report: The event about it, or what stands for one.
    :param event: What has happened, see `Line.event`.
    """
    return LineContent(event, "warning", {"at": report.stamp, **details_of(report.details)})


def reason_line(reason: PanicReason, seconds: float) -> LineContent | None:
    """Return the line that says why a guest panicked, or why that is not known; None if nothing is known.

    :param seconds: How long it took to read that.
    """
    if not (reason.reason or reason.detail):
        return None
    members = {"kind": reason.kind, "reason": reason.reason, "why": reason.file, "detail": reason.detail}
    return LineContent("why", "notice" if reason.reason else "info", {**members, "seconds": seconds})


def details_of(details: PanicDetails) -> dict[str, str]:
    """Return the members of a line that say what QEMU reports about a panic."""
    return {"panic": details.kind, "code": details.code, "detail": details.text}


def handled_elsewhere(condition: str) -> LineContent:
    """Return what the line says when something other than the watcher or libvirt has changed a guest.

    :param condition: The guest's condition.
    """
    state = _STATES.get(condition, f"is {condition}")
    return LineContent("over", members={"detail": f"something else has handled the guest: it {state}"})
