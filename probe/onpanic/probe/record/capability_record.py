"""The capability record: all facts about one emulator, and the decision.

`from_conversations.record_of` makes it from conversations, `CapabilityRecord.from_json` reads it from JSON.
The JSON form has schema version 1; the JSON Schema ships beside this module.
"""

from typing import Any, Literal, Self

import msgspec

from onpanic.core.errors import RecordError
from onpanic.core.untrusted import wellformed
from onpanic.probe.decision.policy import ON_PANIC, Policy
from onpanic.probe.decision.rules import Capabilities, Decision, decide
from onpanic.probe.facts import MACHINE_QUESTIONS, Fact
from onpanic.probe.observations.machines import architectural_notifier

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

#: libvirt's names for panic notifiers: the devices that can be added, and those that architectures bring.
NotifierModel = Literal["isa", "pvpanic", "s390", "pseries"]


class Emulator(msgspec.Struct, frozen=True):
    """Which emulator a record is about.

    :param command: How it is started; empty for a monitor that was already running.
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
        return f"QEMU {self.version}{package}, {self.target or 'unknown target'}"


class Help(msgspec.Struct, frozen=True):
    """What else an accepted policy needs: a code of the catalogue with its reason and remedy."""

    code: str
    reason: str
    remedy: str


class Accepted(msgspec.Struct, frozen=True, omit_defaults=True):
    """An accepted value.

    :param coredump: True if coredump may be added.
    :param needs: What else must be done, None for nothing.
    """

    coredump: bool
    needs: Help | None = None


class Refused(msgspec.Struct, frozen=True):
    """A refused value: a code of the catalogue with its reason and remedy."""

    code: str
    reason: str
    remedy: str = ""


class OnPanic(msgspec.Struct, frozen=True):
    """The decision: every ``<on_panic>`` value is either accepted or refused."""

    accepted: dict[str, Accepted]
    refused: dict[str, Refused]


class Notifier(msgspec.Struct, frozen=True):
    """The panic notifier that the facts are about.

    :param model: libvirt's name: ``isa``, ``pvpanic`` (PCI), ``s390`` or ``pseries``.
    :param event_mask: The event bits that it offers to the guest, None if they were not read.
    """

    model: NotifierModel
    event_mask: int | None = None


class MachineRecord(msgspec.Struct, frozen=True):
    """All facts about one machine type, and the decision.

    :param name: The name, not an alias; ``default`` if the emulator cannot say.
    :param started: False if it does not start here (Xen's, without Xen).
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
        """True if a problem left a fact unknown that is always asked."""
        unknown = {name for name, fact in self.facts.items() if fact.answer == "unknown"}
        on_request = {question.name for question in MACHINE_QUESTIONS.values() if question.on_request}
        return bool(self.problem and unknown - on_request)


class Probed(msgspec.Struct, frozen=True, omit_defaults=True):
    """When and by what a record was made; the time is UTC, RFC 3339.

    :param source: Where the emulator or its answers come from, e.g. ``Debian trixie``; empty for an
        emulator of the host.
    """

    at: str
    by: str
    seconds: float
    source: str = ""


class CapabilityRecord(msgspec.Struct, frozen=True, kw_only=True):
    """All facts about one emulator, and the decision.

    :param problems: What went wrong, each with the emulator's own words.
    :param evidence: Excerpts of the conversations, which facts refer to by index, see `evidence`; unset
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
        """Return what the decision is made from.  Raises `RecordError` as `machine` does."""
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
        """Decide whether QEMU can honour a policy, by the rules of `onpanic.probe.decide`.

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

        :raise RecordError: When it is not a record, or has another schema version.
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
        """Return the JSON Schema that every record conforms to: the one that ships with the package."""
        from importlib.resources import files  # slow to import, and rarely needed

        schema: dict[str, Any] = msgspec.json.decode(
            files(__package__).joinpath("record.schema.json").read_bytes()
        )
        return schema


class _Versioned(msgspec.Struct):
    schema_version: int


def capabilities_of(
    emulator: dict[str, Fact], machine: dict[str, Fact], target: str, name: str
) -> Capabilities:
    """Return what the decision is made from: the facts of an emulator and of one of its machine types."""
    architectural = architectural_notifier(target, name)
    return Capabilities({**emulator, **machine}, architectural.model if architectural else None)


def on_panic_of(capabilities: Capabilities) -> OnPanic:
    """Decide every ``<on_panic>`` value."""
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
