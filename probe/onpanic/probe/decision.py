"""Which policies are accepted: a pure function from facts.

The rules are those of Paolo Bonzini's proposal of 21 August 2013 ("Start fixing the
pvpanic mess", RFC v2), with its marker for a working design, the type name
``isa-pvpanic``, replaced by what the design has to do.

Code, reason and remedy of every refusal are in `catalogue`.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from .catalogue import CATALOGUE
from .facts import Fact
from .foreign import printable

__all__ = (
    "ON_CRASH",
    "ON_PANIC",
    "Capabilities",
    "Decision",
    "Hypervisor",
    "Policy",
    "decide",
    "objection",
    "obstacle",
    "refusal",
)

Hypervisor = Literal["qemu", "xen"]

#: The values of ``<on_panic>``.
ON_PANIC = ("default", "crash", "ignore", "restart", "destroy", "preserve", "rename-restart", "pause")

#: The values of ``<on_crash>``; libvirt spells coredump with the first two ``coredump-…``.
ON_CRASH = ("destroy", "restart", "preserve", "rename-restart")

#: Values that leave the guest to itself, or to ``<on_crash>``: there is nothing to dump before.
_PASSIVE = ("default", "crash", "ignore")

# Each fact of a design that works with the answer it must have, and the refusal for the opposite one.
_WORKS = (
    ("builtin-pvpanic", "no", "builtin-panic-device"),
    ("pvpanic-attachable", "yes", "panic-device-missing"),
    ("panic-reported", "yes", "panic-not-reported"),
    ("panic-stops-guest", "yes", "panic-does-not-stop-guest"),
    ("cont-after-panic", "yes", "cont-refused-after-panic"),
)
_WORKS_BY_ARCHITECTURE = (("guest-panicked-event", "yes", "panic-not-reported"),)


class Policy(msgspec.Struct, frozen=True):
    """What is to happen when a guest panics, and when it crashes.

    :param on_panic: One of `ON_PANIC`.
    :param coredump: Dump the guest's memory first.
    :param on_crash: One of `ON_CRASH`, or libvirt's ``coredump-destroy`` and ``coredump-restart``;
        None to leave it out.
    :param on_crash_coredump: Dump the guest's memory first on a crash.
    """

    on_panic: str
    coredump: bool = False
    on_crash: str | None = None
    on_crash_coredump: bool = False


class Capabilities(msgspec.Struct, frozen=True):
    """What an emulator can do with one machine type.

    :param facts: Facts of the emulator and of the machine type by name.
    :param architectural: libvirt's model of a notifier that the architecture brings, None if it brings none.
    """

    facts: Mapping[str, Fact]
    architectural: str | None = None

    def fact(self, name: str) -> Fact:
        """Return a fact; one that was never asked is unknown."""
        return self.facts.get(name) or Fact("unknown", None, "not asked")


class Decision(msgspec.Struct, frozen=True):
    """Is a policy accepted?  True in a boolean context if it is.

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
    """Decide if a policy can be honoured.  Never raises: an unknown value is a refusal, too.

    :param policy: What is wanted.
    :param hypervisor: ``qemu`` or ``xen``; Xen's answer does not depend on capabilities.
    :param capabilities: What QEMU can do with the machine type.
    """
    refusal = objection(policy, hypervisor)
    if refusal is None and hypervisor == "qemu" and policy.on_panic not in ("default", "ignore"):
        refusal = obstacle(capabilities)
    return _help(policy, hypervisor, capabilities) if refusal is None else refusal


def objection(policy: Policy, hypervisor: Hypervisor) -> Decision | None:
    """Return what is wrong with a policy whatever the emulator can do, None if nothing is."""
    refusals = (
        _check_words(policy),
        _check_coredump(policy),
        _check_xen(policy) if hypervisor == "xen" else _check_qemu(policy),
    )
    return next((refusal for refusal in refusals if refusal is not None), None)


def obstacle(capabilities: Capabilities) -> Decision | None:
    """Return what keeps a panic notifier of a design that works from being there, None if nothing does."""
    rules = _WORKS_BY_ARCHITECTURE if capabilities.architectural else _WORKS
    answers = [(name, capabilities.fact(name), wanted, code) for name, wanted, code in rules]
    for _, fact, wanted, code in answers:
        if fact.answer not in (wanted, "unknown"):
            return refusal(code, fact.detail)
    for name, fact, _, _ in answers:
        if fact.answer == "unknown":
            return refusal("probe-inconclusive", f"{name}: {fact.detail}")
    return None


def _check_words(policy: Policy) -> Decision | None:
    if policy.on_panic not in ON_PANIC:
        return refusal("unknown-value", printable(repr(policy.on_panic), 60))
    words = (*ON_CRASH, "coredump-destroy", "coredump-restart")
    if policy.on_crash is not None and policy.on_crash not in words:
        return refusal("unknown-on-crash", printable(repr(policy.on_crash), 60))
    if policy.on_crash is None and policy.on_crash_coredump:
        return refusal("unknown-on-crash", "a coredump without a value")
    return None


def _check_coredump(policy: Policy) -> Decision | None:
    if policy.coredump and policy.on_panic in _PASSIVE:
        return refusal("coredump-needs-action", policy.on_panic)
    return None


def _check_xen(policy: Policy) -> Decision | None:
    if policy.on_panic not in ("default", "crash"):
        return refusal("xen-only-crash", policy.on_panic)
    if policy.on_crash_coredump and policy.on_crash in ("rename-restart", "preserve"):
        return refusal("xen-coredump-on-crash", policy.on_crash)
    return None


def _check_qemu(policy: Policy) -> Decision | None:
    return refusal("crash-needs-xen") if policy.on_panic == "crash" else None


def _help(policy: Policy, hypervisor: Hypervisor, capabilities: Capabilities) -> Decision:
    """Accept, and say what has to be done besides."""
    if hypervisor == "qemu" and policy.on_panic in ("default", "ignore"):
        if capabilities.architectural:
            settable = capabilities.fact("set-action-command").answer
            return _accept("ignore-needs-set-action" if settable == "yes" else "ignore-needs-cont")
        if capabilities.fact("builtin-pvpanic").answer == "yes":
            return _accept("ignore-needs-global")
    return Decision(True)


def refusal(code: str, detail: str = "") -> Decision:
    """Return the refusal with a code of the catalogue, and a detail added in brackets."""
    entry = CATALOGUE[code]
    return Decision(False, code, f"{entry.reason} ({detail})" if detail else entry.reason, entry.remedy)


def _accept(code: str) -> Decision:
    entry = CATALOGUE[code]
    return Decision(True, code, entry.reason, entry.remedy)
