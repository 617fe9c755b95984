"""Every code that onpanic prints, with its reason and remedy: what ``onpanic explain`` prints.

Codes are stable: scripts compare them.  A reason is one sentence that can stand alone; the
detail of a refusal is added in brackets.  What explains a fact is part of its
`Question`, and is collected from there.
"""

from typing import Literal

import msgspec

from onpanic.probe.decision.codes_of_hosts import NOTES_ON_HOSTS, REFUSALS_ON_HOSTS
from onpanic.probe.decision.codes_of_xen import NOTES_ON_XEN, REFUSALS_ON_XEN
from onpanic.probe.facts import QUESTIONS
from onpanic.probe.facts.xen_questions import XEN_QUESTIONS

__all__ = ("CATALOGUE", "Explanation", "Kind")

Kind = Literal["refusal", "help", "note", "finding", "fact"]


class Explanation(msgspec.Struct, frozen=True):
    """What a code means.

    :param code: In lower case, with dashes.
    :param kind: ``refusal`` (of a policy), ``help`` (that an accepted policy needs), ``note`` (about what
        libvirt does with an accepted policy), ``finding`` (of a check) or ``fact``.
    :param reason: One sentence: why, or for a fact the question that it answers.
    :param remedy: What to do about it, or for a fact how it is found out.
    """

    code: str
    kind: Kind
    reason: str
    remedy: str


# In the order in which the decision checks them
_REFUSALS = {
    "unknown-value": (
        "this is not a value of <on_panic>",
        "use default, crash, ignore, restart, destroy, preserve, rename-restart or pause",
    ),
    "unknown-on-crash": (
        "this is not a value of <on_crash>",
        "use destroy, restart, preserve or rename-restart",
    ),
    "coredump-needs-action": (
        "a coredump is valid only with a value that acts on the panic",
        "leave coredump out, or use restart, destroy, preserve, rename-restart or pause",
    ),
    "toolstack-inconclusive": (
        "it is not known whether this Xen runs such guests and its toolstack accepts the crash action",
        "see that xl or libvirt answers in dom0, and make the record again: onpanic probe, or onpanic host",
    ),
    "crash-needs-xen": (
        "crash means to do what <on_crash> says, which only Xen does",
        "name the action itself: restart, destroy, preserve, rename-restart, pause or ignore",
    ),
    "invalid-grace": (
        "this is not a grace period",
        "use a number of seconds from 0 to 86400; 0 means none",
    ),
    "grace-needs-action": (
        "a grace period is valid only with a value that ends or restarts the guest",
        "leave grace out, or use restart, destroy or rename-restart",
    ),
    "builtin-panic-device": (
        "the machine type creates a pvpanic that the user did not add, so its presence means nothing",
        "use a machine type without it, or a QEMU without it (1.7 and later have none)",
    ),
    "panic-device-missing": (
        "a guest of this machine type cannot have the panic notifier",
        "use another notifier, a machine type with an ISA or PCI bus, or a build that includes pvpanic",
    ),
    "panic-not-reported": (
        "a panic raises no GUEST_PANICKED event",
        "use another notifier, or remove what disables it: events=, ioport=0, or a -cpu without hv-crash",
    ),
    "panic-does-not-stop-guest": (
        "a panic does not stop the guest in the run state guest-panicked",
        "remove -action panic=none, or set-action, from the emulator's command",
    ),
    "panic-ends-emulator": (
        "a panic ends the emulator, or shuts the guest down, so nothing can be done with its state",
        "remove -action panic=exit-failure, panic=shutdown and shutdown=poweroff from the emulator's command",
    ),
    "cont-refused-after-panic": (
        "a panicked guest cannot be continued: cont is refused until it is reset",
        "use a QEMU with the fix of 2013 (1.7 and later, or a build with a backport of it)",
    ),
    "probe-inconclusive": (
        "it is not known whether the panic notifier works",
        "find out what the reason names: onpanic probe starts the emulator to do so",
    ),
    "hypervisor-reports-no-panic": (
        "only QEMU and Xen report a guest's panic",
        "use default or ignore",
    ),
    "record-of-another-target": (
        "the record is of an emulator for another architecture than the domain's",
        "use a record of the domain's own emulator",
    ),
    "no-isa-notifier": (
        "isa-pvpanic is an ISA device, and this machine type's panic notifier is not",
        "use -device pvpanic-pci where the machine type has PCI; s390x and pseries need no device",
    ),
    "libvirt-too-old": (
        "this libvirt does not have this panic device",
        "use libvirt 1.2.1 or later, 1.3.0 for models other than isa, 9.1.0 for the PCI device",
    ),
    "no-such-panic-model": (
        "libvirt does not have this model of <panic> for the domain's architecture",
        "remove the <panic>, or --notifier: onpanic to-libvirt adds the right one",
    ),
    "panic-model-without-device": (
        "libvirt refuses this <panic>, because the emulator lacks the device that libvirt adds for it",
        "remove the <panic>: onpanic to-libvirt adds a notifier that the emulator has",
    ),
    "no-default-panic-model": (
        "libvirt has no default model of <panic> for the domain's architecture and machine type",
        "name it, model='pvpanic' for the PCI device, or remove the <panic>: onpanic to-libvirt adds one",
    ),
    "panic-model-twice": (
        "libvirt refuses two <panic> elements of one model",
        "leave only one of them",
    ),
    "panic-address-refused": (
        "libvirt refuses this <address> of a <panic>",
        "remove the <address>: libvirt assigns one if the model needs one",
    ),
    "lifecycle-action-refused": (
        "libvirt refuses the domain's <on_poweroff> or <on_reboot>",
        "use destroy or restart, and not restart on a shutdown together with destroy on a reboot",
    ),
    "coredump-of-confidential-guest": (
        "the memory of a confidential guest is encrypted, so a coredump has nothing that can be read",
        "leave the coredump out, or let the guest dump itself with kdump",
    ),
    "notifier-needs-kvm": (
        "the hyperv notifier works only with KVM, and the domain is of another type",
        "use a domain of type kvm, or another notifier",
    ),
    "guest-did-not-panic": (
        "the guest did not panic, so onpanic does not continue it",
        "find out why it was stopped; virsh resume, or cont over QMP, continues it",
    ),
    "guest-needs-reset": (
        "only a reset leaves this state, and it loses the guest's memory",
        "allow it with --allow-reset",
    ),
    "no-way-back": (
        "the guest was reset, and still cannot be continued",
        "end the emulator and start it again; with -no-reboot -no-shutdown a reset does not help",
    ),
    "reset-ends-guest": (
        "a reset ends this guest instead of rebooting it",
        "end it and start it again: virsh destroy, then virsh start",
    ),
    "no-emulator": (
        "the host has no emulator for guests of this architecture",
        "install one, or do not place such guests on the host",
    ),
    "no-machine-type": (
        "the host's emulator does not have this machine type",
        "use a machine type that all hosts have; onpanic fleet verdict lists them",
    ),
    "machine-type-not-asked": (
        "the host's record does not cover this machine type",
        "collect the host's record again with onpanic host --machine TYPE",
    ),
    "emulator-not-asked": (
        "the host's emulator could not be asked",
        "run onpanic probe with it on the host to see more",
    ),
}

_HELP = {
    "ignore-needs-global": (
        "the machine type creates a pvpanic itself, which stops the guest unless it is moved away",
        "start the emulator with -global pvpanic.ioport=0",
    ),
    "ignore-needs-set-action": (
        "the architecture always reports a panic, which stops the guest unless QEMU is told not to",
        "start the emulator with -action panic=none, or send set-action with panic=none over QMP",
    ),
    "ignore-needs-set-action-for-checkstops": (
        "the emulator reports a checkstop of the CPU as a panic, and stops the guest unless told not to",
        "start the emulator with -action panic=none; powernv then reports the checkstop again and again",
    ),
    "ignore-needs-cont": (
        "the architecture always reports a panic, and this emulator cannot be told to continue the guest",
        "send cont over QMP on every GUEST_PANICKED event",
    ),
}

_NOTES = {
    "watch-continues": (
        "libvirt stops the guest when it panics, since it cannot ignore what the notifier reports",
        "onpanic watch continues it; a libvirt that knows preserve-running needs no help",
    ),
    "watch-restarts": (
        "a reset would end the guest instead of restarting it, so libvirt preserves it",
        "onpanic watch restarts it: it ends its QEMU, and starts a new one",
    ),
    "watch-destroys": (
        "this libvirt lets a panic end QEMU if every action is to destroy, so it would make no coredump",
        "libvirt preserves the guest, and onpanic watch destroys it after the coredump",
    ),
    "watch-waits": (
        "libvirt cannot wait for a panicked guest to help itself, so it preserves the guest",
        "onpanic watch continues it, and does the rest if it has not helped itself in the grace period",
    ),
    "watch-dumps": (
        "libvirt makes no coredump of a guest that it preserves",
        "onpanic watch makes it",
    ),
    "watch-renames": (
        "libvirt restarts no guest under another name, so it preserves the guest",
        "onpanic watch does the rest",
    ),
    "watch-on-crash": (
        "libvirt does nothing on QEMU's internal error, to which the policy's <on_crash> applies",
        "onpanic watch carries it out",
    ),
    "failed-dump-preserves": (
        "if the coredump fails, libvirt leaves the guest panicked and does nothing more",
        "see that auto_dump_path of qemu.conf has room; onpanic watch acts when it is started or reloaded",
    ),
    "pause-shows-crashed": (
        "libvirt shows the paused guest as crashed, since it has no such reason for a pause",
        "onpanic status shows it as paused; libvirt cannot",
    ),
    "qemu-does-not-rename": (
        "libvirt renames no QEMU guest: it leaves the guest crashed, and since 7.7 refuses rename-restart",
        "state <on_panic>rename-restart</on_panic>, which onpanic watch carries out",
    ),
    "restart-ends-guest": (
        "libvirt restarts a guest by a reset, which ends this one",
        "state <on_panic>restart</on_panic>, which onpanic watch carries out",
    ),
    "arguments-decide-panic": (
        "an option in <qemu:commandline> decides what a panic does, and <on_crash> does not",
        "remove the option, or state the policy and translate it with onpanic to-libvirt",
    ),
    "on-crash-without-notifier": (
        "nothing in this domain reports a panic, so libvirt never carries out its <on_crash>",
        "state the policy in <on_panic>: onpanic to-libvirt adds a <panic>; or add one yourself",
    ),
    "guest-needs-acpi": (
        "guests find the isa notifier through ACPI, which this domain does not have",
        "add <acpi/> to <features>; remove -no-acpi and acpi=off from <qemu:commandline>",
    ),
    "device-by-command-line": (
        "this libvirt has no model for the notifier's device, so <qemu:commandline> adds it",
        "libvirt marks the domain as tainted; 9.1 and later have the model of the PCI device",
    ),
    "builtin-moved-away": (
        "the machine type's own pvpanic is moved to a port where no guest looks for it",
        "this is done through <qemu:commandline>; libvirt marks the domain as tainted",
    ),
    "on-crash-drifted": (
        "<on_crash> was changed after the policy was translated",
        "the policy holds, and onpanic to-libvirt restores <on_crash>; state <on_panic> again to change it",
    ),
    "notifier-drifted": (
        "the notifier that was added for the policy was removed, so nothing reports a panic",
        "the policy holds; onpanic to-libvirt adds the notifier again",
    ),
    "hyperv-flag-reports": (
        "with KVM, a flag of Hyper-V lets the guest report a panic although the domain has no <panic>",
        "nothing is needed: the policy holds for such a panic, too",
    ),
    "checkstop-reports": (
        "the emulator reports a checkstop of the CPU as a panic, so libvirt preserves such a guest",
        "onpanic watch continues it; if its CPU stops again, only a reset helps",
    ),
    "confidential-guest-reports": (
        "QEMU reports the fatal error of a confidential guest as a panic, so libvirt preserves such a guest",
        "nothing is needed: QEMU reports TDX's since 10.1, SEV-ES's since 11.0; such a guest cannot run on",
    ),
    "coredump-is-encrypted": (
        "the memory of this guest is encrypted, and so is the coredump that libvirt makes of it",
        "state a policy without a coredump: onpanic to-libvirt refuses one of a confidential guest",
    ),
    "vmcoreinfo-off": (
        "the guest has no vmcoreinfo device, without which its last words may not be found after a panic",
        "onpanic to-libvirt --with-vmcoreinfo adds it; the guest has it when it is next started",
    ),
    "vmcoreinfo-not-added": (
        "the guest is not given the vmcoreinfo device",
        "nothing is needed for the policy; without the device, the guest's last words may not be found",
    ),
    "arguments-from-file": (
        "<qemu:commandline> has -readconfig, and onpanic does not read the file",
        "see that the file changes no panic device, and nothing of what a panic or a reboot does",
    ),
    "hyperv-needs-kvm": (
        "the hyperv notifier works only with KVM, so nothing reports a panic of this domain",
        "use <panic model='isa'/>, or a domain of type kvm",
    ),
}

# Findings that are also the reason of a refusal are among the refusals
_FINDINGS = {
    "panic-device-hidden-from-acpi": (
        "the guest's ACPI tables do not name the ISA pvpanic, so the guest's driver does not find it",
        "look at the device's AML in QEMU, or at the firmware that is shipped with it",
    ),
    "event-mask-differs-for-machine-type": (
        "the device offers other events than in the release that the machine type is named after",
        "a guest that migrates sees another device; set -global pvpanic.events= to that release's bits",
    ),
    "panic-action-not-settable": (
        "what a panic does cannot be set at run time, so libvirt cannot let a panicked guest run",
        "use QEMU 6.0 or later where preserve-running is wanted",
    ),
    "machine-type-does-not-start": (
        "the machine type does not start here, so nothing is known about it",
        "check it where it starts (Xen's do under Xen), or expect it",
    ),
    "stale-expectation": (
        "the expectation file has an entry that matches nothing any more",
        "remove the entry",
    ),
    "guest-visible-change": (
        "the guest has another device than with the older build",
        "migrate no guest between the two builds, or restore what the machine type had",
    ),
    "behaviour-lost": (
        "the older build did something that this one does not do",
        "find out which patch or build option was lost between the two",
    ),
    "machine-type-new": (
        "the emulator has a machine type that the older build does not have",
        "nothing is needed; guests that use it cannot go back to the older build",
    ),
    "machine-type-gone": (
        "the older build has a machine type that this one lacks: guests that use it do not start",
        "ask users to move their guests to another machine type before they upgrade",
    ),
    "evidence-lost": (
        "something is unknown that was known about the older build",
        "find out why the probe cannot answer any more; the evidence names the fact",
    ),
    "behaviour-gained": (
        "this build does something that the older one did not do",
        "nothing is needed; make its record the new baseline",
    ),
}

_BY_KIND: dict[Kind, dict[str, tuple[str, str]]] = {
    "refusal": _REFUSALS | REFUSALS_ON_XEN | REFUSALS_ON_HOSTS,
    "help": _HELP,
    "note": _NOTES | NOTES_ON_XEN | NOTES_ON_HOSTS,
    "finding": _FINDINGS,
    "fact": {
        **{question.name: (question.asks, question.known_from) for question in QUESTIONS},
        **{question.name: (question.asks, question.known_from) for question in XEN_QUESTIONS},
    },
}

#: Explanations by code, those of the facts included.
CATALOGUE: dict[str, Explanation] = {
    code: Explanation(code, kind, reason, remedy)
    for kind, explanations in _BY_KIND.items()
    for code, (reason, remedy) in explanations.items()
}
