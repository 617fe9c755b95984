"""What ``onpanic explain`` and ``onpanic accept --record`` print.  Written by `make docs`."""

__all__ = ("CODES", "NEEDS_NOTIFIER", "NOTIFIERS", "REQUIRED")

#: By code: kind, reason, remedy, and severity as a finding, empty if a check does not find it.
CODES: dict[str, tuple[str, str, str, str]] = {
    "unknown-value": (
        "refusal",
        "this is not a value of <on_panic>",
        "use default, crash, ignore, restart, destroy, preserve, rename-restart or pause",
        "",
    ),
    "unknown-on-crash": (
        "refusal",
        "this is not a value of <on_crash>",
        "use destroy, restart, preserve or rename-restart",
        "",
    ),
    "coredump-needs-action": (
        "refusal",
        "a coredump is valid only with a value that acts on the panic",
        "leave coredump out, or use restart, destroy, preserve, rename-restart or pause",
        "",
    ),
    "xen-only-crash": (
        "refusal",
        "on Xen <on_panic> can only hand the panic over to <on_crash>",
        "use default or crash, and state the action in <on_crash>",
        "",
    ),
    "xen-coredump-on-crash": (
        "refusal",
        "Xen makes no coredump when it preserves a domain or restarts it under another name",
        "use coredump with destroy or restart",
        "",
    ),
    "crash-needs-xen": (
        "refusal",
        "crash means to do what <on_crash> says, which only Xen does",
        "name the action itself: restart, destroy, preserve, rename-restart, pause or ignore",
        "",
    ),
    "invalid-grace": (
        "refusal",
        "this is not a grace period",
        "use a number of seconds from 0 to 86400; 0 means none",
        "",
    ),
    "grace-needs-action": (
        "refusal",
        "a grace period is valid only with a value that ends or restarts the guest",
        "leave grace out, or use restart, destroy or rename-restart",
        "",
    ),
    "builtin-panic-device": (
        "refusal",
        "the machine type creates a pvpanic that the user did not add, so its presence means nothing",
        "use a machine type without it, or a QEMU without it (1.7 and later have none)",
        "error",
    ),
    "panic-device-missing": (
        "refusal",
        "a guest of this machine type cannot have the panic notifier",
        "use another notifier, a machine type with an ISA or PCI bus, or a build that includes pvpanic",
        "warning",
    ),
    "panic-not-reported": (
        "refusal",
        "a panic raises no GUEST_PANICKED event",
        "use another notifier, or remove what disables it: events=, ioport=0, or a -cpu without hv-crash",
        "error",
    ),
    "panic-does-not-stop-guest": (
        "refusal",
        "a panic does not stop the guest in the run state guest-panicked",
        "remove -action panic=none, or set-action, from the emulator's command",
        "error",
    ),
    "panic-ends-emulator": (
        "refusal",
        "a panic ends the emulator, or shuts the guest down, so nothing can be done with its state",
        "remove -action panic=exit-failure, panic=shutdown and shutdown=poweroff from the emulator's command",
        "error",
    ),
    "cont-refused-after-panic": (
        "refusal",
        "a panicked guest cannot be continued: cont is refused until it is reset",
        "use a QEMU with the fix of 2013 (1.7 and later, or a build with a backport of it)",
        "error",
    ),
    "probe-inconclusive": (
        "refusal",
        "it is not known whether the panic notifier works",
        "find out what the reason names: onpanic probe starts the emulator to do so",
        "error",
    ),
    "hypervisor-reports-no-panic": (
        "refusal",
        "only QEMU and Xen report a guest's panic",
        "use default or ignore",
        "",
    ),
    "record-of-another-target": (
        "refusal",
        "the record is of an emulator for another architecture than the domain's",
        "use a record of the domain's own emulator",
        "",
    ),
    "no-isa-notifier": (
        "refusal",
        "isa-pvpanic is an ISA device, and this machine type's panic notifier is not",
        "use -device pvpanic-pci where the machine type has PCI; s390x and pseries need no device",
        "",
    ),
    "libvirt-too-old": (
        "refusal",
        "this libvirt does not have this panic device",
        "use libvirt 1.2.1 or later, 1.3.0 for models other than isa, 9.1.0 for the PCI device",
        "",
    ),
    "no-such-panic-model": (
        "refusal",
        "libvirt does not have this model of <panic> for the domain's architecture",
        "remove the <panic>, or --notifier: onpanic to-libvirt adds the right one",
        "",
    ),
    "panic-model-without-device": (
        "refusal",
        "libvirt refuses this <panic>, because the emulator lacks the device that libvirt adds for it",
        "remove the <panic>: onpanic to-libvirt adds a notifier that the emulator has",
        "",
    ),
    "no-default-panic-model": (
        "refusal",
        "libvirt has no default model of <panic> for the domain's architecture and machine type",
        "name it, model='pvpanic' for the PCI device, or remove the <panic>: onpanic to-libvirt adds one",
        "",
    ),
    "panic-model-twice": (
        "refusal",
        "libvirt refuses two <panic> elements of one model",
        "leave only one of them",
        "",
    ),
    "panic-address-refused": (
        "refusal",
        "libvirt refuses an address of this type for the model of <panic>",
        "remove the <address>: libvirt assigns one if the model needs one",
        "",
    ),
    "lifecycle-action-refused": (
        "refusal",
        "libvirt refuses the domain's <on_poweroff> or <on_reboot>",
        "use destroy or restart, and not restart on a shutdown together with destroy on a reboot",
        "",
    ),
    "coredump-of-confidential-guest": (
        "refusal",
        "the memory of a confidential guest is encrypted, so a coredump has nothing that can be read",
        "leave the coredump out, or let the guest dump itself with kdump",
        "",
    ),
    "notifier-needs-kvm": (
        "refusal",
        "the hyperv notifier works only with KVM, and the domain is of another type",
        "use a domain of type kvm, or another notifier",
        "",
    ),
    "guest-did-not-panic": (
        "refusal",
        "the guest did not panic, so onpanic does not continue it",
        "find out why it was stopped; virsh resume, or cont over QMP, continues it",
        "",
    ),
    "guest-needs-reset": (
        "refusal",
        "only a reset leaves this state, and it loses the guest's memory",
        "allow it with --allow-reset",
        "",
    ),
    "no-way-back": (
        "refusal",
        "the guest was reset, and still cannot be continued",
        "end the emulator and start it again; with -no-reboot -no-shutdown a reset does not help",
        "",
    ),
    "reset-ends-guest": (
        "refusal",
        "a reset ends this guest instead of rebooting it",
        "end it and start it again: virsh destroy, then virsh start",
        "",
    ),
    "ignore-needs-global": (
        "help",
        "the machine type creates a pvpanic itself, which stops the guest unless it is moved away",
        "start the emulator with -global pvpanic.ioport=0",
        "",
    ),
    "ignore-needs-set-action": (
        "help",
        "the architecture always reports a panic, which stops the guest unless QEMU is told not to",
        "start the emulator with -action panic=none, or send set-action with panic=none over QMP",
        "",
    ),
    "ignore-needs-set-action-for-checkstops": (
        "help",
        "the emulator reports a checkstop of the CPU as a panic, and stops the guest unless told not to",
        "start the emulator with -action panic=none, or send set-action with panic=none over QMP",
        "",
    ),
    "ignore-needs-cont": (
        "help",
        "the architecture always reports a panic, and this emulator cannot be told to continue the guest",
        "send cont over QMP on every GUEST_PANICKED event",
        "",
    ),
    "watch-continues": (
        "note",
        "libvirt stops the guest when it panics, since it cannot ignore what the notifier reports",
        "onpanic watch continues it; a libvirt that knows preserve-running needs no help",
        "",
    ),
    "watch-restarts": (
        "note",
        "a reset would end the guest instead of restarting it, so libvirt preserves it",
        "onpanic watch restarts it: it ends its QEMU, and starts a new one",
        "",
    ),
    "watch-destroys": (
        "note",
        "this libvirt lets a panic end QEMU if every action is to destroy, so it would make no coredump",
        "libvirt preserves the guest, and onpanic watch destroys it after the coredump",
        "",
    ),
    "watch-waits": (
        "note",
        "libvirt cannot wait for a panicked guest to help itself, so it preserves the guest",
        "onpanic watch continues it, and does the rest if it has not helped itself in the grace period",
        "",
    ),
    "watch-dumps": (
        "note",
        "libvirt makes no coredump of a guest that it preserves",
        "onpanic watch makes it",
        "",
    ),
    "watch-renames": (
        "note",
        "libvirt restarts no QEMU guest under another name, so it preserves the guest",
        "onpanic watch does the rest",
        "",
    ),
    "watch-on-crash": (
        "note",
        "libvirt does nothing on QEMU's internal error, to which the policy's <on_crash> applies",
        "onpanic watch carries it out",
        "",
    ),
    "failed-dump-preserves": (
        "note",
        "if the coredump fails, libvirt leaves the guest panicked and does nothing more",
        "see that auto_dump_path of qemu.conf has room; onpanic watch acts when it is started or reloaded",
        "",
    ),
    "pause-shows-crashed": (
        "note",
        "libvirt shows the paused guest as crashed, since it has no such reason for a pause",
        "onpanic status shows it as paused; libvirt cannot",
        "",
    ),
    "xen-does-not-rename": (
        "note",
        "libvirt's Xen driver restarts the domain under its own name",
        "there is no way to make it use another name",
        "",
    ),
    "qemu-does-not-rename": (
        "note",
        "libvirt renames no QEMU guest: it leaves the guest crashed, and since 7.7 refuses rename-restart",
        "state <on_panic>rename-restart</on_panic>, which onpanic watch carries out",
        "",
    ),
    "restart-ends-guest": (
        "note",
        "libvirt restarts a guest by a reset, which ends this one",
        "state <on_panic>restart</on_panic>, which onpanic watch carries out",
        "",
    ),
    "arguments-decide-panic": (
        "note",
        "an option in <qemu:commandline> decides what a panic does, and <on_crash> does not",
        "remove the option, or state the policy and translate it with onpanic to-libvirt",
        "",
    ),
    "on-crash-without-notifier": (
        "note",
        "nothing in this domain reports a panic, so libvirt never carries out its <on_crash>",
        "state the policy in <on_panic>: onpanic to-libvirt adds a <panic>; or add one yourself",
        "",
    ),
    "guest-needs-acpi": (
        "note",
        "guests find the isa notifier through ACPI, which this domain does not have",
        "add <acpi/> to <features>; remove -no-acpi and acpi=off from <qemu:commandline>",
        "",
    ),
    "device-by-command-line": (
        "note",
        "this libvirt has no model for the notifier's device, so <qemu:commandline> adds it",
        "libvirt marks the domain as tainted; 9.1 and later have the model of the PCI device",
        "",
    ),
    "builtin-moved-away": (
        "note",
        "the machine type's own pvpanic is moved to a port where no guest looks for it",
        "this is done through <qemu:commandline>; libvirt marks the domain as tainted",
        "",
    ),
    "on-crash-drifted": (
        "note",
        "<on_crash> was changed after the policy was translated",
        "the policy holds, and onpanic to-libvirt restores <on_crash>; state <on_panic> again to change it",
        "",
    ),
    "notifier-drifted": (
        "note",
        "the notifier that was added for the policy was removed, so nothing reports a panic",
        "the policy holds; onpanic to-libvirt adds the notifier again",
        "",
    ),
    "hyperv-flag-reports": (
        "note",
        "with KVM, a flag of Hyper-V lets the guest report a panic although the domain has no <panic>",
        "nothing is needed: the policy holds for such a panic, too",
        "",
    ),
    "vmcoreinfo-off": (
        "note",
        "the guest has no vmcoreinfo device, without which its last words may not be found after a panic",
        "onpanic to-libvirt --with-vmcoreinfo adds it; the guest has it when it is next started",
        "",
    ),
    "vmcoreinfo-not-added": (
        "note",
        "the guest is not given the vmcoreinfo device",
        "nothing is needed for the policy; without the device, the guest's last words may not be found",
        "",
    ),
    "arguments-from-file": (
        "note",
        "<qemu:commandline> has -readconfig, and onpanic does not read the file",
        "see that the file changes no panic device, and nothing of what a panic or a reboot does",
        "",
    ),
    "hyperv-needs-kvm": (
        "note",
        "the hyperv notifier works only with KVM, so nothing reports a panic of this domain",
        "use <panic model='isa'/>, or a domain of type kvm",
        "",
    ),
    "panic-device-hidden-from-acpi": (
        "finding",
        "the guest's ACPI tables do not name the ISA pvpanic, so the guest's driver does not find it",
        "look at the device's AML in QEMU, or at the firmware that is shipped with it",
        "warning",
    ),
    "event-mask-differs-for-machine-type": (
        "finding",
        "the device offers other events than in the release that the machine type is named after",
        "a guest that migrates sees another device; set -global pvpanic.events= to that release's bits",
        "warning",
    ),
    "panic-action-not-settable": (
        "finding",
        "what a panic does cannot be set at run time, so libvirt cannot let a panicked guest run",
        "use QEMU 6.0 or later where preserve-running is wanted",
        "info",
    ),
    "machine-type-does-not-start": (
        "finding",
        "the machine type does not start here, so nothing is known about it",
        "check it where it starts (Xen's do under Xen), or expect it",
        "info",
    ),
    "stale-expectation": (
        "finding",
        "the expectation file has an entry that matches nothing any more",
        "remove the entry",
        "warning",
    ),
    "guest-visible-change": (
        "finding",
        "the guest has another device than with the older build",
        "migrate no guest between the two builds, or restore what the machine type had",
        "error",
    ),
    "behaviour-lost": (
        "finding",
        "the older build did something that this one does not do",
        "find out which patch or build option was lost between the two",
        "error",
    ),
    "machine-type-new": (
        "finding",
        "the emulator has a machine type that the older build does not have",
        "nothing is needed; guests that use it cannot go back to the older build",
        "info",
    ),
    "machine-type-gone": (
        "finding",
        "the older build has a machine type that this one lacks: guests that use it do not start",
        "ask users to move their guests to another machine type before they upgrade",
        "warning",
    ),
    "evidence-lost": (
        "finding",
        "something is unknown that was known about the older build",
        "find out why the probe cannot answer any more; the evidence names the fact",
        "warning",
    ),
    "behaviour-gained": (
        "finding",
        "this build does something that the older one did not do",
        "nothing is needed; make its record the new baseline",
        "info",
    ),
    "isa-pvpanic-type": (
        "fact",
        "Is there a type isa-pvpanic, the name proposed in 2013 for the working design?",
        "qom-list-types; no released QEMU has it, and one that has it must still behave",
        "",
    ),
    "pvpanic-type": (
        "fact",
        "Is there a type pvpanic, the ISA device?",
        "qom-list-types; broken builds carry the name too, so it decides nothing",
        "",
    ),
    "pvpanic-pci-type": (
        "fact",
        "Is there a type pvpanic-pci, the PCI device?",
        "qom-list-types; QEMU 6.0 and later, if the build includes it",
        "",
    ),
    "guest-panicked-event": (
        "fact",
        "Does the emulator have the event GUEST_PANICKED?",
        "the event itself, else query-events or query-qmp-schema",
        "",
    ),
    "guest-crashloaded-event": (
        "fact",
        "Does the emulator have the event GUEST_CRASHLOADED: the guest dumps itself?",
        "the event itself, after a write of bit 1, else query-events or query-qmp-schema",
        "",
    ),
    "set-action-command": (
        "fact",
        "Can it be set at run time what a panic does?",
        "query-commands lists set-action; QEMU 6.0 and later",
        "",
    ),
    "builtin-pvpanic": (
        "fact",
        "Is a pvpanic there although none was asked for?",
        "qom-list, info qtree and info mtree, beside the device that the probe adds itself; and a panic where none was added",
        "",
    ),
    "pvpanic-attachable": (
        "fact",
        "Can the guest have this notifier?",
        "a start with -device pvpanic, with -device pvpanic-pci, with -cpu …,hv-crash",
        "",
    ),
    "panic-reported": (
        "fact",
        "Does a panic raise GUEST_PANICKED?",
        "a panic is made while the guest runs, as its driver makes one: the event comes before the next answer, or never",
        "",
    ),
    "panic-action": (
        "fact",
        "What does a panic end in: pause, poweroff, run or exit?",
        "the event's action, query-status after the panic, and the emulator's exit status",
        "",
    ),
    "panic-stops-guest": (
        "fact",
        "Does a panic take the run state to guest-panicked?",
        "query-status after the panic",
        "",
    ),
    "cont-after-panic": (
        "fact",
        "Does cont continue a panicked guest?",
        "cont in guest-panicked, and query-status after it",
        "",
    ),
    "checkstop-reported": (
        "fact",
        "Does a checkstop of the CPU raise GUEST_PANICKED?",
        "the firmware is replaced by code that stops the CPU, or its pin is raised",
        "",
    ),
    "acpi-exposes-pvpanic": (
        "fact",
        "Do the guest's ACPI tables name QEMU0001 when the ISA device is there, and not when it is not?",
        "onpanic probe --acpi lets the firmware run, twice, and reads the tables in guest memory",
        "",
    ),
    "vmcoreinfo-attachable": (
        "fact",
        "Can the guest have the vmcoreinfo device, without which its last words may not be found?",
        "qom-get of the properties of /machine/fw_cfg: the device needs its DMA",
        "",
    ),
}

#: The values of <on_panic> that need a notifier; each takes a coredump.
NEEDS_NOTIFIER = (
    "restart",
    "destroy",
    "preserve",
    "rename-restart",
    "pause",
)

#: libvirt's models of notifiers.
NOTIFIERS = (
    "isa",
    "pvpanic",
    "hyperv",
    "pseries",
    "s390",
)

#: The facts that a notifier needs: the answer, and the refusal by each other answer.
REQUIRED: tuple[tuple[str, str, dict[str, str]], ...] = (
    (
        "builtin-pvpanic",
        "no",
        {
            "yes": "builtin-panic-device",
        },
    ),
    (
        "pvpanic-attachable",
        "yes",
        {
            "no": "panic-device-missing",
        },
    ),
    (
        "panic-reported",
        "yes",
        {
            "no": "panic-not-reported",
        },
    ),
    (
        "panic-action",
        "pause",
        {
            "poweroff": "panic-ends-emulator",
            "run": "panic-does-not-stop-guest",
            "exit": "panic-ends-emulator",
        },
    ),
    (
        "panic-stops-guest",
        "yes",
        {
            "no": "panic-does-not-stop-guest",
        },
    ),
    (
        "cont-after-panic",
        "yes",
        {
            "no": "cont-refused-after-panic",
        },
    ),
)
