"""What one host can promise about a policy, and what its emulator alone can."""

from typing import Literal

import msgspec

from onpanic.fleet.hosts.host_record import HostRecord
from onpanic.fleet.judging.hindrance import is_unsettled
from onpanic.probe.decision.policy import Policy
from onpanic.probe.decision.rules import Decision, decide, refusal
from onpanic.probe.record.capability_record import CapabilityRecord, MachineRecord, capabilities_of
from onpanic.shims.translation.mapping import DomainChanges

__all__ = ("Kept", "Promise", "promise_without_libvirt", "refused_promise")

#: ``unknown`` if the host's record does not say.
Kept = Literal["yes", "no", "unknown"]


class Promise(msgspec.Struct, frozen=True):
    """What a host can promise about a policy and a machine type.

    :param kept: Whether the host keeps the policy.
    :param code: Why not: a code of the catalogue; empty if it does.
    :param reason: Why not, in one sentence.
    :param remedy: What to do about it.
    :param machine: The machine type's own name on this host; empty if the host does not have it.
    :param changes: What the policy becomes on the host's libvirt; None if it is not kept, or without one.
    :param notifier: libvirt's model of the notifier that reports the panic; None if it is not kept, or
        without one.
    :param help: What the emulator must be told so that the policy is kept, where libvirt does not do so: a
        code of the catalogue; empty if nothing.
    """

    kept: Kept
    code: str = ""
    reason: str = ""
    remedy: str = ""
    machine: str = ""
    changes: DomainChanges | None = None
    notifier: str | None = None
    help: str = ""


def refused_promise(refused: Decision, machine: str = "") -> Promise:
    """Return the promise that is not given because of a refusal."""
    kept: Kept = "unknown" if is_unsettled(refused.code) else "no"
    return Promise(kept, refused.code, refused.reason, refused.remedy, machine)


def promise_without_libvirt(
    host: HostRecord, record: CapabilityRecord, machine: MachineRecord, policy: Policy
) -> Promise:
    """Return what a host promises in whose record there is no libvirt.

    Where there is none at all the emulator decides, or Xen's xl.  Where it is not known what libvirt does, a
    policy that the emulator can honour may be defeated by libvirt.
    """
    target = record.emulator.target
    known = capabilities_of(record.facts, machine.facts, target, machine.name, machine.builtin)
    decision = decide(policy, record.hypervisor, known)
    if not decision:
        return refused_promise(decision, machine.name)
    if host.libvirt_found != "no":
        return refused_promise(refusal("libvirt-not-asked"), machine.name)
    return Promise("yes", machine=machine.name, notifier=machine.notifier, help=decision.code)
