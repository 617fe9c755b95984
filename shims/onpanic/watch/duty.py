"""What is due for a guest in trouble: the rule of the watcher, as pure functions.

The next step follows from what is to become of the guest and from the condition it is in,
not from how it came there.  Taking steps until none is due leads to the same end from
wherever one begins, which is what lets a watcher be killed between any two.
"""

from typing import Literal

import msgspec

from onpanic.probe.decision import Policy

__all__ = ("TROUBLES", "Condition", "Duty", "Step", "Trouble", "duty_of", "next_step", "outcome_of")

Trouble = Literal["panicked", "internal-error"]

#: How a guest can be found.  ``fine``: it runs, or is stopped for somebody else's reason; ``reset``:
#: stopped after a reset; ``off``: there, and not running; ``gone``: not there at all.
Condition = Literal["fine", "panicked", "internal-error", "reset", "off", "gone"]

#: ``restart`` is a reset, and going on after it; ``start`` begins a new emulator process.
Step = Literal["coredump", "continue", "restart", "destroy", "rename", "start"]

#: The conditions that a policy says something about.
TROUBLES: tuple[Trouble, ...] = ("panicked", "internal-error")

_STAY = ("preserve", "pause", "nothing")


class Duty(msgspec.Struct, frozen=True):
    """What is to become of a guest.

    :param action: A value of ``<on_panic>`` or ``<on_crash>``, or ``nothing``.
    :param coredump: Dump its memory first.
    """

    action: str
    coredump: bool = False


def duty_of(policy: Policy, trouble: Trouble) -> Duty:
    """Return what a policy says of a trouble.

    ``<on_panic>`` is about panics, and ``default`` means ``ignore`` on QEMU; ``<on_crash>`` is
    about QEMU's internal error (RFC v2, "Start fixing the pvpanic mess"), of which a policy
    without it says nothing.

    :param policy: One that makes sense on QEMU.
    """
    if trouble == "panicked":
        value = "ignore" if policy.on_panic == "default" else policy.on_panic
        return Duty(value, policy.coredump)
    action = (policy.on_crash or "nothing").removeprefix("coredump-")
    return Duty(action, policy.on_crash_coredump or action != (policy.on_crash or "nothing"))


def next_step(duty: Duty, condition: Condition, *, dumped: bool, begun: bool, renamed: bool) -> Step | None:
    """Return what is to be done next, None if nothing is: the duty is done, or somebody else has acted.

    :param duty: What is to become of the guest.
    :param condition: How it is found.
    :param dumped: True if its memory was dumped since it got into trouble.
    :param begun: True if the watcher has begun to restart or to destroy it; else somebody else has.
    :param renamed: True if it has its new name.
    """
    if condition in TROUBLES:
        if duty.coredump and not dumped:
            return "coredump"
        if duty.action == "ignore":
            return "continue"
        if duty.action == "restart":
            return "restart"
        return None if duty.action in _STAY else "destroy"  # to rename it, too, it has to be off
    if condition == "reset" and duty.action == "restart" and begun:
        return "continue"
    if condition in ("off", "gone") and duty.action == "rename-restart" and begun:
        return "rename" if condition == "off" and not renamed else "start"
    return None


def outcome_of(duty: Duty, condition: Condition) -> bool:
    """Say if a guest in a condition, for which no step is due, is what its duty wants.

    A preserved guest that runs was let go on by somebody else, for example.
    """
    wanted: dict[str, tuple[Condition, ...]] = {
        "ignore": ("fine",),
        "restart": ("fine",),
        "destroy": ("off", "gone"),
        "rename-restart": ("fine",),
    }
    return condition in wanted.get(duty.action, TROUBLES)
