"""Guests that panic under policies, and how each must end.

A case is a policy and what else bears on it: how long the domain lasts, what its definition or its user
does, and when a watcher is there.
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from onpanic.probe.emulator.notifier_models import NotifierModel
from onpanic.shims import Libvirt

__all__ = (
    "ALL",
    "COREDUMPS",
    "KINDS",
    "LIFETIMES",
    "MODELS",
    "VALUES",
    "WATCHERS",
    "Case",
    "End",
    "cases_of",
    "end_of",
    "end_without_watcher",
    "pairwise",
)

VALUES = ("ignore", "restart", "destroy", "preserve", "pause", "rename-restart")
COREDUMPS = (False, True)
LIFETIMES = ("persistent", "transient")
KINDS = (
    "plain",
    "on-reboot-destroy",
    "no-reboot",
    "saved-before",
    "saved-after",
    "migrated-before",
    "migrated-after",
    "libvirt-restarted",
)
WATCHERS = ("before", "after", "none")
#: Those that an x86 emulator has without KVM.
MODELS: tuple[NotifierModel, ...] = ("isa", "pvpanic")


class Case(NamedTuple):
    """A guest.

    :ivar value: Its policy's value.
    :ivar coredump: Whether its memory is to be dumped.
    :ivar lifetime: Whether libvirt keeps its definition.
    :ivar kind: What else is done to it, before or after it panics.
    :ivar watcher: Whether a watcher is there before it panics, only afterwards, or not at all.
    :ivar model: The model of its panic notifier.
    """

    value: str
    coredump: bool
    lifetime: str
    kind: str
    watcher: str
    model: NotifierModel

    @property
    def name(self) -> str:
        """The domain's name."""
        dump = "-coredump" if self.coredump else ""
        return f"{self.value}{dump}-{self.lifetime}-{self.kind}-{self.watcher}-{self.model}"

    @property
    def reset_ends(self) -> bool:
        """Whether a reset ends it."""
        return self.kind in ("on-reboot-destroy", "no-reboot")


class End(NamedTuple):
    """How a guest ends.

    :ivar condition: ``running``, ``panicked`` or ``off``, as QEMU has it.
    :ivar renamed: Whether it has another name.
    :ivar dumped: Whether its memory was dumped.
    """

    condition: str
    renamed: bool = False
    dumped: bool = False


_WATCHED = {
    "ignore": "running",
    "restart": "running",
    "destroy": "off",
    "preserve": "panicked",
    "pause": "panicked",
    "rename-restart": "running",
}


def end_of(case: Case, libvirt: Libvirt) -> End:
    """Return how a guest must end.

    Without a watcher that is what libvirt alone does, as the notes of the translation say; it does nothing
    about a panic for which it was not running.

    :param case: The guest.
    :param libvirt: What its libvirt supports.
    """
    if case.watcher != "none":
        return End(_WATCHED[case.value], case.value == "rename-restart", case.coredump)
    return End("panicked") if case.kind == "libvirt-restarted" else end_without_watcher(case, libvirt)


def end_without_watcher(case: Case, libvirt: Libvirt) -> End:
    """Return what libvirt makes of a panic for which it was running, if there is no watcher.

    Up to 7.0 it has QEMU end, without a dump, if every other action is to destroy.
    """
    if case.value == "ignore":
        return End("running" if libvirt.preserve_running else "panicked")
    quits = case.coredump and case.kind == "on-reboot-destroy" and not libvirt.checks_actions
    kept = {"restart": not case.reset_ends, "destroy": not quits}
    if kept.get(case.value):
        return End(_WATCHED[case.value], dumped=case.coredump)
    return End("panicked")


def cases_of(
    kinds: Sequence[str] = KINDS,
    watchers: Sequence[str] = WATCHERS,
    models: Sequence[NotifierModel] = MODELS,
) -> list[Case]:
    """Return the full product of all factors, with these values of some."""
    product = itertools.product(VALUES, COREDUMPS, LIFETIMES, kinds, watchers, models)
    cases = [Case(*values) for values in product]
    return [case for case in cases if not (case.value == "ignore" and case.coredump)]  # is refused


#: The full product for the models that an x86 emulator has.
ALL = cases_of()


def pairwise(cases: Sequence[Case]) -> list[Case]:
    """Return few cases in which every pair of values occurs that occurs in all of them."""

    def pairs(case: Case) -> set[tuple[int, Any, int, Any]]:
        numbered = enumerate(case)
        return {(i, a, j, b) for (i, a), (j, b) in itertools.combinations(numbered, 2)}

    found: list[Case] = []
    left = set().union(*(pairs(case) for case in cases))
    while left:
        used = Counter(case.watcher for case in found)
        best = max(cases, key=lambda case: (len(pairs(case) & left), -used[case.watcher]))
        found.append(best)
        left -= pairs(best)
    return found
