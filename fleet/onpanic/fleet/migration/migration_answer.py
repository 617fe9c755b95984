"""The answer to where guests may migrate.  Its JSON Schema is the file ``migration.schema.json`` here."""

from typing import Any, Literal

import msgspec

from onpanic.core.json_decoding import read_schema
from onpanic.core.untrusted import wellformed
from onpanic.fleet.documents.fleet import FleetNote, Uncounted
from onpanic.fleet.judging.guest_view import GuestView
from onpanic.fleet.judging.hindrance import Hindrance
from onpanic.probe.decision.policy import Policy
from onpanic.shims.translation.mapping import Note

__all__ = ("AskedPair", "ClassPair", "ExchangeClass", "MigrationAnswer", "PairAnswer")

PairAnswer = Literal["yes", "changes", "some", "no", "unknown"]


class ExchangeClass(msgspec.Struct, frozen=True, kw_only=True):
    """Hosts that can exchange a guest with the policy freely: it is the same domain on each of them.

    :param number: From 1; the greatest class has the first.
    :param hosts: Their names.
    :param emulator: The path of the emulator; empty on Xen.
    :param domain_type: The type of the guest's domain: ``kvm``, ``qemu`` or ``xen``.
    :param on_crash: What libvirt is given as ``<on_crash>``; None for nothing.
    :param panic: The model of the ``<panic>`` that is added; None if none is.
    :param arguments: The arguments that are added to QEMU's command line.
    :param view: What the guest sees of its panic notifiers.
    :param notes: What libvirt alone does not do.
    """

    number: int
    hosts: tuple[str, ...]
    emulator: str
    domain_type: str
    on_crash: str | None
    panic: str | None
    arguments: tuple[str, ...]
    view: GuestView
    notes: tuple[Note, ...]


class ClassPair(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a guest may migrate from the hosts of one class to those of another one.

    :param source: The number of the class that it comes from.
    :param target: The number of the class that it goes to.
    :param answer: ``changes`` if the guest keeps its policy, but sees another notifier than before; ``some``
        if it is not the same for all hosts of the class.
    :param hindrances: Why not, on which hosts of the target.
    :param notes: Notes on the guest there.
    """

    source: int
    target: int
    answer: PairAnswer
    hindrances: tuple[Hindrance, ...]
    notes: tuple[Note, ...]


class AskedPair(msgspec.Struct, frozen=True, kw_only=True):
    """The answer about two hosts, in one direction.

    :param source: The name of the host that the guest comes from.
    :param target: The name of the host that it goes to.
    :param answer: Whether the guest may migrate; ``changes`` as in `PairAnswer`.
    :param hindrances: Why not; of one host each.
    :param notes: Notes on the guest there.
    """

    source: str
    target: str
    answer: Literal["yes", "changes", "no", "unknown"]
    hindrances: tuple[Hindrance, ...]
    notes: tuple[Note, ...]


class MigrationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Where guests with a policy and a machine type may migrate.

    :param schema_version: The version of this form.
    :param architecture: libvirt's name of the guests' architecture.
    :param machine: The machine type's own name.
    :param domain: The name of the domain that was asked about; empty for a plain guest.
    :param policy: The policy.
    :param hosts: Over how many hosts the answer holds: those of the architecture, and others that have an
        emulator for it.
    :param others: How many other hosts are counted: of another architecture, or another hypervisor.
    :param missing: How many hosts or documents may stand for hosts that it does not hold over.
    :param classes: Hosts that can exchange such a guest freely.
    :param excluded: Why other hosts cannot have such a guest at all.
    :param class_pairs: Every pair of the first 50 classes, in both directions.
    :param pair: The two hosts that were asked about; None if all were.
    :param uncounted: What was left out, each with its reason.
    :param notes: What may make the answer wrong.
    """

    schema_version: Literal[1] = 1
    architecture: str
    machine: str
    domain: str
    policy: Policy
    hosts: int
    others: int
    missing: int
    classes: tuple[ExchangeClass, ...]
    excluded: tuple[Hindrance, ...]
    class_pairs: tuple[ClassPair, ...]
    pair: AskedPair | None = None
    uncounted: tuple[Uncounted, ...] = ()
    notes: tuple[FleetNote, ...] = ()

    @property
    def is_one_class(self) -> bool:
        """Whether all hosts that are counted can exchange such a guest."""
        return len(self.classes) == 1 and not self.excluded

    def to_json(self) -> bytes:
        """Return the answer as one line of JSON."""
        return msgspec.json.encode(wellformed(msgspec.to_builtins(self)))

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """Return the JSON Schema of an answer: the file that is installed with the package."""
        return read_schema(__package__, "migration.schema.json")
