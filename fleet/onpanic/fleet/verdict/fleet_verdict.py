"""The verdict about a fleet: which policies every host keeps, and why the others are not kept.

The JSON form has schema version 1; the JSON Schema is the file ``verdict.schema.json`` in this folder.
"""

from typing import Any, Literal

import msgspec

from onpanic.core.json_decoding import read_schema
from onpanic.core.untrusted import wellformed
from onpanic.fleet.documents.fleet import FleetNote, Uncounted
from onpanic.probe.decision.policy import Hypervisor

__all__ = (
    "ArchitectureVerdict",
    "FailurePart",
    "FailurePlace",
    "FleetFailure",
    "FleetVerdict",
    "MachineVerdict",
    "PolicyNeed",
    "PolicyVerdict",
)


class PolicyVerdict(msgspec.Struct, frozen=True):
    """Whether the hosts keep a policy for guests of one machine type.

    :param policy: The value of ``<on_panic>``, for ``crash`` with its action, such as ``crash-restart``; with
        ``+coredump`` behind it if the guest is dumped first.
    :param everywhere: ``yes`` if every host keeps it, ``no`` if one does not; ``unknown`` if that is not
        known of one, or there are documents and hosts that were not counted.
    :param kept: How many hosts keep it.
    :param refused: How many do not.
    :param unknown: Of how many that is not known.
    :param by_libvirt: How many of those that keep it need nothing but libvirt.
    :param by_watch: How many of those that keep it need ``onpanic watch``, see `FleetVerdict.watch`.
    :param without_libvirt: How many of those that keep it have no libvirt.
    """

    policy: str
    everywhere: Literal["yes", "no", "unknown"]
    kept: int
    refused: int
    unknown: int
    by_libvirt: int
    by_watch: int
    without_libvirt: int


class MachineVerdict(msgspec.Struct, frozen=True):
    """What the hosts of an architecture can promise for guests of one machine type.

    :param machine: Its name, or the alias; empty for the default one of each host.
    :param versions: On how many hosts the alias stands for which machine type.
    :param policies: Each policy that was asked about.
    """

    machine: str
    versions: dict[str, int]
    policies: list[PolicyVerdict]


class ArchitectureVerdict(msgspec.Struct, frozen=True):
    """What hosts can promise for a hypervisor's guests of an architecture.

    :param architecture: libvirt's name of it.
    :param hosts: Over how many hosts the verdict holds: those of this architecture, and those of others that
        have an emulator for it.
    :param others: How many hosts are of another architecture, and have no emulator for it, or have the other
        hypervisor.
    :param machines: The machine types that were judged.
    :param further: Machine types that hosts were asked about and that were not judged.
    :param common: The machine types and aliases that all these hosts have; empty if one has no emulator, or
        did not say which it has.
    :param hypervisor: Whose guests they are.
    """

    architecture: str
    hosts: int
    others: int
    machines: list[MachineVerdict]
    further: list[str]
    common: list[str]
    hypervisor: Hypervisor = "qemu"


class FailurePlace(msgspec.Struct, frozen=True, order=True):
    """A machine type and the policies that fail there.

    :param architecture: libvirt's name of the architecture.
    :param machine: As in `MachineVerdict`.
    :param policies: As in `PolicyVerdict`.
    """

    architecture: str
    machine: str
    policies: tuple[str, ...]


class FailurePart(msgspec.Struct, frozen=True):
    """Hosts on which the same policies fail.

    :param hosts: Their names.
    :param places: Which policies, for which machine types.
    """

    hosts: list[str]
    places: list[FailurePlace]


class FleetFailure(msgspec.Struct, frozen=True):
    """A reason for which hosts do not keep policies.

    :param code: A code of the catalogue.
    :param reason: Why, in one sentence: that of most of the hosts, where details differ.
    :param remedy: What to do about it.
    :param hosts: On how many hosts it helps.
    :param parts: Which hosts; each is in one part.
    """

    code: str
    reason: str
    remedy: str
    hosts: int
    parts: list[FailurePart]


class PolicyNeed(msgspec.Struct, frozen=True):
    """Something that a policy needs so that it is kept.

    :param code: A code of the catalogue, of kind ``note`` or ``help``.
    :param reason: Why, in one sentence.
    :param remedy: What ``onpanic watch`` does, or what the emulator must be told.
    :param hosts: On how many hosts a policy needs it.
    :param policies: Which policies need it, for one machine type or more.
    """

    code: str
    reason: str
    remedy: str
    hosts: int
    policies: list[str]


class FleetVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Which policies the hosts of a fleet keep.

    :param schema_version: The version of this form.
    :param hosts: How many hosts were counted.
    :param classes: How many of them are distinct, see `onpanic.fleet.HostClass`.
    :param missing: How many of `uncounted` may stand for hosts that the verdict is not about.
    :param answered_only: Whether the verdict is about the hosts that answered, whatever is `missing`.
    :param everywhere: Whether every policy that was asked about is kept everywhere, see `PolicyVerdict`.
    :param architectures: The verdict for each architecture.
    :param failures: Why policies are not kept; the remedy for most hosts comes first.
    :param unknowns: Why it is not known whether policies are kept, likewise.
    :param watch: What libvirt alone does not do, so that hosts need ``onpanic watch`` for it.
    :param help: What emulators must be told on hosts without libvirt.
    :param watched: How many hosts need it for one policy or more.
    :param uncounted: What was left out, each with its reason.
    :param notes: What may make the verdict wrong.
    """

    schema_version: Literal[1] = 1
    hosts: int
    classes: int
    missing: int
    answered_only: bool
    everywhere: Literal["yes", "no", "unknown"]
    architectures: list[ArchitectureVerdict]
    failures: list[FleetFailure]
    unknowns: list[FleetFailure]
    watch: list[PolicyNeed]
    help: list[PolicyNeed]
    watched: int
    uncounted: list[Uncounted]
    notes: list[FleetNote]

    def to_json(self) -> bytes:
        """Return the verdict as one line of JSON."""
        return msgspec.json.encode(wellformed(msgspec.to_builtins(self)))

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """Return the JSON Schema of a verdict: the file that is installed with the package."""
        return read_schema(__package__, "verdict.schema.json")
