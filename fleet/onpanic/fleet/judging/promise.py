"""Whether one host can keep a policy for guests of one machine type, and what the policy becomes there.

The guest is the plainest one: a domain without a notifier, without arguments of its own, and with libvirt's
default actions.  Whatever else a domain says is judged by `onpanic.shims.to_libvirt`.
"""

from functools import lru_cache
from typing import cast

from onpanic.core.errors import RefusedError
from onpanic.core.untrusted import printable
from onpanic.fleet.hosts.host_record import HostRecord
from onpanic.fleet.judging.domain_on_host import record_of
from onpanic.fleet.judging.host_promise import Promise, promise_without_libvirt, refused_promise
from onpanic.probe.decision.policy import Policy
from onpanic.probe.decision.rules import Decision, refusal, refusal_of_policy
from onpanic.shims.domain_xml.domain_machine import DomainMachine, machine_of
from onpanic.shims.domain_xml.xml_parser import parse_xml
from onpanic.shims.translation.mapping import changes_for
from onpanic.shims.translation.requirements import check_requirements

__all__ = ("promise_of",)


def promise_of(host: HostRecord, architecture: str, machine: str, policy: Policy) -> Promise:
    """Return what a host can promise.

    :param architecture: libvirt's name of the guest's architecture.
    :param machine: The machine type or its alias; empty for the emulator's default one.
    :param policy: The policy.
    """
    refused = refusal_of_policy(policy, "qemu")
    if refused is not None:
        return refused_promise(refused)
    if not (_can_be_named(architecture) and _can_be_named(machine)):
        return _not_a_name(machine)
    kind = _domain_type(host, architecture)
    name = ""
    try:
        record = record_of(host, _plain_domain(kind, architecture, machine))
        recorded = record.machine(machine or None)
        name = recorded.name
        if not name or not _can_be_named(name):
            return _not_a_name(name)
        if host.libvirt is None:
            return promise_without_libvirt(host, record, recorded, policy)
        domain = _plain_domain(kind, architecture, name)
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


def _domain_type(host: HostRecord, architecture: str) -> str:
    """Return the domain type that such a guest has: KVM's if the host has it."""
    emulator = host.emulator_for(architecture)
    kvm = emulator is not None and "kvm" in emulator.domain_types
    return "kvm" if kvm and host.kvm.usable == "yes" else "qemu"


@lru_cache(maxsize=4096)
def _plain_domain(kind: str, architecture: str, machine: str) -> DomainMachine:
    """Return the machine of a domain that says nothing else."""
    root = parse_xml(b"<domain><os><type>hvm</type></os><features><acpi/></features></domain>")
    root.set("type", kind)
    system = root.find("os/type")
    assert system is not None
    system.set("arch", architecture)
    if machine:
        system.set("machine", machine)
    return machine_of(root)
