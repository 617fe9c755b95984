"""The capability record: all facts about one emulator, and the decision.

`reading.record_of` makes it from conversations, `CapabilityRecord.from_json` reads it from
a file.  Its JSON form is schema version 1; the JSON Schema ships beside this module and
is written by ``python -m onpanic.probe.record``.
"""

from typing import Any, Literal, Self

import msgspec

from .decision import ON_PANIC, Capabilities, Decision, Policy, decide
from .errors import RecordError
from .facts import Fact
from .foreign import wellformed
from .machines import architectural_notifier

__all__ = (
    "Accepted",
    "CapabilityRecord",
    "Emulator",
    "MachineRecord",
    "Notifier",
    "NotifierModel",
    "OnPanic",
    "Probed",
    "Refused",
    "capabilities_of",
    "on_panic_of",
)

#: libvirt's names for panic notifiers, those of `launch.Model` and two that architectures bring.
NotifierModel = Literal["isa", "pvpanic", "s390", "pseries"]


class Emulator(msgspec.Struct, frozen=True):
    """Which emulator it is.

    :param command: How it is started; empty for a monitor that was already there.
    :param target: For example ``x86_64``; empty if it did not say.
    :param version: For example ``7.2.22``.
    :param package: The distributor's words, e.g. ``Debian 1:7.2+dfsg-7+deb12u18+b3``.
    """

    command: list[str]
    target: str
    version: str
    package: str

    @property
    def build(self) -> str:
        """Which build it is, for people: ``QEMU 7.2.22 (Debian …), x86_64``."""
        package = f" ({self.package})" if self.package else ""
        return f"QEMU {self.version}{package}, {self.target or 'target not told'}"


class Help(msgspec.Struct, frozen=True):
    """What an accepted policy needs besides: a code of the catalogue with its reason and remedy."""

    code: str
    reason: str
    remedy: str


class Accepted(msgspec.Struct, frozen=True, omit_defaults=True):
    """An accepted value.

    :param coredump: True if coredump may be added.
    :param needs: What has to be done besides, None for nothing.
    """

    coredump: bool
    needs: Help | None = None


class Refused(msgspec.Struct, frozen=True):
    """A refused value: a code of the catalogue with its reason and remedy."""

    code: str
    reason: str
    remedy: str = ""


class OnPanic(msgspec.Struct, frozen=True):
    """The decision: each ``<on_panic>`` value is in one of the two."""

    accepted: dict[str, Accepted]
    refused: dict[str, Refused]


class Notifier(msgspec.Struct, frozen=True):
    """The panic notifier that the facts are about.

    :param model: libvirt's name: ``isa``, ``pvpanic`` (PCI), ``s390`` or ``pseries``.
    :param event_mask: The bits that it offers to the guest, None if they were not seen.
    """

    model: NotifierModel
    event_mask: int | None = None


class MachineRecord(msgspec.Struct, frozen=True):
    """All facts about one machine type, and the decision.

    :param name: The name, not an alias; ``default`` if the emulator has no means to tell.
    :param started: False if it does not start here at all (Xen's, without Xen).
    :param problem: Why not everything could be asked, empty if it could.
    """

    name: str
    aliases: list[str]
    default: bool
    facts: dict[str, Fact]
    on_panic: OnPanic
    notifier: Notifier | None = None
    started: bool = True
    problem: str = ""

    @property
    def incomplete(self) -> bool:
        """True if a problem left a fact unknown that is found out without being asked for."""
        unknown = {name for name, fact in self.facts.items() if fact.answer == "unknown"}
        return bool(self.problem and unknown - {"acpi-exposes-pvpanic"})


class Probed(msgspec.Struct, frozen=True, omit_defaults=True):
    """When and by what a record was made; the time is UTC, RFC 3339.

    :param source: Where the emulator or its words come from, e.g. ``Debian trixie``; empty for an
        emulator that was on the host.
    """

    at: str
    by: str
    seconds: float
    source: str = ""


class CapabilityRecord(msgspec.Struct, frozen=True, kw_only=True):
    """All facts about one emulator, and the decision.

    :param problems: What went wrong on the way, each with the emulator's own words.
    :param evidence: Excerpts of the conversations, for facts to point at, see `excerpts`; unset
        where they were not kept.
    """

    schema_version: Literal[1] = 1
    emulator: Emulator
    facts: dict[str, Fact]
    machines: list[MachineRecord]
    probed: Probed
    problems: list[str] = []
    evidence: list[list[str]] | msgspec.UnsetType = msgspec.UNSET

    def machine(self, name: str | None = None) -> MachineRecord:
        """Return a machine type by its name or alias; without one the default, or the first.

        :raise RecordError: When the record does not have it.
        """
        word = name.partition(",")[0] if name else None  # options may follow, as for QEMU
        for machine in self.machines:
            if word in (machine.name, *machine.aliases) or (name is None and machine.default):
                return machine
        if name is None and self.machines:
            return self.machines[0]
        known = ", ".join(m.name for m in self.machines) or "none"
        raise RecordError(
            f"the record has no machine type {name!r}; it has {known}", "probe again with --machine"
        )

    def capabilities(self, machine: str | None = None) -> Capabilities:
        """Return what the decision looks at.  Raises `RecordError` as `machine` does."""
        found = self.machine(machine)
        return capabilities_of(self.facts, found.facts, self.emulator.target, found.name)

    def accepts(
        self,
        value: str,
        *,
        coredump: bool = False,
        on_crash: str | None = None,
        on_crash_coredump: bool = False,
        machine: str | None = None,
    ) -> Decision:
        """Decide if QEMU can honour a policy, with the rules of `decision.decide`.

        :param value: The ``<on_panic>`` value.
        :param machine: Name or alias of the machine type; the default one if None.
        :raise RecordError: When the record does not have the machine type.
        """
        policy = Policy(value, coredump, on_crash, on_crash_coredump)
        return decide(policy, "qemu", self.capabilities(machine))

    def to_json(self) -> bytes:
        """Return the record as one line of JSON."""
        return msgspec.json.encode(wellformed(msgspec.to_builtins(self)))

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """Read a record.

        :raise RecordError: When it is not one, or is of another schema version.
        """
        try:
            version = msgspec.json.decode(data, type=_Versioned).schema_version
            if version != 1:
                raise RecordError(
                    f"the record has schema version {version}, not 1",
                    "probe again, or use the onpanic that wrote it",
                )
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RecordError(
                f"not a capability record: {error}", "onpanic probe --format json writes one"
            ) from error

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """Return the JSON Schema that every record fits: the one that ships with the package."""
        from importlib.resources import files  # dear to load, and rarely needed

        schema: dict[str, Any] = msgspec.json.decode(
            files(__package__).joinpath("record.schema.json").read_bytes()
        )
        return schema


class _Versioned(msgspec.Struct):
    schema_version: int


def capabilities_of(
    emulator: dict[str, Fact], machine: dict[str, Fact], target: str, name: str
) -> Capabilities:
    """Put together what the decision looks at, from both kinds of facts."""
    architectural = architectural_notifier(target, name)
    return Capabilities({**emulator, **machine}, architectural.model if architectural else None)


def on_panic_of(capabilities: Capabilities) -> OnPanic:
    """Decide every value."""
    accepted: dict[str, Accepted] = {}
    refused: dict[str, Refused] = {}
    for value in ON_PANIC:
        decision = decide(Policy(value), "qemu", capabilities)
        if decision:
            needs = Help(decision.code, decision.reason, decision.remedy) if decision.code else None
            accepted[value] = Accepted(
                bool(decide(Policy(value, coredump=True), "qemu", capabilities)), needs
            )
        else:
            refused[value] = Refused(decision.code, decision.reason, decision.remedy)
    return OnPanic(accepted, refused)


def _main() -> None:
    """Write the JSON Schema of the record."""
    from pathlib import Path

    schema = msgspec.json.schema(CapabilityRecord)
    path = Path(__file__).with_name("record.schema.json")
    path.write_bytes(msgspec.json.format(msgspec.json.encode(schema, order="sorted"), indent=2) + b"\n")


if __name__ == "__main__":
    _main()
