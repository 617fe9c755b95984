"""What a policy becomes on libvirt: the table, as a pure function.

libvirt has one word for one thing, ``<on_crash>`` for a guest's panic, and acts on
nothing else.  So a policy's ``<on_panic>`` becomes libvirt's ``<on_crash>``; what no word
of libvirt's says is left to whoever watches the domain, and each such rest is a note.

A table of every value, with and without coredump, for each libvirt and notifier, was
considered and left: most of its 80 lines would say the same.
"""

from typing import Literal

import msgspec

from onpanic.probe.catalogue import CATALOGUE
from onpanic.probe.decision import Hypervisor, Policy

from .libvirt_versions import Libvirt

__all__ = ("Note", "Plan", "Situation", "default_value", "plan")

# libvirt's word for each value that acts, and its word with a dump before
_WORDS = {
    "restart": ("restart", "coredump-restart"),
    "destroy": ("destroy", "coredump-destroy"),
    "preserve": ("preserve", "preserve"),
    "rename-restart": ("preserve", "preserve"),
    "pause": ("preserve", "preserve"),
}


class Note(msgspec.Struct, frozen=True):
    """Something that libvirt alone does not do, or that was done for the policy's sake.

    :param code: An entry of the catalogue of kind ``note``.
    :param reason: What it is.
    :param remedy: Who does it instead, or what to do about it.
    """

    code: str
    reason: str
    remedy: str

    @classmethod
    def of(cls, code: str, detail: str = "") -> "Note":
        """Return the note with a code of the catalogue, and a detail added in brackets."""
        entry = CATALOGUE[code]
        return cls(code, f"{entry.reason} ({detail})" if detail else entry.reason, entry.remedy)


class Situation(msgspec.Struct, frozen=True):
    """All that the table looks at beside the policy.

    :param hypervisor: ``qemu`` or ``xen``; None for one that reports no panics.
    :param notifiers: libvirt's models of the notifiers that the domain has.
    :param offered: libvirt's model of the notifier that can be added; None where none can.
    :param builtin: True if the machine type brings a pvpanic that nobody asked for.
    :param acpi: True if the guest has ACPI.
    :param libvirt: What libvirt can say.
    :param slot: A slot of the root PCI bus that is free; None to leave it to QEMU.
    """

    hypervisor: Hypervisor | None
    notifiers: tuple[str, ...]
    offered: Literal["isa", "pvpanic"] | None
    builtin: bool
    acpi: bool
    libvirt: Libvirt
    slot: int | None = None


class Plan(msgspec.Struct, frozen=True):
    """What a policy becomes.

    :param on_crash: libvirt's word; None to leave ``<on_crash>`` out.
    :param panic: The model of the ``<panic>`` to add, None to add none.
    :param arguments: Arguments to add to QEMU's command line.
    :param notes: What libvirt alone will not do, and what else is worth knowing.
    """

    on_crash: str | None
    panic: str | None = None
    arguments: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()


def default_value(hypervisor: Hypervisor | None) -> str:
    """Return what ``default`` means: ``crash`` on Xen, ``ignore`` on everything else (RFC v2)."""
    return "crash" if hypervisor == "xen" else "ignore"


def plan(policy: Policy, situation: Situation) -> Plan:
    """Return what an accepted policy becomes.

    :param policy: One that `onpanic.probe.decide` has accepted.
    :param situation: Where it is to be honoured.
    """
    value = policy.on_panic
    if value == "default":
        value = default_value(situation.hypervisor)
    if value == "crash":
        return _handed_over(policy)
    if value == "ignore":
        return _ignored(policy, situation)
    return _acted_on(policy, situation)


def _handed_over(policy: Policy) -> Plan:
    """Xen: libvirt's ``<on_crash>`` is what is meant."""
    notes = [Note.of("xen-does-not-rename")] if policy.on_crash == "rename-restart" else []
    return Plan(_spelt(policy), notes=tuple(notes))


def _ignored(policy: Policy, situation: Situation) -> Plan:
    if situation.notifiers:
        if situation.libvirt.preserve_running:
            return Plan("preserve-running", notes=_on_crash(policy, situation))
        return Plan(
            "preserve",
            notes=(Note.of("watch-continues", situation.libvirt.name), *_on_crash(policy, situation)),
        )
    arguments = ("-global", "pvpanic.ioport=0") if situation.builtin else ()
    notes = [Note.of("builtin-moved-away")] if situation.builtin else []
    # Nothing reports a panic, so libvirt never looks at the word
    qemu = situation.hypervisor == "qemu"
    word = "preserve" if qemu and policy.on_crash == "rename-restart" else _spelt(policy)
    return Plan(word, arguments=arguments, notes=(*notes, *_on_crash(policy, situation)))


def _acted_on(policy: Policy, situation: Situation) -> Plan:
    notes: list[Note] = []
    panic: str | None = None
    arguments: tuple[str, ...] = ()
    if not situation.notifiers:
        if situation.offered == "pvpanic" and not situation.libvirt.pci:  # it has no model for the device
            # Without an address QEMU would take one that libvirt has given to another device
            place = "" if situation.slot is None else f",addr={situation.slot:#x}"
            arguments = ("-device", f"pvpanic-pci{place}")
            notes.append(Note.of("device-by-command-line", situation.libvirt.name))
        else:
            panic = situation.offered
    if not situation.acpi and {*situation.notifiers, *([panic] if panic else [])} == {"isa"}:
        notes.append(Note.of("guest-needs-acpi"))
    word = _WORDS[policy.on_panic][policy.coredump]
    if policy.coredump:
        notes.append(Note.of("watch-dumps" if word == "preserve" else "failed-dump-preserves"))
    if policy.on_panic == "rename-restart":
        notes.append(Note.of("watch-renames"))
    if policy.on_panic == "pause":
        notes.append(Note.of("pause-shows-crashed"))
    return Plan(word, panic, arguments, (*notes, *_on_crash(policy, situation)))


def _on_crash(policy: Policy, situation: Situation) -> tuple[Note, ...]:
    """Note that libvirt's ``<on_crash>`` is about panics, and the policy's about QEMU's internal error."""
    if policy.on_crash is None or situation.hypervisor != "qemu":
        return ()
    dump = ", with a coredump" if policy.on_crash_coredump else ""
    return (Note.of("watch-on-crash", f"{policy.on_crash}{dump}"),)


def _spelt(policy: Policy) -> str | None:
    """Spell ``<on_crash>`` as libvirt does, which has two words for a coredump."""
    dumps = policy.on_crash_coredump and policy.on_crash in ("destroy", "restart")
    return f"coredump-{policy.on_crash}" if dumps else policy.on_crash
