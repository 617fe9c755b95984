"""The matrix: what all records say, each thing said once.

`building.build` makes it from records, and ``matrix.json`` is its JSON form; the JSON Schema
ships beside this module and is written by ``python -m onpanic.matrix.model``.

Most machine types of a build answer alike, and most builds have seen the same lines, so
statements, profiles and excerpts stand in lists of their own and are named by their place
in them.  Considered and left: a table of cells, each with its text (two thousand builds with
a hundred machine types each take gigabytes), and one file a build, as the records are
(a page that works from a file cannot load a second one).
"""

from typing import Any, Literal, get_args

import msgspec

from onpanic.probe.facts import Answer, How

__all__ = ("Build", "Fact", "Machine", "Matrix", "Profile", "Range", "Statement", "rank")


class Fact(msgspec.Struct, frozen=True):
    """A question of the matrix.

    :param name: For example ``cont-after-panic``.
    :param scope: ``emulator``, or ``machine`` if each machine type has its own answer.
    :param asks: The question, in one sentence.
    """

    name: str
    scope: Literal["emulator", "machine"]
    asks: str


class Statement(msgspec.Struct, frozen=True, omit_defaults=True):
    """An answer with what is known about it: a record's fact.

    :param how: How it is known; None for ``unknown``.
    :param detail: What was seen, or what would settle it.
    :param evidence: Place in `Matrix.evidence`; None where the record kept no lines.
    """

    answer: Answer
    how: How | None = None
    detail: str = ""
    evidence: int | None = None


class Profile(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a machine type does when its guest panics; many machine types do the same.

    :param facts: Places in `Matrix.statements`, by the fact's name.
    :param accepted: ``<on_panic>`` values; True if coredump may be added.
    :param refused: ``<on_panic>`` values, with the code that says why (``onpanic explain CODE``).
    :param notifier: libvirt's name of the notifier; None if there is none, or none was seen.
    :param event_mask: The bits that it offers to the guest; None if they were not seen.
    :param started: False if the machine type does not start where it was asked.
    :param problem: Why not everything could be asked.
    """

    facts: dict[str, int]
    accepted: dict[str, bool]
    refused: dict[str, str]
    notifier: str | None = None
    event_mask: int | None = None
    started: bool = True
    problem: str = ""


class Machine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A machine type of a build.

    :param profile: Place in `Matrix.profiles`.
    """

    name: str
    profile: int
    aliases: list[str] = []
    default: bool = False


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """One emulator of one QEMU build.

    :param id: The name of the record's file, without its ending.
    :param emulator: The program's name, e.g. ``qemu-system-x86_64``.
    :param target: For example ``x86_64``; empty if neither it nor its name says.
    :param version: For example ``7.2.22``.
    :param package: The distributor's words, empty for upstream's own.
    :param line: Who builds it: ``Debian``, ``upstream``, ``RHEL``; versions have an order within a line.
    :param era: The years' worth of releases that it belongs to: ``7.x``.
    :param source: Where the record comes from; empty for an emulator that was on the host.
    :param reproduce: The command that asks this emulator again; ``{machine}`` stands for a machine type.
    :param at: When it was asked: UTC, RFC 3339.
    :param by: The program that asked.
    :param facts: Facts of the emulator: places in `Matrix.statements`, by name.
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
    machines: list[Machine]


class Range(msgspec.Struct, frozen=True, omit_defaults=True):
    """Versions of a line that were measured with one answer, with no other answer between them.

    :param fact: The fact's name.
    :param emulator: The program's name.
    :param line: See `Build.line`.
    :param first: The first version with this answer.
    :param last: The last one.
    :param machine: The alias of the machine type that it is about, ``default`` for the default one; empty
        for a fact of the emulator.
    :param exact: True if the release right before `first` was measured too, and answers otherwise.
        False if `first` is the earliest that was measured, or releases between were not: the answer
        may have changed before `first`.
    :param text: The range in words: ``since 1.7``, ``at or before 5.2``, ``never in 0.12``.
    """

    fact: str
    emulator: str
    line: str
    answer: Literal["yes", "no"]
    first: str
    last: str
    text: str
    machine: str = ""
    exact: bool = False


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """Every build, machine type and fact.

    :param facts: The questions, in the order of the columns.
    :param builds: By target, emulator, version and line.
    :param ranges: Derived from `builds`, by fact.
    :param evidence: Excerpts of conversations: lines that start with ``$`` (a start of the emulator),
        ``->`` (what it was sent), ``<-`` (what came) or ``=`` (how it ended); ``{machine}`` in them stands
        for the machine type.
    """

    schema_version: Literal[1] = 1
    facts: list[Fact]
    builds: list[Build]
    ranges: list[Range]
    profiles: list[Profile]
    statements: list[Statement]
    evidence: list[list[str]]

    def to_json(self) -> bytes:
        """Return the matrix as JSON."""
        return msgspec.json.encode(self)

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """Return the JSON Schema that every matrix fits: the one that ships with the package."""
        from importlib.resources import files  # dear to load, and rarely needed

        schema: dict[str, Any] = msgspec.json.decode(
            files(__package__).joinpath("matrix.schema.json").read_bytes()
        )
        return schema


_STRENGTH: tuple[str, ...] = get_args(How)  # strongest first


def rank(how: How | None) -> int:
    """Return how weak a way of knowing is: 0 for the strongest, the greatest for none."""
    return len(_STRENGTH) if how is None else _STRENGTH.index(how)


def _main() -> None:
    """Write the JSON Schema of the matrix."""
    from pathlib import Path

    schema = msgspec.json.schema(Matrix)
    path = Path(__file__).with_name("matrix.schema.json")
    path.write_bytes(msgspec.json.format(msgspec.json.encode(schema, order="sorted"), indent=2) + b"\n")


if __name__ == "__main__":
    _main()
