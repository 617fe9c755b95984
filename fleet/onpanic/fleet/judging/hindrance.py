"""Why something is not possible on some hosts, or changes what a guest sees there."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from onpanic.probe.decision.rules import Decision

__all__ = ("Hindrance", "HindranceAnswer", "hindrance_answer", "is_unsettled", "sorted_hindrances")

HindranceAnswer = Literal["no", "changes", "unknown"]

# Refusals that another look at the host would settle
_UNSETTLED = frozenset(
    (
        "probe-inconclusive",
        "toolstack-inconclusive",
        "machine-type-not-asked",
        "emulator-not-asked",
        "emulator-path-not-asked",
        "libvirt-not-asked",
        "on-crash-not-asked",
        "host-not-counted",
        "notifier-not-compared",
    )
)

# Refusals of what works, see `HindranceAnswer`
_CHANGES = frozenset(("event-mask-differs", "notifier-acpi-differs"))


class Hindrance(msgspec.Struct, frozen=True):
    """Why something is not possible on some hosts, or what changes there.

    :param answer: ``no`` if it is impossible, ``unknown`` if the records do not say enough, and ``changes``
        if it works, but the guest sees another device than before.
    :param code: A code of the catalogue.
    :param reason: What it is, in one sentence.
    :param remedy: What to do about it.
    :param hosts: The names of the hosts.
    """

    answer: HindranceAnswer
    code: str
    reason: str
    remedy: str
    hosts: tuple[str, ...]

    @classmethod
    def of(cls, refused: Decision, hosts: Sequence[str]) -> "Hindrance":
        """Return the hindrance that a refusal is on some hosts."""
        answer = hindrance_answer(refused.code)
        return cls(answer, refused.code, refused.reason, refused.remedy, tuple(hosts))


def hindrance_answer(code: str) -> HindranceAnswer:
    """Return whether a refusal makes something impossible, see `HindranceAnswer`."""
    return "unknown" if is_unsettled(code) else "changes" if code in _CHANGES else "no"


def is_unsettled(code: str) -> bool:
    """Return whether a refusal says that something is not known, rather than that it is impossible."""
    return code in _UNSETTLED


def sorted_hindrances(found: dict[Decision, list[str]], order: Callable[[str], Any]) -> tuple[Hindrance, ...]:
    """Return hindrances, those on most hosts first.

    :param found: The names of the hosts, by refusal.
    :param order: The key by which the names are sorted.
    """
    ranked = sorted(found.items(), key=lambda item: (-len(item[1]), item[0].code, item[0].reason))
    return tuple(Hindrance.of(refused, sorted(hosts, key=order)) for refused, hosts in ranked)
