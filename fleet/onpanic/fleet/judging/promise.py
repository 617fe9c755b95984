"""Whether one host can keep a policy for guests of one machine type, and what the policy becomes there.

The guest is that of `plain_guest`.  Whatever else a domain says is judged by `onpanic.shims.to_libvirt`.
"""

from typing import cast

from onpanic.core.errors import RefusedError
from onpanic.core.untrusted import printable
from onpanic.fleet.hosts.host_record import HostRecord
from onpanic.fleet.judging.domain_on_host import record_of
from onpanic.fleet.judging.host_promise import Promise, promise_without_libvirt, refused_promise
from onpanic.fleet.judging.plain_guest import domain_type, plain_machine
from onpanic.probe.decision.policy import Hypervisor, Policy
from onpanic.probe.decision.rules import Decision, refusal, refusal_of_policy
from onpanic.shims.translation.mapping import changes_for
from onpanic.shims.translation.requirements import check_requirements

__all__ = ("promise_of",)


def promise_of(
    host: HostRecord, architecture: str, machine: str, policy: Policy, hypervisor: Hypervisor = "qemu"
) -> Promise:
    """Return what a host can promise.

    :param architecture: libvirt's name of the guest's architecture.
    :param machine: The machine type or its alias; empty for the emulator's default one.
    :param policy: The policy.
    :param hypervisor: Whose guests they are.
    """
    refused = refusal_of_policy(policy, hypervisor)
    if refused is not None:
        return refused_promise(refused)
    if not (_can_be_named(architecture) and _can_be_named(machine)):
        return _not_a_name(machine)
    kind = domain_type(host.emulator_for(architecture, hypervisor), hypervisor)
    name = ""
    try:
        record = record_of(host, plain_machine(kind, architecture, machine))
        recorded = record.machine(machine or None)
        name = recorded.name
        if not name or not _can_be_named(name):
            return _not_a_name(name)
        if host.libvirt is None:
            return promise_without_libvirt(host, record, recorded, policy)
        domain = plain_machine(kind, architecture, name)
        context = check_requirements(policy, domain, record, host.libvirt.libvirt)
    except RefusedError as error:
        return refused_promise(cast("Decision", error.decision), name)
    notifier = context.added.model if context.added else next(iter(context.notifiers), None)
    return Promise("yes", machine=name, changes=changes_for(policy, context), notifier=notifier)


def _can_be_named(name: str) -> bool:
    """Return whether a name from a record can be in a domain: options would follow a comma."""
    return name.isprintable() and "," not in name


def _not_a_name(name: str) -> Promise:
    detail = f"no domain can have it: {printable(name, 60)!r}"
    return refused_promise(refusal("machine-type-not-asked", detail), printable(name, 60))
