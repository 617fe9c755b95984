"""What a host can do as a feature file of node-feature-discovery (NFD), which labels Kubernetes nodes by it.

A label says that the host keeps a policy for guests of one architecture and machine type::

    onpanic-x86_64.q35.restart=true

NFD puts a name without a namespace into its own, feature.node.kubernetes.io.  A policy that the host does not
keep, or that is unknown, has no label, so that the operators Exists and DoesNotExist can be used.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from onpanic.core.untrusted import printable
from onpanic.fleet.hosts.host_record import HostRecord
from onpanic.fleet.outputs.policy_answers import MachineAnswers, machine_answers

__all__ = ("LIMIT", "FeatureFile", "feature_file", "is_namespace")

#: Bytes; NFD does not read a longer file.
LIMIT = 64 * 2**10

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
    :param left_out: Machine types about which it says nothing, each with the reason.
    """

    text: str
    left_out: tuple[str, ...]


def is_namespace(name: str) -> bool:
    """Return whether NFD makes labels in a namespace: a DNS name that is not one of Kubernetes' own."""
    valid = bool(_NAMESPACE.fullmatch(name)) and len(name) <= 253
    return valid and (not _RESERVED.fullmatch(name) or bool(_OF_NFD.fullmatch(name)))


def feature_file(host: HostRecord, expires: datetime, namespace: str = "") -> FeatureFile:
    """Return a host's feature file.

    :param expires: When NFD removes the labels unless there is a newer file.
    :param namespace: The labels' namespace, see `is_namespace`; empty for NFD's own.
    :raise MissingExtraError: See `machine_answers`.
    """
    stamp = expires.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    text = f"# +expiry-time={stamp}\n"
    prefix = f"{namespace}/" if namespace else ""
    left_out = []
    for machine, names in _groups(machine_answers(host)):
        bad = next((name for name in names if len(name) > _NAME_LIMIT or not _NAME.fullmatch(name)), "")
        lines = "".join(f"{prefix}{name}=true\n" for name in names)
        if bad:
            left_out.append(printable(f"{machine}: {bad} is not the name of a label", 200))
        elif len(text) + len(lines) >= LIMIT:
            left_out.append(printable(f"{machine}: the file would be longer than {LIMIT >> 10} KiB", 200))
        else:
            text += lines
    return FeatureFile(text, tuple(left_out))


def _groups(answers: Iterable[MachineAnswers]) -> list[tuple[str, list[str]]]:
    """Return the names of labels for each name of a machine type; aliases, and default ones, come first."""
    groups: dict[str, tuple[bool, list[str]]] = {}
    for one in answers:
        if not one.architecture:
            continue
        machine = one.machine
        for name in (*machine.aliases, machine.name):
            important = machine.default or name in machine.aliases
            subject = f"{one.architecture}.{name}"
            labels = [
                f"onpanic-{subject}.{'coredump-' * policy.coredump}{policy.value}"
                for policy in one.policies
                if policy.kept == "yes" and policy.value != "default"  # which every host keeps
            ]
            groups.setdefault(subject, (important, labels))
    ordered = sorted(groups.items(), key=lambda item: not item[1][0])
    return [(subject, labels) for subject, (_, labels) in ordered if labels]
