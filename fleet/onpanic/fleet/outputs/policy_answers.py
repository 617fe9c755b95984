"""Which policies a host keeps, for each of its emulators, or its Xen, and machine types."""

from collections.abc import Iterator

import msgspec

from onpanic.fleet.hosts.guest_architectures import guest_architectures
from onpanic.fleet.hosts.host_record import HostAnswer, HostEmulator, HostRecord
from onpanic.fleet.judging.host_promise import Promise, promise_without_libvirt
from onpanic.fleet.judging.judged_policies import POLICIES
from onpanic.probe.decision.policy import ON_PANIC, Policy
from onpanic.probe.record.capability_record import MachineRecord

__all__ = ("MachineAnswers", "PolicyAnswer", "machine_answers")

_PLAIN = tuple(Policy(value, coredump=coredump) for value in ON_PANIC for coredump in (False, True))
_ACTIONS = tuple(one for one in POLICIES["xen"] if one.on_crash)


class PolicyAnswer(msgspec.Struct, frozen=True):
    """Whether a policy is kept.

    :param value: The ``<on_panic>`` value.
    :param coredump: Whether it is with a dump of the guest's memory.
    :param kept: ``unknown`` if the host's record does not say.
    :param code: Why not: a code of the catalogue; empty if it is kept.
    :param reason: Why not, in one sentence.
    :param watch: Whether ``onpanic watch`` must run: libvirt alone does not do all of it.
    :param action: For ``crash`` on Xen the crash action, in libvirt's and xl's word, such as
        ``coredump-restart``; empty for none.
    """

    value: str
    coredump: bool
    kept: HostAnswer
    code: str = ""
    reason: str = ""
    watch: bool = False
    action: str = ""

    @property
    def name(self) -> str:
        """The value, with the crash action: ``crash-coredump-restart``."""
        return f"{self.value}-{self.action}" if self.action else self.value


class MachineAnswers(msgspec.Struct, frozen=True):
    """What a host answers about one machine type of an emulator.

    :param emulator: The emulator.
    :param architecture: libvirt's name of the architecture whose guests the host runs with the emulator, if
        their domain does not name another one; empty if there is none.
    :param machine: The machine type.
    :param policies: Each value without a dump and with one; on Xen also ``crash`` with each action.
    """

    emulator: HostEmulator
    architecture: str
    machine: MachineRecord
    policies: tuple[PolicyAnswer, ...]


def machine_answers(host: HostRecord) -> Iterator[MachineAnswers]:
    """Yield what a host answers about each machine type that was asked about.

    An emulator that runs several architectures has answers for each.

    :raise MissingExtraError: When the host has libvirt, and lxml is not installed.
    """
    for emulator in host.every_emulator():
        record = emulator.record
        if record is None:
            continue
        for architecture in emulator.runs or [""]:
            for machine in record.machines:
                policies = tuple(
                    _answer(host, emulator, architecture, machine, policy)
                    for policy in (*_PLAIN, *(_ACTIONS if emulator.hypervisor == "xen" else ()))
                )
                yield MachineAnswers(emulator, architecture, machine, policies)


def _answer(
    host: HostRecord, emulator: HostEmulator, architecture: str, machine: MachineRecord, policy: Policy
) -> PolicyAnswer:
    found = _promise(host, emulator, architecture, machine, policy)
    watch = bool(found.changes and found.changes.watch_codes)
    action = policy.crash_action or ""
    return PolicyAnswer(policy.on_panic, policy.coredump, found.kept, found.code, found.reason, watch, action)


def _promise(
    host: HostRecord, emulator: HostEmulator, architecture: str, machine: MachineRecord, policy: Policy
) -> Promise:
    record = emulator.record
    assert record is not None
    if host.libvirt is None:
        return promise_without_libvirt(host, record, machine, policy)
    from onpanic.fleet.judging.promise import promise_of  # needs lxml, which a host may lack

    target = record.emulator.target
    guest = architecture or next(iter(guest_architectures(target)), target)
    alone = msgspec.structs.replace(emulator, runs=[guest])
    on_xen = emulator.hypervisor == "xen"
    only = msgspec.structs.replace(host, emulators=[] if on_xen else [alone], xen=alone if on_xen else None)
    return promise_of(only, guest, machine.name, policy, emulator.hypervisor)
