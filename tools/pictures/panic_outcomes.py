"""What happens when a guest panics, policy by policy: found by the rules that translate and watch.

The policy is translated (`changes_for`), libvirt acts, and then the watcher's table (`next_step`) is followed
until no step is due.  What a step makes of a guest must pass the watcher's own check of it (`shortfall`), and
the end must be what the policy asks for (`fulfils`).
"""

from typing import NamedTuple

from onpanic.probe import Policy
from onpanic.shims.translation.libvirt_features import Libvirt
from onpanic.shims.translation.mapping import AddedNotifier, TranslationContext, changes_for
from onpanic.watch.rules.policy_steps import (
    Action,
    Condition,
    Step,
    action_for,
    fulfils,
    next_step,
    shortfall,
)

__all__ = ("POLICIES", "Outcome", "outcome")

#: The values that are accepted on QEMU.
POLICIES = ("ignore", "restart", "destroy", "preserve", "rename-restart", "pause")

# What each step makes of a guest; a coredump and a new name leave it as it is
_EFFECTS: dict[Step, Condition] = {
    "continue": "healthy",
    "restart": "healthy",
    "destroy": "off",
    "start": "healthy",
}


class Outcome(NamedTuple):
    """What becomes of a guest that panics.

    :param on_crash: libvirt's ``<on_crash>``; None if nothing reports the panic.
    :param steps: What the watcher does, in order.
    :param condition: The guest's condition afterwards.
    :param renamed: Whether it has another name.
    """

    on_crash: str | None
    steps: tuple[Step, ...]
    condition: Condition
    renamed: bool


def outcome(policy: Policy, libvirt: str, *, has_notifier: bool) -> Outcome:
    """Return what becomes of a guest that panics under a policy.

    :param policy: A policy that QEMU accepts.
    :param libvirt: libvirt's version.
    :param has_notifier: Whether the domain has a panic notifier before it is translated.
    :raise ValueError: When the rules contradict each other.
    """
    notifiers, added = (("isa",), None) if has_notifier else ((), AddedNotifier("isa"))
    context = TranslationContext("qemu", notifiers, added, builtin="", acpi=True, libvirt=Libvirt.of(libvirt))
    changes = changes_for(policy, context)
    if not (has_notifier or changes.panic):
        return Outcome(None, (), "healthy", renamed=False)
    action = action_for(policy, "panicked")
    assert changes.on_crash
    dumped = changes.on_crash.startswith("coredump-")
    condition = _after_libvirt(changes.on_crash.removeprefix("coredump-"))
    steps: list[Step] = []
    while step := next_step(action, condition, dumped=dumped, begun=bool(steps), renamed="rename" in steps):
        condition = _EFFECTS.get(step, condition)
        if shortfall(step, condition) or step in steps:
            raise ValueError(f"{policy.on_panic}: {step} leads nowhere")
        steps.append(step)
        dumped = dumped or step == "coredump"
    if not fulfils(action, condition) or action.coredump != dumped:
        raise ValueError(f"{policy.on_panic}: ends as {condition}")
    return Outcome(changes.on_crash, tuple(steps), condition, "rename" in steps)


def _after_libvirt(value: str) -> Condition:
    """Return a guest's condition after libvirt's action: as after the same step, or as the value says."""
    if value == "preserve-running":
        return "healthy"
    step = next_step(Action(value), "panicked", dumped=False, begun=False, renamed=False)
    return _EFFECTS[step] if step else "panicked"
