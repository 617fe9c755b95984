"""Explaining a guest's state: what it means, since when, the guest's policy, and what can be done."""

from shlex import quote
from typing import Any

import msgspec

from onpanic.core.errors import DocumentError
from onpanic.core.untrusted import printable
from onpanic.probe.asking.session import Monitor
from onpanic.probe.decision.policy import Hypervisor, Policy
from onpanic.probe.decision.rules import UNASKED, decide
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.domain_machine import machine_of
from onpanic.shims.domain_xml.elements import Element
from onpanic.shims.domain_xml.policy_xml import stored_policy
from onpanic.shims.guests.domain_view import view_domain
from onpanic.shims.guests.driver import is_control_domain
from onpanic.shims.guests.guest_states import explain_run_state, query_run_state
from onpanic.shims.guests.virsh_name import virsh_name
from onpanic.shims.translation.domain_policy import effective_policy, unhonoured_changes
from onpanic.shims.translation.libvirt_features import Libvirt

__all__ = ("Status", "status_of_domain", "status_of_monitor")

_PAUSED = "paused (panicked)"


class Status(msgspec.Struct, frozen=True):
    """A guest's state, explained.

    :param guest: The guest's name; empty if it has none.
    :param state: The state, in one or two words, e.g. ``panicked``.
    :param meaning: The same in one sentence.
    :param said: The state as ``QEMU``, ``libvirt`` and ``xl`` name it, as far as they were asked.
    :param since: Since when (UTC, RFC 3339); None if it is not known.
    :param since_is: ``exact``, or ``latest`` if `since` is the latest possible time.
    :param policy: The guest's policy; None for a QEMU without libvirt and for Xen's control domain, which
        have none.
    :param policy_from: ``kept`` if the policy is stored in the metadata, ``amount-to`` if it follows from
        ``<panic>`` and ``<on_crash>``.
    :param policy_problem: Why the policy in the metadata cannot be read; empty if it can.
    :param policy_notes: What was changed after the policy was translated, so that it is not honoured, and why
        its hypervisor refuses it; for a domain that was not translated, why the policy is not what
        ``<on_crash>`` says.
    :param remedies: What can be done, each with the command that does it.
    :param reason: Why it panicked, in its own words, see `onpanic.why`; empty if nobody has looked, or it is
        not known.
    :param cause: The line of the guest's log that told of the error before; empty if there is none.
    :param kind: The kind of the panic, e.g. ``null-pointer``; empty if it is not known.
    :param reason_note: Why the reason is not known; empty if it is, or nobody has looked.
    """

    guest: str
    state: str
    meaning: str
    said: dict[str, str]
    since: str | None = None
    since_is: str | None = None
    policy: Policy | None = None
    policy_from: str = ""
    policy_problem: str = ""
    policy_notes: tuple[str, ...] = ()
    remedies: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    cause: str = ""
    kind: str = ""
    reason_note: str = ""

    @property
    def panicked(self) -> bool:
        """Whether the guest is as its panic has left it."""
        return self.state in ("panicked", _PAUSED)


async def status_of_monitor(monitor: Monitor, address: str) -> Status:
    """Explain the state of a guest through its monitor.

    :param monitor: The guest's monitor, e.g. a `Session` of `onpanic.probe.asking.session.open_monitor`.
    :param address: The monitor's address, for the commands of the remedies.
    :raise EmulatorError: When the monitor does not answer.
    """
    run_state = await query_run_state(monitor)
    name = await monitor.ask("query-name")
    explanation = explain_run_state(run_state)
    return Status(
        guest=printable(name.member("name")),
        state=explanation.name,
        meaning=explanation.meaning,
        said={"QEMU": run_state},
        remedies=tuple((r.what, r.monitor.format(address=quote(address))) for r in explanation.remedies),
    )


def status_of_domain(domain: Any, connect: str | None = None, timeout: float = 10.0) -> Status:
    """Explain the state of a libvirt domain.  Blocks as libvirt does.

    QEMU itself is asked only if libvirt's state leaves open whether the guest panicked, because libvirt then
    marks the domain as tainted.  Through a connection that may only read, such a state is ``unknown``.  On
    Xen ``xl`` is asked in a dom0; from elsewhere the state is ``unknown`` where only Xen knows it.

    :param domain: A `libvirt.virDomain`.
    :param connect: The connection URI in the commands of the remedies; None for libvirt's default.
    :param timeout: Seconds that the answer may take, of which xl has half, and watching the CPU time of a
        Xen guest a tenth.
    :raise libvirt.libvirtError: What libvirt raises.
    """
    view = view_domain(domain, timeout)
    explanation = view.explanation
    root = Document(domain.XMLDesc()).root
    policy, policy_from, problem = None, "", ""
    notes: tuple[str, ...] = ()
    try:
        if not is_control_domain(domain):  # libvirt shows an <on_crash> of it that nobody has set
            policy, policy_from, notes = _policy(domain, root)
    except DocumentError as error:  # the metadata have been edited
        problem = error.message
    option = f" --connect {quote(connect)}" if connect else ""
    time, is_exact = view.since or (None, None)
    paused = explanation.name == "panicked" and policy is not None and policy.on_panic == "pause"
    return Status(
        guest=domain.name(),
        state=_PAUSED if paused else explanation.name,  # libvirt has no such state
        meaning=explanation.meaning,
        said=view.said,
        since=time,
        since_is=None if time is None else "exact" if is_exact else "latest",
        policy=policy,
        policy_from=policy_from,
        policy_problem=problem,
        policy_notes=notes,
        remedies=tuple(
            (r.what, r.domain.format(domain=virsh_name(domain), connect=option)) for r in explanation.remedies
        ),
    )


def _policy(domain: Any, root: Element) -> tuple[Policy, str, tuple[str, ...]]:
    """Return a domain's policy, where it is from, and notes on it, see `Status`."""
    machine = machine_of(root)
    stored = stored_policy(root)
    if stored:
        changes = tuple(note.reason for note in unhonoured_changes(root, stored))
        return stored.policy, "kept", (*changes, *_refusal(stored.policy, machine.hypervisor))
    asked = machine.arguments.panic_action != "pause"  # some libvirts set the action themselves
    policy, noted = effective_policy(root, Libvirt.of_connection(domain.connect()) if asked else Libvirt())
    return policy, "amount-to", tuple(note.reason for note in noted)


def _refusal(policy: Policy, hypervisor: Hypervisor | None) -> tuple[str, ...]:
    """Return why no host of a hypervisor keeps a policy, which may be another one's; nothing if one may."""
    if hypervisor is None:
        return ()
    decision = decide(policy, hypervisor, UNASKED)
    return () if decision or decision.code == "probe-inconclusive" else (decision.reason,)
