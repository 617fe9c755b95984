"""The policies that hosts are judged by if none is named, and what they are called."""

from collections.abc import Mapping

from onpanic.probe.decision.policy import ON_CRASH, ON_PANIC, Hypervisor, Policy
from onpanic.probe.facts.xen_questions import ON_CRASH_WORDS

__all__ = ("POLICIES", "policy_name")

_ON_QEMU = tuple(
    Policy(value, coredump=coredump)
    for value in ON_PANIC
    if value != "crash"
    for coredump in ((False, True) if value not in ("default", "ignore") else (False,))
)

_ON_XEN = (
    Policy("default"),
    Policy("crash"),
    *(
        Policy("crash", on_crash=action, on_crash_coredump=coredump)
        for action in ON_CRASH
        for coredump in (False, True)
        if not coredump or f"coredump-{action}" in ON_CRASH_WORDS
    ),
)

#: The policies that each hypervisor may keep, without a grace period; for QEMU without an ``<on_crash>``.
POLICIES: Mapping[Hypervisor, tuple[Policy, ...]] = {"qemu": _ON_QEMU, "xen": _ON_XEN}


def policy_name(policy: Policy) -> str:
    """Return what a policy is called in a verdict: ``restart``, ``crash``, ``crash-restart`` for its action.

    ``+coredump`` is behind it if the guest is dumped first.
    """
    if policy.on_panic != "crash" or policy.on_crash is None:
        return policy.on_panic + "+coredump" * policy.coredump
    dumps = policy.coredump or policy.on_crash_coredump
    return f"{policy.on_panic}-{policy.on_crash}" + "+coredump" * dumps
