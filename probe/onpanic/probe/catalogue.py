"""Every code that onpanic prints, with its reason and remedy: what ``onpanic explain`` knows.

Codes are stable: scripts compare them.  A reason is one sentence that can stand alone;
where there is a particular case, its detail is added in brackets.
"""

from typing import Literal

import msgspec

__all__ = ("CATALOGUE", "Entry", "Kind")

Kind = Literal["refusal", "help", "note", "finding", "fact"]


class Entry(msgspec.Struct, frozen=True):
    """What a code means.

    :param code: In lower case, with dashes.
    :param kind: ``refusal`` (of a policy), ``help`` (that an accepted policy needs), ``note`` (on what
        libvirt does of an accepted policy), ``finding`` (of a check) or ``fact``.
    :param reason: One sentence: why, or for a fact the question that it answers.
    :param remedy: What to do about it, or for a fact how it is found out.
    """

    code: str
    kind: Kind
    reason: str
    remedy: str


_ENTRIES = (
    # Refusals, in the order in which they are looked for
    Entry(
        "unknown-value",
        "refusal",
        "this is no value of <on_panic>",
        "use default, crash, ignore, restart, destroy, preserve, rename-restart or pause",
    ),
    Entry(
        "unknown-on-crash",
        "refusal",
        "this is no value of <on_crash>",
        "use destroy, restart, preserve or rename-restart",
    ),
    Entry(
        "coredump-needs-action",
        "refusal",
        "a coredump goes only with a value that acts on the panic",
        "leave coredump out, or use restart, destroy, preserve, rename-restart or pause",
    ),
    Entry(
        "xen-only-crash",
        "refusal",
        "on Xen <on_panic> can only hand the panic over to <on_crash>",
        "use default or crash, and say in <on_crash> what to do",
    ),
    Entry(
        "xen-coredump-on-crash",
        "refusal",
        "Xen makes no coredump when it preserves a domain or restarts it under another name",
        "use coredump with destroy or restart",
    ),
    Entry(
        "crash-needs-xen",
        "refusal",
        "crash means to do as <on_crash> says, which is Xen's way only",
        "name the action itself: restart, destroy, preserve, rename-restart, pause or ignore",
    ),
    Entry(
        "builtin-panic-device",
        "refusal",
        "the machine type brings a pvpanic that nobody asked for, so its presence says nothing",
        "use a machine type without it, or a QEMU without it (1.7 and later have none)",
    ),
    Entry(
        "panic-device-missing",
        "refusal",
        "no panic notifier can be added to this machine type",
        "use a machine type with an ISA or PCI bus, or a build that has pvpanic",
    ),
    Entry(
        "panic-not-reported",
        "refusal",
        "a panic raises no GUEST_PANICKED event",
        "look for -global or events= options that switch the device off",
    ),
    Entry(
        "panic-does-not-stop-guest",
        "refusal",
        "a panic leaves the guest running, so nothing can be done with it as it was",
        "take -action panic=none, or set-action, out of the emulator's command",
    ),
    Entry(
        "cont-refused-after-panic",
        "refusal",
        "a panicked guest cannot be continued: cont is refused until it is reset",
        "use a QEMU with the fix of 2013 (1.7 and later, or a build with it backported)",
    ),
    Entry(
        "probe-inconclusive",
        "refusal",
        "it is not known whether the panic notifier works",
        "find out what the reason names: onpanic probe starts the emulator itself for it",
    ),
    # Refusals of the shims
    Entry(
        "hypervisor-reports-no-panic",
        "refusal",
        "only QEMU and Xen report a guest's panic",
        "use default or ignore",
    ),
    Entry(
        "record-of-another-target",
        "refusal",
        "the record is of an emulator for another architecture than the domain's",
        "give the record of the domain's own emulator",
    ),
    Entry(
        "no-isa-notifier",
        "refusal",
        "isa-pvpanic is an ISA device, and this machine type's panic notifier is none",
        "use -device pvpanic-pci where the machine type has PCI; s390x and pseries need no device",
    ),
    Entry(
        "libvirt-too-old",
        "refusal",
        "this libvirt has no such panic device",
        "use libvirt 1.2.1 or later, 1.3.5 for other models than isa, 9.1.0 for the PCI one",
    ),
    Entry(
        "no-such-panic-model",
        "refusal",
        "libvirt has no such model of <panic> for the domain's architecture",
        "leave the <panic> out: onpanic to-libvirt adds the right one",
    ),
    Entry(
        "guest-did-not-panic",
        "refusal",
        "the guest did not panic, so it is not for onpanic to continue",
        "see why it was stopped; virsh resume, or cont over QMP, lets it run",
    ),
    Entry(
        "guest-needs-reset",
        "refusal",
        "only a reset gets the guest out of this state, and loses what the guest was",
        "allow it with --allow-reset",
    ),
    Entry(
        "no-way-back",
        "refusal",
        "the guest was reset, and still cannot be continued",
        "end the emulator and start it again; with -no-reboot -no-shutdown a reset does not help",
    ),
    # Help that an accepted policy needs
    Entry(
        "ignore-needs-global",
        "help",
        "the machine type brings a pvpanic of its own, which stops the guest unless it is moved away",
        "start the emulator with -global pvpanic.ioport=0",
    ),
    Entry(
        "ignore-needs-set-action",
        "help",
        "the architecture always reports a panic, which stops the guest unless QEMU is told not to",
        "start the emulator with -action panic=none, or send set-action with panic=none over QMP",
    ),
    Entry(
        "ignore-needs-cont",
        "help",
        "the architecture always reports a panic, and this emulator has no known way to go on by itself",
        "send cont over QMP on every GUEST_PANICKED event",
    ),
    # Notes on a translated domain
    Entry(
        "watch-continues",
        "note",
        "libvirt stops the guest when it panics, as it cannot ignore what the notifier reports",
        "onpanic watch continues it; libvirt 12.6 and later need no help",
    ),
    Entry(
        "watch-dumps",
        "note",
        "libvirt makes no coredump of a guest that it preserves",
        "onpanic watch makes it",
    ),
    Entry(
        "watch-renames",
        "note",
        "libvirt restarts no QEMU guest under another name, so it preserves it",
        "onpanic watch does the rest",
    ),
    Entry(
        "watch-on-crash",
        "note",
        "libvirt does nothing on QEMU's internal error, which the policy's <on_crash> is about",
        "onpanic watch does it",
    ),
    Entry(
        "failed-dump-preserves",
        "note",
        "where the coredump fails, libvirt leaves the guest panicked and does nothing more",
        "see that auto_dump_path of qemu.conf has room; onpanic watch does it when it is started or reloaded",
    ),
    Entry(
        "pause-shows-crashed",
        "note",
        "libvirt shows the paused guest as crashed, as it has no such reason for a pause",
        "onpanic status tells; nobody can make libvirt say it",
    ),
    Entry(
        "xen-does-not-rename",
        "note",
        "libvirt's Xen driver restarts the domain under its own name",
        "nobody can make it do otherwise",
    ),
    Entry(
        "guest-needs-acpi",
        "note",
        "guests find the isa notifier through ACPI, which this domain does not have",
        "add <acpi/> to <features>",
    ),
    Entry(
        "device-by-command-line",
        "note",
        "this libvirt has no model for the PCI notifier, so it goes into <qemu:commandline>",
        "libvirt marks the domain as tainted; 9.1 and later have the model",
    ),
    Entry(
        "builtin-moved-away",
        "note",
        "the machine type's own pvpanic is moved to a port where no guest looks for it",
        "it goes into <qemu:commandline>; libvirt marks the domain as tainted",
    ),
    Entry(
        "on-crash-drifted",
        "note",
        "<on_crash> was changed after the policy was translated",
        "the policy stands, and onpanic to-libvirt writes it again; state <on_panic> anew to change it",
    ),
    Entry(
        "notifier-drifted",
        "note",
        "the notifier that was added for the policy has been taken out, so nothing reports a panic",
        "the policy stands; onpanic to-libvirt adds the notifier again",
    ),
    Entry(
        "hyperv-needs-kvm",
        "note",
        "the hyperv notifier works with KVM only, so nothing reports a panic of this domain",
        "use <panic model='isa'/>, or a domain of type kvm",
    ),
    # Findings of a check; those that are why a policy is refused are among the refusals
    Entry(
        "panic-device-hidden-from-acpi",
        "finding",
        "the guest's ACPI tables do not say that there is an ISA pvpanic, so its driver does not find it",
        "look at the device's AML in QEMU, or at the firmware that is shipped with it",
    ),
    Entry(
        "event-mask-differs-for-machine-type",
        "finding",
        "the device offers other events than in the release that the machine type is named after",
        "a guest that migrates sees another device; set -global pvpanic.events= to that release's bits",
    ),
    Entry(
        "panic-action-not-settable",
        "finding",
        "it cannot be set at run time what a panic does, so libvirt cannot let a panicked guest run",
        "use QEMU 6.0 or later where preserve-running is wanted",
    ),
    Entry(
        "machine-type-does-not-start",
        "finding",
        "the machine type does not start here, so nothing is known of it",
        "check it where it starts (Xen's do under Xen), or expect it",
    ),
    Entry(
        "stale-expectation",
        "finding",
        "the expectation file has an entry that nothing answers to any more",
        "take the entry out",
    ),
    Entry(
        "guest-visible-change",
        "finding",
        "the guest has another device than with the older build",
        "migrate no guest between the two builds, or give the machine type back what it had",
    ),
    Entry(
        "behaviour-lost",
        "finding",
        "the older build did what this one does not",
        "find out which patch or build option went missing between the two",
    ),
    Entry(
        "machine-type-new",
        "finding",
        "the emulator has a machine type that the older build does not have",
        "nothing has to be done; guests that use it cannot go back to the older build",
    ),
    Entry(
        "machine-type-gone",
        "finding",
        "the older build has a machine type that this one lacks: guests that use it do not start",
        "tell users to move their guests to another machine type before they upgrade",
    ),
    Entry(
        "evidence-lost",
        "finding",
        "something is unknown that was known of the older build",
        "find out why the probe cannot tell any more; the evidence names the fact",
    ),
    Entry(
        "behaviour-gained",
        "finding",
        "this build does what the older one did not",
        "nothing; make its record the new baseline",
    ),
    # Facts of the emulator
    Entry(
        "isa-pvpanic-type",
        "fact",
        "Is there a type isa-pvpanic, the name proposed in 2013 for the working design?",
        "qom-list-types; no released QEMU has it, and one that has it must still behave",
    ),
    Entry(
        "pvpanic-type",
        "fact",
        "Is there a type pvpanic, the ISA device?",
        "qom-list-types; broken builds carry the name too, so it decides nothing",
    ),
    Entry(
        "pvpanic-pci-type",
        "fact",
        "Is there a type pvpanic-pci, the PCI device?",
        "qom-list-types; QEMU 6.0 and later, if the build includes it",
    ),
    Entry(
        "guest-panicked-event",
        "fact",
        "Does the emulator have the event GUEST_PANICKED?",
        "the event itself, else query-events or query-qmp-schema",
    ),
    Entry(
        "guest-crashloaded-event",
        "fact",
        "Does the emulator have the event GUEST_CRASHLOADED: the guest dumps itself?",
        "the event itself, after a write of bit 1, else query-events or query-qmp-schema",
    ),
    Entry(
        "set-action-command",
        "fact",
        "Can it be set at run time what a panic does?",
        "query-commands lists set-action; QEMU 6.0 and later",
    ),
    # Facts of a machine type
    Entry(
        "builtin-pvpanic",
        "fact",
        "Is a pvpanic there although none was asked for?",
        "qom-list under /machine/unattached, beside the device that the probe adds itself",
    ),
    Entry(
        "pvpanic-attachable",
        "fact",
        "Can the user add a pvpanic?",
        "a start with -device pvpanic, then with -device pvpanic-pci",
    ),
    Entry(
        "panic-reported",
        "fact",
        "Does a panic raise GUEST_PANICKED?",
        "1 is written to the device while the guest runs: the event comes before the next answer, or never",
    ),
    Entry(
        "panic-stops-guest",
        "fact",
        "Does a panic take the run state to guest-panicked?",
        "query-status after the panic",
    ),
    Entry(
        "cont-after-panic",
        "fact",
        "Does cont continue a panicked guest?",
        "cont in guest-panicked, and query-status after it",
    ),
    Entry(
        "acpi-exposes-pvpanic",
        "fact",
        "Do the guest's ACPI tables name QEMU0001 when the ISA device is there, and not when it is not?",
        "onpanic probe --acpi lets the firmware run, twice, and reads the tables in guest memory",
    ),
)

#: Entries by code.
CATALOGUE: dict[str, Entry] = {entry.code: entry for entry in _ENTRIES}
