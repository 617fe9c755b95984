"""The table of steps: which one comes next for a guest that has failed.

The next step follows from the action that the guest's policy asks for and from the condition that
the guest is in now, not from how it got there.  Taking steps until none is due leads to the same
result from any starting point.  That is why the watcher may be killed between any two steps.
"""

from typing import Literal

import msgspec

from onpanic.probe.decision.policy import Policy

__all__ = (
    "ENDING",
    "FAILURES",
    "LIMITING",
    "RESTARTS",
    "Action",
    "Condition",
    "Failure",
    "Step",
    "action_for",
    "fulfils",
    "next_step",
    "shortfall",
)

#: QEMU's run states that a policy covers; libvirt shows the first as crashed.
Failure = Literal["panicked", "internal-error"]

#: The condition of a guest.  ``healthy``: it runs, or is paused for a reason that no policy covers;
#: ``reset``: it is paused after a reset; ``off``: it is defined and not running; ``gone``: it does not exist;
#: ``changing``: it only passes through its state, for example shuts down; ``unknown``: QEMU cannot be asked.
Condition = Literal["healthy", "panicked", "internal-error", "reset", "off", "gone", "changing", "unknown"]

#: What the watcher does to a guest.  ``explain`` reads why it panicked; ``restart`` resets the guest and
#: continues it; ``start`` starts a new emulator process; ``limit`` replaces libvirt's own action by
#: ``preserve``, and ``unlimit`` restores it.
Step = Literal["explain", "coredump", "continue", "restart", "destroy", "rename", "start", "limit", "unlimit"]

#: The conditions that a policy covers.
FAILURES: tuple[Failure, ...] = ("panicked", "internal-error")

#: Steps after which the guest's failed state is lost.
ENDING: tuple[Step, ...] = ("restart", "destroy")

#: Steps that change what libvirt does, and not the guest.
LIMITING: tuple[Step, ...] = ("limit", "unlimit")

#: The actions that the restart limit is about.
RESTARTS = ("restart", "rename-restart")

_LEFT_AS_IT_IS = ("preserve", "pause", "nothing")

_FULFILLED: dict[str, tuple[Condition, ...]] = {
    "ignore": ("healthy",),
    "restart": ("healthy",),
    "destroy": ("off", "gone"),
    "rename-restart": ("healthy",),
}


class Action(msgspec.Struct, frozen=True):
    """What a policy asks for.

    :param action: A value of ``<on_panic>`` or ``<on_crash>``, or ``nothing``.
    :param coredump: Whether the guest's memory is dumped first.
    """

    action: str
    coredump: bool = False


def action_for(policy: Policy, failure: Failure) -> Action:
    """Return what a policy asks for after a failure.

    ``<on_panic>`` covers panics; ``default`` means ``ignore``, and ``crash``, which only Xen has, means what
    ``<on_crash>`` says.  ``<on_crash>`` covers QEMU's internal errors (RFC v2, "Start fixing the pvpanic
    mess"); a policy without it asks for nothing then.

    :param policy: A valid policy; on Xen, ``crash`` stands for its ``default``.
    """
    if failure == "panicked" and policy.on_panic != "crash":
        value = "ignore" if policy.on_panic == "default" else policy.on_panic
        return Action(value, policy.coredump)
    value = policy.on_crash or ("destroy" if failure == "panicked" else "nothing")  # libvirt's default
    action = value.removeprefix("coredump-")
    return Action(action, policy.on_crash_coredump or action != value)


def next_step(
    action: Action, condition: Condition, *, dumped: bool, begun: bool, renamed: bool, anew: bool = False
) -> Step | None:
    """Return the next step; None if the action is complete, or if something else has changed the guest.

    :param action: What the guest's policy asks for.
    :param condition: The condition that the guest is in.
    :param dumped: Whether its memory has been dumped since it failed.
    :param begun: Whether the watcher has begun to restart or destroy it.
    :param renamed: Whether it already has its new name.
    :param anew: Whether a restart must end the emulator and start it again, because a reset would end it.
    """
    if condition in FAILURES:
        if action.coredump and not dumped:
            return "coredump"
        if action.action == "ignore":
            return "continue"
        if action.action == "restart" and not anew:
            return "restart"
        if action.action in _LEFT_AS_IT_IS:
            return None
        return "destroy"  # a rename-restart as well: only a guest that is off can be renamed
    if condition == "reset" and action.action == "restart" and begun:
        return "continue"
    if condition in ("off", "gone") and action.action in ("restart", "rename-restart") and begun:
        rename = action.action == "rename-restart" and condition == "off" and not renamed
        return "rename" if rename else "start"
    return None


def fulfils(action: Action, condition: Condition) -> bool:
    """Return whether a guest in a condition for which no step is due is as the action asks.

    For example, a guest whose policy is ``preserve`` and that runs was continued by something else.
    """
    return condition in _FULFILLED.get(action.action, FAILURES)


def shortfall(step: Step, condition: Condition) -> str:
    """Return what a guest's condition after a step says against the step; empty if it has worked.

    A guest that runs may fail again before its condition is read.

    :param step: The step that was taken.
    :param condition: The guest's condition after it.
    """
    ended = condition in ("off", "gone")
    if step == "destroy":
        worked = ended
    elif step in ("restart", "start"):
        waits = step == "start" and condition == "reset"  # a command that starts it may have the option -S
        worked = waits or condition == "healthy" or condition in FAILURES
    else:  # a guest that is continued may turn itself off
        worked = condition not in ("reset", "changing", "unknown")
    if worked or step in ("coredump", "rename"):
        return ""
    if ended:
        return f"the guest is {condition}: " + (
            "the reset ended it" if step == "restart" else "it has ended again"
        )
    return f"the guest is {condition}"
