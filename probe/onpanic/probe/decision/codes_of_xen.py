"""The part of the catalogue about Xen and its toolstacks: libvirt's Xen driver, and xl."""

__all__ = ("NOTES_ON_XEN", "REFUSALS_ON_XEN")

#: Reason and remedy of refusals, by code.
REFUSALS_ON_XEN = {
    "xen-only-crash": (
        "on Xen <on_panic> can only hand the panic over to <on_crash>",
        "use default or crash, and state the action in <on_crash>",
    ),
    "xen-coredump-on-crash": (
        "Xen makes no coredump when it preserves a domain or restarts it under another name",
        "use coredump with destroy or restart",
    ),
    "xen-guest-type-missing": (
        "this Xen runs no guests of this type",
        "use another machine type: xenpv, xenpvh or xenfv, as the host's record says",
    ),
    "record-of-another-hypervisor": (
        "the record, or the connection, is of another hypervisor than the domain's",
        "use one of the hypervisor that the domain's type names: xen, or kvm or qemu",
    ),
    "crash-action-refused": (
        "the Xen toolstack refuses this crash action",
        "use another <on_crash>; onpanic probe --hypervisor xen lists those that it accepts",
    ),
    "xen-shutdown-is-final": (
        "a Xen guest that has crashed or shut down cannot be continued, nor reset",
        "keep its memory with virsh dump if it is preserved; virsh destroy and virsh start boot it again",
    ),
    "xen-guest-paused": (
        "the Xen guest is paused, and onpanic does not continue a guest that was stopped on request",
        "virsh resume continues it, or xl unpause; one that crashed before stays as it is",
    ),
    "xen-state-unknown": (
        "libvirt does not know whether this Xen guest runs or has crashed",
        "run onpanic status as root in its dom0, or xl list",
    ),
}

#: Reason and remedy of notes, by code.
NOTES_ON_XEN = {
    "xen-does-not-continue": (
        "libvirt's Xen driver handles preserve-running as preserve: the guest does not run on",
        "state preserve",
    ),
    "xen-does-not-rename": (
        "libvirt's Xen driver restarts the domain under its own name, and keeps nothing of the crashed one",
        "translate the policy with onpanic to-libvirt: onpanic watch then starts it under another name",
    ),
    "xen-restarts-without-limit": (
        "Xen's toolstack has no limit on restarts, even if the guest crashes whenever it is started",
        "use destroy or preserve for a guest that may crash as it boots; onpanic watch has a restart limit",
    ),
    "xen-failed-dump-ends-guest": (
        "if the coredump fails, Xen's toolstack destroys or restarts the guest all the same",
        "see that the folder has room for the guest's memory; onpanic watch tells of a dump that has failed",
    ),
    "xen-dump-takes-long": (
        "Xen's toolstack may take very long to dump a guest of this type; libvirt starts no other meanwhile",
        "try it before you rely on it; a PV guest is dumped in seconds",
    ),
    "xen-preserved-shows-shut-off": (
        "libvirt shows a preserved guest as shut off (crashed), and after a restart of its daemon as running",
        "onpanic status tells; it holds its memory until virsh destroy ends it",
    ),
    "xen-dump-unchecked": (
        "libvirt's Xen driver does not notice that its own dump has failed, and the file is in dom0",
        "run onpanic watch in dom0, where it checks the file",
    ),
    "xen-no-grace": (
        "a guest of Xen that has crashed cannot run on, so it has no grace period",
        "leave grace out; a guest with a crash kernel handles its panic before Xen learns of it",
    ),
    "xl-not-asked": (
        "libvirt shows a guest as running that has crashed while its daemon was down, and Xen is not asked",
        "run onpanic watch as root in dom0, where it asks xl",
    ),
    "xen-has-no-panic-device": (
        "libvirt's Xen driver gives a guest no panic device, whatever <panic> says",
        "nothing is needed: a guest reports its crash to Xen itself",
    ),
    "xl-renames-once-a-minute": (
        "xl keeps the crashed guest as NAME-YYYYMMDDTHHMMZ; a second one in the same minute is not restarted",
        "destroy the guests that were kept: each holds its memory",
    ),
    "xl-overwrites-dump": (
        "xl names a coredump after the guest, so the next one replaces it",
        "move the dump away, or give the guest another name",
    ),
}
