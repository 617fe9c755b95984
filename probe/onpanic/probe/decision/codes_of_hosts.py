"""The part of the catalogue about several hosts: a domain for all of them, and a guest that migrates."""

__all__ = ("NOTES_ON_HOSTS", "REFUSALS_ON_HOSTS")

#: Reason and remedy of refusals, by code.
REFUSALS_ON_HOSTS = {
    "libvirt-not-asked": (
        "the host's record does not say what its libvirt accepts",
        "start libvirt on the host, install libvirt-python there, and collect its record again",
    ),
    "no-libvirt": (
        "the host has no libvirt",
        "install libvirt there, or leave the host out",
    ),
    "host-not-counted": (
        "there is no record of the host that can be used",
        "collect the host's record again with onpanic host",
    ),
    "no-emulator-at-path": (
        "the host has no emulator at the path in the domain's <emulator>",
        "link the host's emulator to that path, or migrate with virsh migrate --xml and another path",
    ),
    "emulator-path-not-asked": (
        "onpanic host does not look for emulators at the path in the domain's <emulator>",
        "name the emulator qemu-system-TARGET, add its folder to PATH, and collect the host's record again",
    ),
    "no-domain-type": (
        "the host's libvirt starts no domain of this type with its emulator",
        "give the host KVM, or use a domain of type qemu",
    ),
    "other-hypervisor": (
        "the host runs guests of another hypervisor",
        "leave the host out: a guest of Xen runs on Xen hosts, and one of QEMU on the others",
    ),
    "on-crash-not-known": (
        "the host's libvirt does not know the value of <on_crash> in the domain",
        "use libvirt 12.6 or later there, or translate the domain with onpanic to-libvirt --fleet",
    ),
    "on-crash-not-asked": (
        "this version of libvirt does not know the <on_crash> of the domain, unless it was backported",
        "collect the host's record again as a user who may write to libvirt",
    ),
    "notifier-differs": (
        "the guest has another panic notifier on the other host",
        "migrate the guest only between hosts with the same notifier, or stop it and start it there",
    ),
    "event-mask-differs": (
        "the guest's panic notifier offers other events on the other host",
        "onpanic to-libvirt --fleet --same-events sets those that all hosts offer; or accept the change",
    ),
    "notifier-acpi-differs": (
        "the guest's ACPI tables show the panic notifier on one of the hosts only",
        "once it has rebooted there, the guest may not find it; start guests where ACPI shows it",
    ),
    "notifier-not-compared": (
        "it is not known whether the guest has the same panic notifier on both hosts",
        "collect the records of both hosts in the same way, and with the same onpanic",
    ),
    "translations-differ": (
        "the hosts need different translations of the domain's policy",
        "name a notifier that all hosts have with --notifier, and leave --with-vmcoreinfo out",
    ),
}

#: Reason and remedy of notes, by code.
NOTES_ON_HOSTS = {
    "migration-continues-guest": (
        "libvirt lets a preserved guest run at the end of a live migration",
        "migrate a guest that has panicked with virsh migrate --paused",
    ),
    "machine-alias-differs": (
        "the domain's machine type is an alias, which stands for different machine types on the hosts",
        "name one of them in the domain; a guest keeps the one with which it was defined",
    ),
    "guest-sees-difference": (
        "the guest's panic notifier is not the same on all hosts",
        "onpanic fleet migrate tells between which hosts such a guest may migrate",
    ),
}
