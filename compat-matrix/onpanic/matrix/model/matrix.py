"""The matrix: the contents of all records, with everything that is repeated stored once.

`building.build` builds it from records.  ``matrix.json`` is its JSON form, and the JSON Schema is the
file ``matrix.schema.json`` in this folder.

Most machine types of a build have the same answers, and most builds have the same evidence.
Statements, notifiers, profiles and excerpts are therefore in lists of their own, and are referred to by
their index.

Rejected: a table of cells with their texts, which takes gigabytes for two thousand builds with a
hundred machine types each; and one file per build, as a page that is opened from a file cannot load
other files.
"""

from typing import Any, Literal

import msgspec

from onpanic.core.json_decoding import read_schema
from onpanic.matrix.libvirts.libvirt_record import LibvirtRecord
from onpanic.probe.emulator.notifier_models import NotifierModel
from onpanic.probe.facts import Answer, How
from onpanic.probe.record.capability_record import Builtin

__all__ = (
    "DECIDED",
    "POLICY",
    "Build",
    "Matrix",
    "MatrixFact",
    "MatrixMachine",
    "MatrixNotifier",
    "Profile",
    "Range",
    "RangeAnswer",
    "RangeNotifier",
    "Statement",
)

#: What stands before an ``<on_panic>`` value where the name of a fact could stand: ``on_panic.restart``.
POLICY = "on_panic."

#: The ``<on_panic>`` values whose acceptance depends on the emulator: the others are always accepted, or
#: always refused (see `onpanic.probe.decision.rules`).
DECIDED = ("restart", "destroy", "preserve", "rename-restart", "pause")


#: The answers that ranges have: every `Answer` but ``unknown``.
RangeAnswer = Literal["yes", "no", "pause", "poweroff", "run", "exit"]

#: The notifiers that ranges are about; empty for the machine type's own one.
RangeNotifier = NotifierModel | Literal[""]


class MatrixFact(msgspec.Struct, frozen=True):
    """A question of the matrix.

    :param name: Such as ``cont-after-panic``.
    :param scope: ``emulator``; ``machine`` if each machine type has its own answer; ``notifier`` if each
        notifier of a machine type has.
    :param asks: The question, in one sentence.
    """

    name: str
    scope: Literal["emulator", "machine", "notifier"]
    asks: str


class Statement(msgspec.Struct, frozen=True, omit_defaults=True):
    """An answer, and how it is known.

    :param answer: ``yes``, ``no`` or ``unknown``; or what a panic leads to: ``pause``, ``poweroff``,
        ``run`` or ``exit``.
    :param how: How it is known; None for ``unknown``.
    :param detail: What was seen, or what would settle it.
    :param evidence: Index in `Matrix.evidence`; None if the record has no lines for it.
    """

    answer: Answer
    how: How | None = None
    detail: str = ""
    evidence: int | None = None


class MatrixNotifier(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one panic notifier does; many machine types share a notifier.

    :param model: libvirt's name: ``isa``, ``pvpanic`` (PCI), ``hyperv``, ``pseries`` or ``s390``.
    :param facts: Indexes in `Matrix.statements`, by the fact's name.
    :param accepted: ``<on_panic>`` values; True if they are also accepted with a core dump.
    :param refused: ``<on_panic>`` values, with the code of the refusal (``onpanic explain CODE``).
    :param type: Its QOM type; None if it has none.
    :param event_mask: The event bits that it offers to the guest; None if they were not read.
    """

    model: NotifierModel
    facts: dict[str, int]
    accepted: dict[str, bool]
    refused: dict[str, str]
    type: str | None = None
    event_mask: int | None = None


class Profile(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a machine type does when its guest panics; many machine types share a profile.

    :param facts: Indexes in `Matrix.statements`, by the fact's name.  Those about a notifier are those of
        the machine type's own one.
    :param accepted: ``<on_panic>`` values; True if they are also accepted with a core dump.
    :param refused: ``<on_panic>`` values, with the code of the refusal (``onpanic explain CODE``).
    :param notifier: The model of the machine type's own notifier: the best one that works; None if none
        works.
    :param notifiers: Indexes in `Matrix.notifiers`, one for each model.
    :param builtin: The notifier that the machine type creates by itself; None if it creates none.
    :param started: False if the machine type does not start where it was asked.
    :param problem: Why not everything could be asked.
    """

    facts: dict[str, int]
    accepted: dict[str, bool]
    refused: dict[str, str]
    notifier: NotifierModel | None = None
    notifiers: list[int] = []
    builtin: Builtin | None = None
    started: bool = True
    problem: str = ""


class MatrixMachine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A machine type of a build.

    :param name: The machine type's name.
    :param profile: Index in `Matrix.profiles`.
    :param aliases: Its other names, such as ``q35``.
    :param default: Whether it is the build's default machine type.
    """

    name: str
    profile: int
    aliases: list[str] = []
    default: bool = False


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """One emulator of one QEMU build.

    :param id: The name of the record's file, without its extension.
    :param emulator: The program's name, such as ``qemu-system-x86_64``.
    :param target: Such as ``x86_64``; empty if neither the emulator nor its name says.
    :param version: Such as ``7.2.22``.
    :param package: What the distributor calls it; empty for upstream's own builds.
    :param line: Who builds it: ``Debian``, ``upstream``, ``RHEL``.  Versions are ordered within a line.
    :param era: The releases with the same major number: ``7.x``.
    :param source: Where the record comes from; empty for an emulator on the host.
    :param reproduce: The command that asks this emulator again; ``{machine}`` stands for a machine type.
    :param at: When it was asked: UTC, RFC 3339.
    :param by: The program that asked.
    :param facts: Facts of the emulator: indexes in `Matrix.statements`, by name.
    :param machines: Machine types, by family and then by version.
    """

    id: str
    emulator: str
    target: str
    version: str
    package: str
    line: str
    era: str
    source: str
    reproduce: str
    at: str
    by: str
    facts: dict[str, int]
    machines: list[MatrixMachine]


class Range(msgspec.Struct, frozen=True, omit_defaults=True):
    """Versions of a line that were measured with one answer, without another answer between them.

    :param fact: The fact's name, or ``on_panic.`` and an ``<on_panic>`` value: since when it is accepted.
    :param answer: The answer; never ``unknown``.
    :param emulator: The program's name.
    :param line: See `Build.line`.
    :param first: The first version with this answer.
    :param last: The last version with this answer.
    :param machine: The alias of the machine type, ``default`` for the default one; empty for a fact of
        the emulator.
    :param notifier: The model of the notifier; empty for the machine type's own one, and for a fact that
        is not about a notifier.
    :param exact: True if the release right before `first` was also measured, and has another answer.
        False if `first` is the earliest version that was measured, or releases before it were not
        measured: the answer may have changed before `first`.
    :param text: The range in words: ``since 1.7``, ``at or before 5.2``, ``never in 0.12``.
    """

    fact: str
    emulator: str
    line: str
    answer: RangeAnswer
    first: str
    last: str
    text: str
    machine: str = ""
    notifier: RangeNotifier = ""
    exact: bool = False


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """Every build, machine type, notifier and fact.

    :param schema_version: The version of this form.
    :param facts: The questions, in the order of the columns.
    :param builds: By target, emulator, version and line.
    :param ranges: Derived from `builds`, by fact.
    :param profiles: What machine types do, each once.
    :param notifiers: What notifiers do, each once.
    :param statements: Answers, each once.
    :param evidence: Excerpts of conversations.  Their lines start with ``$`` (a start of the emulator),
        ``->`` (what it was sent), ``<-`` (what it sent) or ``=`` (how it ended); ``{machine}`` stands for
        the machine type.
    :param libvirts: What libvirts do, by the name of the record and in the order of their versions.
    """

    schema_version: Literal[2] = 2
    facts: list[MatrixFact]
    builds: list[Build]
    ranges: list[Range]
    profiles: list[Profile]
    notifiers: list[MatrixNotifier]
    statements: list[Statement]
    evidence: list[list[str]]
    libvirts: dict[str, LibvirtRecord] = {}

    def to_json(self) -> bytes:
        """Return the matrix as JSON."""
        return msgspec.json.encode(self)

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """Return the JSON Schema of a matrix: the file that is installed with the package."""
        return read_schema(__package__, "matrix.schema.json")
