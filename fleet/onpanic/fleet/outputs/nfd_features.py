"""What a host can do as a feature file of node-feature-discovery (NFD), which labels Kubernetes nodes by it.

A label says that the host keeps a policy for guests of one architecture and machine type::

    feature.node.kubernetes.io/onpanic-x86_64.q35.restart=true

The namespace is always written: NFD can be told not to add its own to names without one.  A policy that
the host does not keep, or that is unknown, has no label, so that the operators Exists and DoesNotExist can
be used.  On Xen the crash action is behind ``crash``::

    feature.node.kubernetes.io/onpanic-x86_64.xenpv.crash-restart=true
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from onpanic.core.untrusted import printable
from onpanic.fleet.hosts.host_record import HostRecord
from onpanic.fleet.outputs.policy_answers import MachineAnswers, machine_answers

__all__ = ("LIMIT", "NAMESPACE", "FeatureFile", "feature_file", "is_namespace")

#: Bytes; NFD does not read a longer file.
LIMIT = 64 * 2**10
#: NFD's own namespace.
NAMESPACE = "feature.node.kubernetes.io"

_NAME_LIMIT = 63  # of a label's name, without its namespace
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_DNS_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAMESPACE = re.compile(rf"{_DNS_LABEL}(\.{_DNS_LABEL})+")
# Kubernetes' own namespaces, in which NFD makes no labels, and those of them that are NFD's
_RESERVED = re.compile(r"(.*\.)?(kubernetes|k8s)\.io")
_OF_NFD = re.compile(r"(.*\.)?(feature|profile)\.node\.kubernetes\.io")


class FeatureFile(msgspec.Struct, frozen=True):
    """A feature file.

    :param text: Its contents.
    :param left_out: Machine types about which it says nothing, in a line for each reason.
    """

    text: str
    left_out: tuple[str, ...]


def is_namespace(name: str) -> bool:
    """Return whether NFD makes labels in a namespace: a DNS name that is not one of Kubernetes' own."""
    valid = bool(_NAMESPACE.fullmatch(name)) and len(name) <= 253
    return valid and (not _RESERVED.fullmatch(name) or bool(_OF_NFD.fullmatch(name)))


def feature_file(host: HostRecord, expires: datetime, namespace: str = NAMESPACE) -> FeatureFile:
    """Return a host's feature file.

    :param expires: When NFD removes the labels unless there is a newer file.
    :param namespace: The labels' namespace, see `is_namespace`.
    :raise MissingExtraError: See `machine_answers`.
    """
    stamp = expires.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    text = f"# +expiry-time={stamp}\n"
    left_out: dict[str, list[str]] = {}
    for group in _groups(machine_answers(host), host.system.architecture):
        lines = "".join(f"{namespace}/{name}=true\n" for name in group.labels)
        if not all(len(name) <= _NAME_LIMIT and _NAME.fullmatch(name) for name in group.labels):
            left_out.setdefault(f"{group.architecture}, not the name of a label", []).append(group.machine)
        elif len(text) + len(lines) >= LIMIT:
            left_out.setdefault(f"{group.architecture}, no room in 64 KiB", []).append(group.machine)
        else:
            text += lines
    said = (f"{len(names)} machine types of {why}: {' '.join(names)}" for why, names in left_out.items())
    return FeatureFile(text, tuple(map(printable, said)))


class _LabelGroup(msgspec.Struct, frozen=True):
    """The names of the labels about one name of a machine type.

    :param machine: The name: the machine type's own, or its alias.
    :param rank: Groups with a lower rank come first.
    """

    architecture: str
    machine: str
    rank: tuple[bool, bool]
    labels: tuple[str, ...]


def _groups(answers: Iterable[MachineAnswers], own: str) -> list[_LabelGroup]:
    """Return the groups of labels: first the host's own architecture; aliases and defaults first."""
    groups: dict[str, _LabelGroup] = {}
    for one in answers:
        if not one.architecture:
            continue
        machine = one.machine
        for name in (*machine.aliases, machine.name):
            usual = machine.default or name in machine.aliases
            subject = f"{one.architecture}.{name}"
            labels = tuple(
                f"onpanic-{subject}.{'coredump-' * policy.coredump}{policy.name}"
                for policy in one.policies
                if policy.kept == "yes" and policy.value != "default"  # which every host keeps
            )
            group = _LabelGroup(one.architecture, name, (one.architecture != own, not usual), labels)
            groups.setdefault(subject, group)
    return sorted((group for group in groups.values() if group.labels), key=lambda group: group.rank)
