"""What a policy becomes on libvirt: the mapping, as a pure function.

libvirt acts on a guest's panic only, as ``<on_crash>`` says.  So a policy's ``<on_panic>`` becomes
libvirt's ``<on_crash>``.  What no value of ``<on_crash>`` expresses is left to ``onpanic watch``, and
noted.

Alternative considered: a table of every value, with and without coredump, for each libvirt and
notifier; most of its 80 lines would be the same.
"""

import msgspec
from msgspec.structs import replace

from onpanic.probe.decision.policy import Hypervisor, Policy
from onpanic.probe.emulator.notifier_models import PCI_TYPE, NotifierModel
from onpanic.shims.translation.libvirt_features import Libvirt
from onpanic.shims.translation.notes import Note
from onpanic.shims.translation.xen_notes import notes_of_libvirt

__all__ = ("AddedNotifier", "DomainChanges", "Note", "TranslationContext", "changes_for", "default_value")

# libvirt's <on_crash> for each value that acts on a panic, without and with a coredump
_ON_CRASH = {
    "restart": ("restart", "coredump-restart"),
    "destroy": ("destroy", "coredump-destroy"),
    "preserve": ("preserve", "preserve"),
    "rename-restart": ("preserve", "preserve"),
    "pause": ("preserve", "preserve"),
}


class AddedNotifier(msgspec.Struct, frozen=True):
    """A panic notifier that is added to a domain.

    :param model: libvirt's name of it.
    :param device: The QEMU type to add through ``<qemu:commandline>``; empty if ``<panic>`` adds it.
    """

    model: NotifierModel
    device: str = ""


class TranslationContext(msgspec.Struct, frozen=True):
    """Everything but the policy that the mapping depends on.

    :param hypervisor: ``qemu`` or ``xen``; None for one that reports no panics.
    :param notifiers: libvirt's models of the notifiers that the domain has.
    :param added: The notifier that is added for a policy that acts; None if the domain has one, or none is
        needed.
    :param builtin: The QEMU type of a pvpanic that the machine type creates by itself; empty without one.
    :param acpi: Whether the guest has ACPI.
    :param libvirt: What libvirt supports.
    :param slot: A free slot of the root PCI bus; None to leave the choice to QEMU.
    :param implied: libvirt's models of notifiers that the guest can use though the domain does not name them.
    :param fatal: The code of the note on an end of the guest that QEMU reports as a panic without a notifier;
        empty if there is none.
    :param reset_ends: What makes a reset end the guest, see `DomainMachine.reset_ends`; empty without.
    :param quits: Whether a panic ends QEMU before libvirt can make the dump of ``coredump-destroy``.
    :param config_file: The file of ``-readconfig``; empty without.
    :param vmcoreinfo: The state of the domain's vmcoreinfo device, see `DomainMachine.vmcoreinfo`.
    :param without_vmcoreinfo: Why the domain is not given one, in a few words; empty if it can be.
    :param guest_type: libvirt's machine type for a Xen guest of its type; empty for others.
    """

    hypervisor: Hypervisor | None
    notifiers: tuple[str, ...]
    added: AddedNotifier | None
    builtin: str
    acpi: bool
    libvirt: Libvirt
    slot: int | None = None
    implied: tuple[str, ...] = ()
    fatal: str = ""
    reset_ends: str = ""
    quits: bool = False
    config_file: str = ""
    vmcoreinfo: str = ""
    without_vmcoreinfo: str = "not asked"
    guest_type: str = ""


class DomainChanges(msgspec.Struct, frozen=True):
    """What a policy becomes.

    :param on_crash: The value of libvirt's ``<on_crash>``; None to leave it out.
    :param panic: The model of the ``<panic>`` to add; None to add none.
    :param arguments: Arguments to add to QEMU's command line.
    :param notes: What libvirt alone does not do, and side effects.
    :param vmcoreinfo: Whether the vmcoreinfo device is switched on.
    """

    on_crash: str | None
    panic: str | None = None
    arguments: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    vmcoreinfo: bool = False

    @property
    def watch_codes(self) -> list[str]:
        """The codes of what ``onpanic watch`` does, since libvirt alone does not."""
        return [note.code for note in self.notes if note.code.startswith("watch-")]


def default_value(hypervisor: Hypervisor | None) -> str:
    """Return what ``default`` means: ``crash`` on Xen, ``ignore`` otherwise (RFC v2 of 2013)."""
    return "crash" if hypervisor == "xen" else "ignore"


def changes_for(
    policy: Policy, context: TranslationContext, *, with_vmcoreinfo: bool = False
) -> DomainChanges:
    """Return what an accepted policy becomes.

    :param policy: A policy that `onpanic.probe.decide` has accepted.
    :param context: What it is translated for.
    :param with_vmcoreinfo: Whether to switch the vmcoreinfo device on where the guest can have it.
    """
    value = policy.on_panic
    if value == "default":
        value = default_value(context.hypervisor)
    acts = value not in ("crash", "ignore")
    changes = (
        _acting(policy, context)
        if acts
        else _as_on_crash(policy, context)
        if value == "crash"
        else _ignoring(policy, context)
    )
    if context.vmcoreinfo == "on":
        return changes
    if with_vmcoreinfo and not context.without_vmcoreinfo:
        return replace(changes, vmcoreinfo=True)
    if with_vmcoreinfo:
        note = Note.of("vmcoreinfo-not-added", context.without_vmcoreinfo)
    elif acts and not context.without_vmcoreinfo:
        note = Note.of("vmcoreinfo-off")
    else:
        return changes
    return replace(changes, notes=(*changes.notes, note))


def _as_on_crash(policy: Policy, context: TranslationContext) -> DomainChanges:
    """Return the changes for ``crash`` on Xen, whose ``<on_crash>`` is the policy's."""
    renames = policy.on_crash == "rename-restart"  # libvirt's driver would restart it under its own name
    action = "preserve" if renames else policy.crash_action
    has_device = bool(context.notifiers)  # which Xen's driver does not add
    notes = notes_of_libvirt(action, context.guest_type, has_panic_device=has_device)
    return DomainChanges(action, notes=(Note.of("watch-renames"), *notes) if renames else notes)


def _ignoring(policy: Policy, context: TranslationContext) -> DomainChanges:
    """Return the changes for ``ignore``."""
    if context.notifiers or context.implied:
        notes = [] if context.notifiers else [Note.of("hyperv-flag-reports")]
        if context.libvirt.preserve_running:
            return DomainChanges("preserve-running", notes=(*notes, *_common_notes(policy, context)))
        notes.append(Note.of("watch-continues", str(context.libvirt.lacking("preserve_running"))))
        return DomainChanges("preserve", notes=(*notes, *_common_notes(policy, context)))
    if context.fatal:  # not preserve-running: the CPU may fail again at once, and again
        return DomainChanges("preserve", notes=(Note.of(context.fatal), *_common_notes(policy, context)))
    arguments = ("-global", f"{context.builtin}.ioport=0") if context.builtin else ()
    notes = [Note.of("builtin-moved-away")] if context.builtin else []
    # Nothing reports a panic, so libvirt never acts on the value, but it must accept it
    qemu = context.hypervisor == "qemu"
    value = "preserve" if qemu and policy.on_crash == "rename-restart" else policy.crash_action
    return DomainChanges(value, arguments=arguments, notes=(*notes, *_common_notes(policy, context)))


def _acting(policy: Policy, context: TranslationContext) -> DomainChanges:
    """Return the changes for a value that acts on a panic, which needs a notifier."""
    notes: list[Note] = []
    panic: str | None = None
    arguments: tuple[str, ...] = ()
    added = context.added
    if added and added.device:
        # Without an address QEMU would take a slot that libvirt has given to another device
        at_slot = added.device == PCI_TYPE and context.slot is not None
        arguments = ("-device", f"{added.device},addr={context.slot:#x}" if at_slot else added.device)
        notes.append(Note.of("device-by-command-line", f"{context.libvirt.lacking('pci')}: {added.device}"))
    elif added:
        panic = added.model
    if not context.acpi and {*context.notifiers, *([added.model] if added else [])} == {"isa"}:
        notes.append(Note.of("guest-needs-acpi"))
    value = _ON_CRASH[policy.on_panic][policy.coredump]
    if policy.grace:  # it would act at once
        value = "preserve"
        notes.append(Note.of("watch-waits", f"{policy.grace:g} s"))
    if policy.on_panic == "restart" and context.reset_ends:  # libvirt's restart is a reset
        value = "preserve"
        notes.append(Note.of("watch-restarts", context.reset_ends))
    if value == "coredump-destroy" and context.quits:
        value = "preserve"
        notes.append(Note.of("watch-destroys", str(context.libvirt.lacking("checks_actions"))))
    if policy.coredump:
        notes.append(Note.of("watch-dumps" if value == "preserve" else "failed-dump-preserves"))
    if policy.on_panic == "rename-restart":
        notes.append(Note.of("watch-renames"))
    if policy.on_panic == "pause":
        notes.append(Note.of("pause-shows-crashed"))
    return DomainChanges(value, panic, arguments, (*notes, *_common_notes(policy, context)))


def _common_notes(policy: Policy, context: TranslationContext) -> tuple[Note, ...]:
    """Return the notes that every policy on QEMU may have.

    The policy's ``<on_crash>`` is about QEMU's internal error, unlike libvirt's.
    """
    notes: list[Note] = []
    if context.config_file:
        notes.append(Note.of("arguments-from-file", context.config_file))
    if policy.on_crash is not None and context.hypervisor == "qemu":
        dump = ", with a coredump" if policy.on_crash_coredump else ""
        notes.append(Note.of("watch-on-crash", f"{policy.on_crash}{dump}"))
    return tuple(notes)
