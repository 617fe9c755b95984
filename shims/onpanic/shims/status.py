"""What state a guest is in, since when, what its policy says, and what can be done about it."""

from shlex import quote
from typing import Any

import msgspec

from onpanic.probe.decision import Policy
from onpanic.probe.foreign import printable
from onpanic.probe.libvirt_access import module
from onpanic.probe.session import Questions

from .document import Document
from .domain import machine_of
from .elements import child, text_of
from .errors import DocumentError
from .policy import kept_policy
from .states import of_libvirt, of_run_state, run_state_by_monitor, run_state_of, state_name
from .traces import since
from .translate import amounts_to
from .writing import drift

__all__ = ("Status", "status_of_domain", "status_of_monitor")


class Status(msgspec.Struct, frozen=True):
    """A guest's state, explained.

    :param guest: The guest's name; empty if it has none.
    :param state: In a word or two, e.g. ``panicked``.
    :param meaning: One sentence.
    :param said: The state in the words of whom was asked, by who that is: ``QEMU``, ``libvirt``.
    :param since: UTC, RFC 3339; None where nobody has kept it.
    :param since_is: ``since`` is ``exact``, or the ``latest`` time that it can be.
    :param policy: Its policy; None for a QEMU without libvirt, which has none.
    :param policy_from: ``kept`` in the metadata, or what ``<panic>`` and ``<on_crash>`` ``amount-to``.
    :param policy_problem: Why the policy in the metadata cannot be read; empty if it can.
    :param policy_notes: What has changed since the policy was translated, so that it is not honoured.
    :param remedies: What can be done, each with the command for it.
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


async def status_of_monitor(questions: Questions, address: str) -> Status:
    """Explain the state of a guest whose monitor can be asked.

    :param questions: Its monitor, e.g. a `Session` of `onpanic.probe.live.monitor`.
    :param address: How the monitor is named to onpanic.
    :raise EmulatorError: When the monitor does not say what it is asked.
    """
    run_state = await run_state_by_monitor(questions)
    name = await questions.ask("query-name")
    condition = of_run_state(run_state)
    return Status(
        guest=printable(name.member("name")),
        state=condition.name,
        meaning=condition.meaning,
        said={"QEMU": run_state},
        remedies=tuple((r.what, r.monitor.format(address=quote(address))) for r in condition.remedies),
    )


def status_of_domain(domain: Any, connect: str | None = None) -> Status:
    """Explain the state of a libvirt domain.  Blocks as libvirt does.

    QEMU itself is asked only where libvirt does not know why a domain is paused: libvirt
    marks the domain as tainted for that.

    :param domain: A `libvirt.virDomain`.
    :param connect: The URI that the commands of the remedies shall name; None to leave it to libvirt.
    :raise libvirt.libvirtError: What libvirt raises.
    """
    libvirt = module()
    name = domain.name()
    state, reason = domain.state()
    root = Document(domain.XMLDesc()).root
    said = {"libvirt": state_name(state, reason)}
    condition = of_libvirt(state, reason, panic_ends_it=_panic_ends(root))
    if condition is None:
        said["QEMU"] = run_state_of(domain)
        condition = of_run_state(said["QEMU"])
    policy, policy_from, problem = None, "", ""
    notes: tuple[str, ...] = ()
    try:
        kept = kept_policy(root)
        policy, policy_from = (kept.policy, "kept") if kept else (amounts_to(root)[0], "amount-to")
        notes = tuple(note.reason for note in drift(root, kept)) if kept else ()
    except DocumentError as error:  # somebody has edited it
        problem = error.message
    option = f" --connect {quote(connect)}" if connect else ""
    # Of a domain that libvirt has not seen end, the log may be of another one with its name
    told = [state, reason] != [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_UNKNOWN]
    time, is_exact = (told and since(domain, condition.name)) or (None, None)
    paused = condition.name == "panicked" and policy is not None and policy.on_panic == "pause"
    return Status(
        guest=name,
        state="paused (panicked)" if paused else condition.name,  # the substatus that libvirt lacks
        meaning=condition.meaning,
        said=said,
        since=time,
        since_is=None if time is None else "exact" if is_exact else "latest",
        policy=policy,
        policy_from=policy_from,
        policy_problem=problem,
        policy_notes=notes,
        remedies=tuple(
            (r.what, r.domain.format(domain=quote(name), connect=option)) for r in condition.remedies
        ),
    )


def _panic_ends(root: Any) -> bool:
    """Say if libvirt would destroy a domain that panics."""
    word = text_of(child(root, "on_crash")) or "destroy"
    return bool(machine_of(root).notifiers) and word in ("destroy", "coredump-destroy")
