"""What a change is: its kind and its words."""

from typing import Literal, get_args

import msgspec

__all__ = ("DRIFT_KINDS", "DriftChange", "DriftKind")

#: Those that matter most first.
DriftKind = Literal[
    "guest-visible-change",
    "policy-lost",
    "behaviour-lost",
    "policy-changed",
    "policy-kept",
    "behaviour-gained",
    "libvirt",
    "machine-type-gone",
    "machine-type-new",
    "emulator",
    "kvm",
    "evidence-lost",
    "evidence-found",
]

DRIFT_KINDS: tuple[DriftKind, ...] = get_args(DriftKind)


class DriftChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that has changed on a host.

    :param kind: The kind of change.  Some are tags of `onpanic.check.TAGS`, with the same
        meaning: ``guest-visible-change`` (a guest has another device than before), ``behaviour-lost``,
        ``behaviour-gained``, ``machine-type-gone``, ``machine-type-new``, ``evidence-lost`` (what was known
        and is not any more).  The others are ``policy-lost`` (no longer kept), ``policy-changed`` (kept, and
        libvirt is given something else for it), ``policy-kept`` (it was not), ``libvirt``, ``emulator``,
        ``kvm``, and ``evidence-found`` (what was not known and is).
    :param detail: What has changed, in one line, with the records' words.
    :param about: The architecture, by libvirt's name of it, or the path of an emulator that is not the
        host's own for any; empty if the change is not about an emulator.
    :param machines: The machine types that it is about, by names or aliases; empty if it is about all.
    :param policies: The policies that it is about, such as ``restart`` and ``restart+coredump``.
    :param code: A code of the catalogue that says why a policy is not kept, or was not.
    :param notifier: The notifier that it is about, by libvirt's model; empty if it is not about one.
    """

    kind: DriftKind
    detail: str
    about: str = ""
    machines: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    code: str = ""
    notifier: str = ""

    @property
    def rank(self) -> int:
        """Sorts changes: those that matter most first."""
        return DRIFT_KINDS.index(self.kind)
