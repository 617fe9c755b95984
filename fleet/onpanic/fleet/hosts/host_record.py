"""The record of a host: its emulators with their capability records or its Xen, its libvirt, and its KVM.

`onpanic host` writes it.  The JSON form has schema version 1; the JSON Schema is the file
``host.schema.json`` in this folder.  Nothing in it but `HostRecord.host`, `HostRecord.collected`, the
operating system and the kernel, and when and from what excerpts emulators' records were made, differs between
two hosts that can do the same.

Xen is a member of its own with the shape of an emulator, so that one lookup, `HostRecord.emulator_for`,
serves both.  Rejected: a bare `CapabilityRecord`, which has no place for why Xen could not be asked; and Xen
as one of `HostRecord.emulators`, which an older onpanic would judge by QEMU's rules.
"""

from typing import Any, Literal, Self

import msgspec

from onpanic.core.errors import RecordError
from onpanic.core.json_decoding import decode_json, read_schema
from onpanic.core.untrusted import printable, wellformed
from onpanic.probe.decision.policy import Hypervisor
from onpanic.probe.facts import Fact
from onpanic.probe.record.capability_record import CapabilityRecord, Probed
from onpanic.shims.translation.libvirt_features import Libvirt

__all__ = (
    "XEN",
    "FailedHost",
    "HostAnswer",
    "HostCollected",
    "HostEmulator",
    "HostKvm",
    "HostLibvirt",
    "HostName",
    "HostRecord",
    "HostSystem",
)

HostAnswer = Literal["yes", "no", "unknown"]

#: What stands in the place of a path for Xen, which is no program.
XEN = "xen"

_HINT = "onpanic host writes one"


class HostName(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which host a document is about.

    :param name: The host's name, or the one by which it was asked.
    :param id: Derived from the machine ID (machine-id(5)), which it does not disclose; None if the host has
        no machine ID.
    """

    name: str
    id: str | None = None


class HostSystem(msgspec.Struct, frozen=True, kw_only=True):
    """What the host runs.

    :param os: The operating system, as os-release(5) calls it (``PRETTY_NAME``); empty if it does not say.
    :param kernel: The kernel's release, as ``uname -r`` prints it.
    :param architecture: The machine, as ``uname -m`` prints it.
    """

    os: str
    kernel: str
    architecture: str

    @property
    def guest_architecture(self) -> str:
        """libvirt's name of the architecture, which a guest has whose domain names none."""
        return _UNAME.get(self.architecture, self.architecture)


class HostKvm(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the host has KVM.

    :param usable: Whether the user who asked can use it; ``no`` also if the user may not open it.
    :param hyperv: Whether it offers Hyper-V's enlightenments to guests.
    :param detail: What was seen, or why it is not known.
    """

    usable: HostAnswer
    hyperv: HostAnswer
    detail: str


class HostLibvirt(msgspec.Struct, frozen=True, kw_only=True):
    """The host's libvirt, and what it accepts.

    The members after `version` are those of `onpanic.shims.Libvirt`.

    :param uri: The connection URI.
    :param version: For example ``9.0.0``.
    :param device: Whether it accepts ``<panic>`` in a domain.
    :param models: Whether it accepts ``<panic model='…'>``.
    :param pci: Whether it accepts the model ``pvpanic``.
    :param preserve_running: Whether it accepts ``preserve-running`` for ``<on_crash>``.
    :param vmcoreinfo: Whether it accepts ``<vmcoreinfo>`` in ``<features>``.
    :param checks_actions: Whether its QEMU driver refuses lifecycle actions that it does not carry out.
    :param known_by: How it is known what this libvirt accepts: it was ``asked``, or by its
        ``schema`` or ``version``.
    """

    uri: str
    version: str
    device: bool
    models: bool
    pci: bool
    preserve_running: bool
    vmcoreinfo: bool
    checks_actions: bool
    known_by: Literal["asked", "schema", "version", ""]

    @classmethod
    def of(cls, uri: str, version: str, libvirt: Libvirt) -> Self:
        """Return what is recorded of a libvirt."""
        known = {name: getattr(libvirt, name) for name in _FEATURES}
        return cls(uri=uri, version=version, known_by=libvirt.known_by, **known)

    @property
    def libvirt(self) -> Libvirt:
        """What this libvirt supports, for `onpanic.shims.to_libvirt`."""
        known = {name: getattr(self, name) for name in _FEATURES}
        return Libvirt(name=f"libvirt {self.version}", known_by=self.known_by, **known)


# libvirt's names of what uname -m prints, where they differ
_UNAME = {"i386": "i686", "i486": "i686", "i586": "i686", "arm64": "aarch64", "amd64": "x86_64"}

_FEATURES = ("device", "models", "pci", "preserve_running", "vmcoreinfo", "checks_actions")


class HostEmulator(msgspec.Struct, frozen=True, kw_only=True):
    """An emulator of the host, or its Xen.

    :param path: Its path, as libvirt has it or as the distribution installs it; ``xen`` for Xen.
    :param found_in: Who knows it: ``libvirt`` has it in its capabilities, ``path`` if it is a program with
        QEMU's name.  For Xen who was asked: ``libvirt``, or ``path`` for the program xl.
    :param runs: libvirt's names of the architectures whose guests the host runs with this emulator, if their
        domain does not name another one.
    :param domain_types: The domain types that libvirt starts it with, such as ``kvm``; empty without libvirt.
    :param machine_types: The names of all its machine types; empty if it did not say.
    :param aliases: The machine types that aliases stand for.
    :param record: What it can do with the machine types that were asked about; None if it could not be asked.
    :param problem: Why it could not be asked; empty if it could.
    :param other_paths: Other names of the same program, such as ``/usr/bin/kvm``.
    """

    path: str
    found_in: list[Literal["libvirt", "path"]]
    runs: list[str]
    domain_types: list[str]
    machine_types: list[str]
    aliases: dict[str, str]
    record: CapabilityRecord | None
    problem: str = ""
    other_paths: list[str] = []

    def __post_init__(self) -> None:
        """Refuse a record of the other hypervisor.

        :raise ValueError: When it has one; a document with it is not the record of a host.
        """
        if self.record is not None and self.record.hypervisor != self.hypervisor:
            raise ValueError(f"the record of {printable(self.path, 60)} is about {self.record.hypervisor}")

    @property
    def hypervisor(self) -> Hypervisor:
        """Whose guests it runs: ``qemu`` or ``xen``."""
        return "xen" if self.path == XEN else "qemu"


class HostCollected(msgspec.Struct, frozen=True):
    """When and by what a host's record was made.

    :param at: By the host's clock: UTC, RFC 3339.
    :param by: The program.
    :param seconds: How long it took.
    """

    at: str
    by: str
    seconds: float


class HostRecord(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known about one host.

    :param schema_version: The version of this form.
    :param host: Which host it is.
    :param collected: When and by what the record was made.
    :param system: What the host runs.
    :param kvm: Whether it has KVM.
    :param libvirt: None if the host has none, or it could not be asked.
    :param libvirt_found: Whether the host has a libvirt; ``unknown`` if it may have one that could not be
        asked, and then `problems` says why.
    :param emulators: The host's emulators, by path; empty in a dom0, where QEMU serves Xen.
    :param problems: What could not be found out, each with the other side's own words.
    :param xen: The Xen of which the host is the dom0; None if it is none.
    """

    schema_version: Literal[1] = 1
    host: HostName
    collected: HostCollected
    system: HostSystem
    kvm: HostKvm
    libvirt: HostLibvirt | None
    libvirt_found: HostAnswer = "unknown"
    emulators: list[HostEmulator]
    problems: list[str] = []
    xen: HostEmulator | None = None

    def __post_init__(self) -> None:
        """Refuse a Xen in an emulator's place, and the reverse: each is known by its path.

        :raise ValueError: When one is; a document with it is not the record of a host.
        """
        if any(one.path == XEN for one in self.emulators):
            raise ValueError("Xen is among the emulators")
        if self.xen is not None and self.xen.path != XEN:
            raise ValueError(f"its Xen is {printable(self.xen.path, 60)}")

    def every_emulator(self) -> list[HostEmulator]:
        """Return what runs guests on the host: its emulators, and its Xen."""
        return [*self.emulators, self.xen] if self.xen else self.emulators

    def emulator_for(self, architecture: str, hypervisor: Hypervisor = "qemu") -> HostEmulator | None:
        """Return what runs a hypervisor's guests of an architecture; None if nothing does.

        :param architecture: libvirt's name of it.
        """
        every = self.every_emulator()
        return next((one for one in every if architecture in one.runs and one.hypervisor == hypervisor), None)

    def comparable(self) -> Self:
        """Return the record without what differs between hosts that can do the same."""
        return msgspec.structs.replace(
            self,
            host=_NAME,
            collected=_COLLECTED,
            system=HostSystem(os="", kernel="", architecture=self.system.architecture),
            emulators=[_comparable(one) for one in self.emulators],
            xen=_comparable(self.xen) if self.xen else None,
        )

    def every_problem(self) -> list[str]:
        """Return what could not be found out, about the host and about what runs guests on it."""
        found = list(self.problems)
        for one in self.every_emulator():
            words = [one.problem] if one.record is None else one.record.problems
            found += [word if word.startswith(one.path) else f"{one.path}: {word}" for word in words]
        return found

    def to_json(self) -> bytes:
        """Return the record as one line of JSON."""
        return msgspec.json.encode(wellformed(msgspec.to_builtins(self)))

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read a record.

        :raise RecordError: When it is not a record of a host, or has another schema version.
        """
        try:
            return decode_json(data, cls)
        except ValueError as error:
            raise RecordError(f"not a record of a host: {error}", _HINT) from error

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """Return the JSON Schema of a record: the file that is installed with the package."""
        return read_schema(__package__, "host.schema.json")


_NAME = HostName("")
_COLLECTED = HostCollected("", "", 0)
_PROBED = Probed("", "", 0)


def _comparable(emulator: HostEmulator) -> HostEmulator:
    """Return an emulator without when its record was made, and without excerpts."""
    if emulator.record is None:
        return emulator
    replace = msgspec.structs.replace
    return replace(emulator, record=_without_excerpts(replace(emulator.record, probed=_PROBED)))


def _without_excerpts(record: CapabilityRecord) -> CapabilityRecord:
    """Return a record without excerpts, and without the numbers by which facts refer to them."""
    if record.evidence is msgspec.UNSET:
        return record
    replace = msgspec.structs.replace

    def plain(facts: dict[str, Fact]) -> dict[str, Fact]:
        return {name: replace(fact, evidence=msgspec.UNSET) for name, fact in facts.items()}

    machines = [
        replace(
            machine,
            facts=plain(machine.facts),
            notifiers=[replace(one, facts=plain(one.facts)) for one in machine.notifiers],
        )
        for machine in record.machines
    ]
    return replace(record, facts=plain(record.facts), machines=machines, evidence=msgspec.UNSET)


class FailedHost(msgspec.Struct, frozen=True, kw_only=True):
    """The document that stands for a host that did not answer; whoever collects records writes it.

    :param failure: Why there is no record, in one line.
    :param at: When it was asked: UTC, RFC 3339; empty if that is not known.
    """

    schema_version: Literal[1] = 1
    host: HostName
    failure: str
    at: str = ""
