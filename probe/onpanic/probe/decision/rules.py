"""Which policies are accepted: a pure function from facts.

The rules are those of Paolo Bonzini's proposal of 21 August 2013 ("Start fixing the pvpanic
mess", RFC v2).  Its marker for a design that works, the type name ``isa-pvpanic``, is
replaced by the behaviour that such a design must have: see `Question.requires` of each fact.

The code, reason and remedy of every refusal are in `catalogue`.
"""

from collections.abc import Mapping

import msgspec

from onpanic.core.untrusted import printable
from onpanic.probe.decision.catalogue import CATALOGUE
from onpanic.probe.decision.policy import ON_CRASH, ON_PANIC, WAITING, Hypervisor, Policy, is_grace
from onpanic.probe.facts import QUESTIONS, Fact
from onpanic.probe.facts.xen_questions import GUEST_TYPE, ON_CRASH_FACTS

__all__ = (
    "UNASKED",
    "Capabilities",
    "Decision",
    "decide",
    "refusal",
    "refusal_of_notifier",
    "refusal_of_policy",
)

#: Values without an action of their own, before which the guest could be dumped.
_PASSIVE = ("default", "crash", "ignore")

_REQUIRED = [(question.name, question.requires) for question in QUESTIONS if question.requires]

_ON_CRASH = (None, *ON_CRASH, "coredump-destroy", "coredump-restart")


class Capabilities(msgspec.Struct, frozen=True):
    """What an emulator can do with one machine type and one notifier, or a Xen with one guest type.

    :param facts: Facts of the emulator, of the machine type and of the notifier, by name.
    :param architectural: libvirt's model of a notifier that the architecture brings, None if it brings none.
    :param builtin_type: The QOM type of a builtin pvpanic.
    :param asked: False if nobody was asked, so that for a Xen the rules alone decide.  A record that was
        read has facts or lacks them.
    """

    facts: Mapping[str, Fact]
    architectural: str | None = None
    builtin_type: str = "pvpanic"
    asked: bool = True

    def fact(self, name: str) -> Fact:
        """Return a fact; one that was not asked is unknown."""
        return self.facts.get(name) or Fact("unknown", None, "not asked")


#: What is known of a hypervisor that was not asked.
UNASKED = Capabilities({}, asked=False)


class Decision(msgspec.Struct, frozen=True):
    """Whether a policy is accepted.  True in a boolean context if it is.

    :param accepted: True if it is.
    :param code: A refusal's stable code, or the code of the help that an accepted policy needs; else empty.
    :param reason: One sentence.
    :param remedy: What to do about it.
    """

    accepted: bool
    code: str = ""
    reason: str = ""
    remedy: str = ""

    def __bool__(self) -> bool:
        return self.accepted


def decide(policy: Policy, hypervisor: Hypervisor, capabilities: Capabilities) -> Decision:
    """Decide whether a policy can be honoured.  Never raises: an unknown value is refused.

    :param policy: The policy.
    :param hypervisor: ``qemu`` or ``xen``.
    :param capabilities: What the hypervisor can do with the machine type.
    """
    refused = refusal_of_policy(policy, hypervisor)
    if refused is None and hypervisor == "xen":
        refused = _refusal_of_toolstack(policy, capabilities)
    elif refused is None and policy.on_panic not in ("default", "ignore"):
        refused = refusal_of_notifier(capabilities)
    return _help(policy, hypervisor, capabilities) if refused is None else refused


def refusal_of_policy(policy: Policy, hypervisor: Hypervisor) -> Decision | None:
    """Return why a policy is refused whatever the emulator can do, None if it is not."""
    checks = (
        _check_values(policy),
        _check_coredump(policy),
        _check_xen(policy) if hypervisor == "xen" else _check_qemu(policy),
        _check_grace(policy),
    )
    for found in checks:
        if found is not None:
            return found
    return None


def refusal_of_notifier(capabilities: Capabilities) -> Decision | None:
    """Return why no working panic notifier can be used, None if one can be."""
    required = [(name, wanted, capabilities.fact(name)) for name, wanted in _REQUIRED]
    for _, wanted, fact in required:
        code = wanted.refused_by(fact.answer)
        if code:
            return refusal(code, fact.detail)
    for name, _, fact in required:
        if fact.answer == "unknown":
            return refusal("probe-inconclusive", f"{name}: {fact.detail}")
    return None


def _check_values(policy: Policy) -> Decision | None:
    if policy.on_panic not in ON_PANIC:
        return refusal("unknown-value", printable(repr(policy.on_panic), 60))
    if policy.on_crash not in _ON_CRASH:
        return refusal("unknown-on-crash", printable(repr(policy.on_crash), 60))
    if policy.on_crash is None and policy.on_crash_coredump:
        return refusal("unknown-on-crash", "a coredump without a value")
    return None


def _check_coredump(policy: Policy) -> Decision | None:
    if policy.coredump and policy.on_panic in _PASSIVE:
        return refusal("coredump-needs-action", policy.on_panic)
    return None


def _check_grace(policy: Policy) -> Decision | None:
    if policy.grace is None:
        return None
    if not is_grace(policy.grace):
        return refusal("invalid-grace", printable(repr(policy.grace), 60))
    if policy.grace and policy.on_panic not in WAITING:
        return refusal("grace-needs-action", policy.on_panic)
    return None


def _check_xen(policy: Policy) -> Decision | None:
    if policy.on_panic not in ("default", "crash"):
        return refusal("xen-only-crash", policy.on_panic)
    if policy.on_crash_coredump and policy.on_crash in ("rename-restart", "preserve"):
        return refusal("xen-coredump-on-crash", policy.on_crash)
    return None


def _refusal_of_toolstack(policy: Policy, capabilities: Capabilities) -> Decision | None:
    """Return why a Xen and its toolstack cannot honour a policy, None if they can."""
    if not capabilities.asked:
        return None
    required = [(GUEST_TYPE, "xen-guest-type-missing")]
    words = [policy.crash_action] if policy.crash_action else []
    if policy.on_crash == "rename-restart":  # it is xl's word, and libvirt is given preserve
        words.append("preserve")
    required += [(ON_CRASH_FACTS[word], "crash-action-refused") for word in words]
    known = [(name, code, capabilities.fact(name)) for name, code in required]
    for _, code, fact in known:
        if fact.answer == "no":
            return refusal(code, fact.detail)
    for name, _, fact in known:
        if fact.answer == "unknown":
            return refusal("toolstack-inconclusive", f"{name}: {fact.detail}")
    return None


def _check_qemu(policy: Policy) -> Decision | None:
    return refusal("crash-needs-xen") if policy.on_panic == "crash" else None


def _help(policy: Policy, hypervisor: Hypervisor, capabilities: Capabilities) -> Decision:
    """Return the acceptance of a policy, with the help that it needs."""
    if hypervisor != "xen" and policy.on_panic in ("default", "ignore"):
        if capabilities.architectural:
            if capabilities.fact("panic-action").answer == "run":
                return Decision(True)  # the emulator's command says so already
            settable = capabilities.fact("set-action-command").answer
            return _accept("ignore-needs-set-action" if settable == "yes" else "ignore-needs-cont")
        if capabilities.fact("builtin-pvpanic").answer == "yes":
            help_ = _accept("ignore-needs-global")
            remedy = help_.remedy.replace("pvpanic.", f"{capabilities.builtin_type}.")
            return msgspec.structs.replace(help_, remedy=remedy)
        if capabilities.fact("checkstop-reported").answer == "yes":
            return _accept("ignore-needs-set-action-for-checkstops")
    return Decision(True)


def refusal(code: str, detail: str = "") -> Decision:
    """Return the refusal with a code of the catalogue, its detail added in brackets."""
    entry = CATALOGUE[code]
    return Decision(False, code, f"{entry.reason} ({detail})" if detail else entry.reason, entry.remedy)


def _accept(code: str) -> Decision:
    entry = CATALOGUE[code]
    return Decision(True, code, entry.reason, entry.remedy)
