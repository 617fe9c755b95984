"""The capability record: all facts about one emulator, and the decision.

`from_conversations.record_of` makes it from conversations, `CapabilityRecord.from_json` reads it from JSON.
The JSON form has schema version 2; the JSON Schema ships beside this module.  Version 1, which had one
notifier for each machine type, is still read.
"""

from typing import Any, Literal, Self, TypeVar

import msgspec

from onpanic.core.errors import RecordError
from onpanic.core.json_decoding import read_schema
from onpanic.core.untrusted import wellformed
from onpanic.probe.decision.policy import ON_PANIC, Hypervisor, Policy
from onpanic.probe.decision.rules import Capabilities, Decision, decide
from onpanic.probe.emulator.notifier_models import NotifierModel
from onpanic.probe.facts import NOTIFIER_QUESTIONS, Fact
from onpanic.probe.observations.notifiers import architectural_notifier
from onpanic.probe.record.version_1 import upgraded

__all__ = (
    "Accepted",
    "Builtin",
    "CapabilityRecord",
    "ChangedOption",
    "Emulator",
    "MachineRecord",
    "Notifier",
    "OnPanic",
    "Probed",
    "Refused",
    "capabilities_of",
    "on_panic_of",
)


class ChangedOption(msgspec.Struct, frozen=True):
    """An option of the command that the probe did not use as it was.

    :param option: The option, with its argument.
    :param became: What it was replaced by; empty if it was left out.
    :param why: Why.
    """

    option: str
    became: str
    why: str


class Emulator(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which emulator, or which Xen, a record is about.

    :param command: How it is started, as the user has it; empty for a monitor that was already running, and
        for Xen.
    :param target: For example ``x86_64``; empty if it did not say.
    :param version: For example ``7.2.22``.
    :param package: The distributor's words, e.g. ``Debian 1:7.2+dfsg-7+deb12u18+b3``.
    :param changes: What the probe changed about the command before it started it.
    :param hypervisor: ``xen`` for a Xen host, whose toolstack takes QEMU's place.
    :param toolstack: Which toolstack of Xen was asked: ``xl``, or libvirt with its version; else empty.
    """

    command: list[str]
    target: str
    version: str
    package: str
    changes: list[ChangedOption] = []
    hypervisor: Hypervisor = "qemu"
    toolstack: str = ""

    @property
    def build(self) -> str:
        """Which build it is, for people: ``QEMU 7.2.22 (Debian …), x86_64``."""
        package = f" ({self.package})" if self.package else ""
        name = "Xen" if self.hypervisor == "xen" else "QEMU"
        return f"{name} {self.version}{package}, {self.target or 'unknown target'}"


class Help(msgspec.Struct, frozen=True):
    """What else an accepted policy needs.

    :param code: A code of the catalogue, which never changes its meaning.
    :param reason: What the code says.
    :param remedy: What to do.
    """

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


class Refused(msgspec.Struct, frozen=True, omit_defaults=True):
    """A refused value.

    The refusals of a `Notifier` have the code only; a record would otherwise repeat the rest many times.

    :param code: A code of the catalogue, which never changes its meaning.
    :param reason: Why the value is refused.
    :param remedy: What to do.
    """

    code: str
    reason: str = ""
    remedy: str = ""


class OnPanic(msgspec.Struct, frozen=True):
    """The decision: every ``<on_panic>`` value is either accepted or refused.

    :param accepted: The accepted values, by their names.
    :param refused: The refused values, by their names.
    """

    accepted: dict[str, Accepted]
    refused: dict[str, Refused]


class Notifier(msgspec.Struct, frozen=True):
    """A panic notifier of a machine type: what is known about it, and the decision if a guest has it.

    :param model: libvirt's name: ``isa``, ``pvpanic`` (PCI), ``hyperv``, ``pseries`` or ``s390``.
    :param type: The QOM type of the device; None if it is not a device, or the emulator has none.
    :param facts: What is known about it, by the names of facts.
    :param event_mask: The event bits that it offers to the guest, None if they were not read.
    :param on_panic: The decision for a guest that has it.
    """

    model: NotifierModel
    type: str | None
    facts: dict[str, Fact]
    event_mask: int | None
    on_panic: OnPanic


class Builtin(msgspec.Struct, frozen=True):
    """A pvpanic that the machine type creates by itself.

    :param type: Its QOM type.
    :param port: Its I/O port; None if it has none.
    """

    type: str
    port: int | None


class MachineRecord(msgspec.Struct, frozen=True):
    """All facts about one machine type, and the decision.

    :param name: The name, not an alias; ``default`` if the emulator cannot say.
    :param aliases: Its aliases.
    :param default: Whether it is the emulator's default.
    :param facts: Those of the machine type, and those of the notifier that `notifier` names.
    :param on_panic: The decision for that notifier.
    :param notifier: The model of the best notifier that works, or else of one that the guest can have; None
        if it can have none, or nothing is known.
    :param notifiers: What is known about each model; in records of version 1 of one only.
    :param builtin: A pvpanic that the machine type creates by itself; None without one.
    :param started: False if it does not start here (Xen's, without Xen).
    :param problem: Why not everything could be asked, empty if it could.
    """

    name: str
    aliases: list[str]
    default: bool
    facts: dict[str, Fact]
    on_panic: OnPanic
    notifier: NotifierModel | None = None
    notifiers: list[Notifier] = []
    builtin: Builtin | None = None
    started: bool = True
    problem: str = ""

    def notifier_named(self, model: str | None = None) -> Notifier | None:
        """Return what is known about a notifier; None if the record does not say.

        :param model: libvirt's name of it; None for the machine's own, see `notifier`.
        """
        wanted = self.notifier if model is None else model
        return next((one for one in self.notifiers if one.model == wanted), None)

    @property
    def incomplete(self) -> bool:
        """True if a problem left a fact unknown that is always asked."""
        unknown = {name for name, fact in self.facts.items() if fact.answer == "unknown"}
        on_request = {question.name for question in NOTIFIER_QUESTIONS.values() if question.on_request}
        return bool(self.problem and unknown - on_request)


class Probed(msgspec.Struct, frozen=True, omit_defaults=True):
    """When and by what a record was made.

    :param at: The time, UTC, as RFC 3339 has it.
    :param by: The program and its version.
    :param seconds: How long it took.
    :param source: Where the emulator or its answers come from, e.g. ``Debian trixie``; empty for an
        emulator of the host.
    """

    at: str
    by: str
    seconds: float
    source: str = ""


class CapabilityRecord(msgspec.Struct, frozen=True, kw_only=True):
    """All facts about one emulator, or one Xen host, and the decision.

    :param schema_version: The version of this form.
    :param emulator: Which emulator, or which Xen, it is about.
    :param facts: The facts about the emulator as a whole, by their names.
    :param machines: The machine types that were asked about.
    :param probed: When and by what it was made.
    :param problems: What went wrong, each with the emulator's own words.
    :param evidence: Excerpts of the conversations, which facts refer to by index; unset where they were not
        kept.
    """

    schema_version: Literal[2] = 2
    emulator: Emulator
    facts: dict[str, Fact]
    machines: list[MachineRecord]
    probed: Probed
    problems: list[str] = []
    evidence: list[list[str]] | msgspec.UnsetType = msgspec.UNSET

    @property
    def hypervisor(self) -> Hypervisor:
        """Whose record it is: ``qemu`` or ``xen``."""
        return self.emulator.hypervisor

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
        if not self.machines:
            raise RecordError("the record has no machine types", "probe again")
        known = ", ".join(m.name for m in self.machines)
        hint = "name one of these" if self.hypervisor == "xen" else "probe again with --machine"
        raise RecordError(f"the record has no machine type {name!r}; it has {known}", hint)

    def capabilities(self, machine: str | None = None, notifier: str | None = None) -> Capabilities:
        """Return what the decision is made from.

        :param machine: Name or alias of the machine type; the default one if None.
        :param notifier: libvirt's model of the notifier; the best one if None.
        :raise RecordError: When the record has no such machine type, or does not know the notifier.
        """
        found = self.machine(machine)
        facts = found.facts
        if notifier is not None and notifier != found.notifier:
            named = found.notifier_named(notifier)
            if named is None:
                raise RecordError(
                    f"the record says nothing about the notifier {notifier} of {found.name}", "probe again"
                )
            facts = found.facts | named.facts
        return capabilities_of(self.facts, facts, self.emulator.target, found.name, found.builtin)

    def accepts(
        self,
        value: str,
        *,
        coredump: bool = False,
        on_crash: str | None = None,
        on_crash_coredump: bool = False,
        grace: float | None = None,
        machine: str | None = None,
        notifier: str | None = None,
    ) -> Decision:
        """Decide whether QEMU, or a Xen host, can honour a policy, by the rules of `onpanic.probe.decide`.

        :param value: The ``<on_panic>`` value.
        :param grace: The grace period in seconds; None for none.
        :param machine: Name or alias of the machine type; the default one if None.
        :param notifier: libvirt's model of the notifier that the guest has; the best one if None.
        :raise RecordError: When the record has no such machine type, or does not know the notifier.
        """
        policy = Policy(value, coredump, on_crash, on_crash_coredump, grace)
        return decide(policy, self.hypervisor, self.capabilities(machine, notifier))

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
            if version not in (1, 2):
                raise RecordError(
                    f"the record has schema version {version}, not 1 or 2",
                    "probe again, or use the onpanic that wrote it",
                )
            if version == 1:
                return _decided_again(msgspec.convert(upgraded(msgspec.json.decode(data)), cls))
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RecordError(
                f"not a capability record: {error}", "onpanic probe --format json writes one"
            ) from error

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """Return the JSON Schema that every record conforms to: the one that ships with the package."""
        return read_schema(__package__, "record.schema.json")


Record = TypeVar("Record", bound=CapabilityRecord)


class _Versioned(msgspec.Struct):
    schema_version: int


def capabilities_of(
    emulator: dict[str, Fact],
    machine: dict[str, Fact],
    target: str,
    name: str,
    builtin: Builtin | None = None,
) -> Capabilities:
    """Return what the decision is made from: the facts of an emulator and of one of its machine types.

    :param machine: The facts of the machine type and of the notifier.
    """
    architectural = architectural_notifier(target, name)
    return Capabilities({**emulator, **machine}, architectural, builtin.type if builtin else "pvpanic")


def _decided_again(record: Record) -> Record:
    """Return a record with every decision made from its facts, as an older onpanic may have erred."""
    replace = msgspec.structs.replace
    machines = []
    for machine in record.machines:
        notifiers = [
            replace(one, on_panic=on_panic_of(record.capabilities(machine.name, one.model), codes_only=True))
            for one in machine.notifiers
        ]
        on_panic = on_panic_of(record.capabilities(machine.name))
        machines.append(replace(machine, on_panic=on_panic, notifiers=notifiers))
    return replace(record, machines=machines)


def on_panic_of(
    capabilities: Capabilities, hypervisor: Hypervisor = "qemu", *, codes_only: bool = False
) -> OnPanic:
    """Decide every ``<on_panic>`` value.

    :param codes_only: Leave out the reasons and remedies of refusals.
    """
    accepted: dict[str, Accepted] = {}
    refused: dict[str, Refused] = {}
    for value in ON_PANIC:
        decision = decide(Policy(value), hypervisor, capabilities)
        if decision:
            needs = Help(decision.code, decision.reason, decision.remedy) if decision.code else None
            accepted[value] = Accepted(
                bool(decide(Policy(value, coredump=True), hypervisor, capabilities)), needs
            )
        else:
            words = () if codes_only else (decision.reason, decision.remedy)
            refused[value] = Refused(decision.code, *words)
    return OnPanic(accepted, refused)
