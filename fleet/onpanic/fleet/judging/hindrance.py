"""What stands in the way on some hosts, and whether that is certain."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from onpanic.probe.decision.rules import Decision

__all__ = ("Hindrance", "is_unsettled", "sorted_hindrances")

# Refusals that another look at the host would settle
_UNSETTLED = frozenset(
    (
        "probe-inconclusive",
        "machine-type-not-asked",
        "emulator-not-asked",
        "libvirt-not-asked",
        "host-not-counted",
        "notifier-not-compared",
    )
)


class Hindrance(msgspec.Struct, frozen=True):
    """What stands in the way on some hosts.

    :param answer: ``unknown`` if the hosts' records do not say enough.
    :param code: A code of the catalogue.
    :param reason: What it is, in one sentence.
    :param remedy: What to do about it.
    :param hosts: The names of the hosts.
    """

    answer: Literal["no", "unknown"]
    code: str
    reason: str
    remedy: str
    hosts: tuple[str, ...]

    @classmethod
    def of(cls, refused: Decision, hosts: Sequence[str]) -> "Hindrance":
        """Return the hindrance that a refusal is on some hosts."""
        answer: Literal["no", "unknown"] = "unknown" if is_unsettled(refused.code) else "no"
        return cls(answer, refused.code, refused.reason, refused.remedy, tuple(hosts))


def is_unsettled(code: str) -> bool:
    """Return whether a refusal says that something is not known, rather than that it is impossible."""
    return code in _UNSETTLED


def sorted_hindrances(found: dict[Decision, list[str]]) -> tuple[Hindrance, ...]:
    """Return hindrances, those on most hosts first.

    :param found: The names of the hosts, by refusal.
    """
    return tuple(Hindrance.of(one, hosts) for one, hosts in sorted(found.items(), key=lambda i: -len(i[1])))
