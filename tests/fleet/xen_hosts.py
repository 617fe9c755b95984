"""Records of Xen hosts for tests, made as ``onpanic host`` makes them."""

from collections.abc import Mapping

import msgspec

from onpanic.fleet import HostRecord
from onpanic.fleet.hosts.host_record import XEN, HostEmulator, HostKvm
from onpanic.probe.facts.xen_questions import GUEST_TYPE, ON_CRASH_WORDS
from onpanic.probe.record.capability_record import Probed
from onpanic.probe.xen.ask_xl import guest_types_of
from onpanic.probe.xen.record_of_xen import record_of_xen
from onpanic.probe.xen.xen_conversation import CONTROL_WORD, XenAnswer, XenConversation
from onpanic.shims import Libvirt

from .fleets import host

__all__ = ("CAPABILITIES", "REFUSED", "xen_emulator", "xen_host")

#: What a Xen says of itself that runs guests of each type.
CAPABILITIES = "xen-3.0-x86_64 hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64"

#: How libvirt refuses a word.
REFUSED = XenAnswer(accepted=False, said="unsupported configuration: unknown on_crash action")

_ALL = dict.fromkeys(("", *ON_CRASH_WORDS), XenAnswer(accepted=True)) | {CONTROL_WORD: REFUSED}


def xen_emulator(
    version: str = "4.17",
    libvirt: str | None = "9.0.0",
    *,
    capabilities: str = CAPABILITIES,
    words: Mapping[str, XenAnswer] = {},
) -> HostEmulator:
    """Return what is recorded of a host's Xen.

    :param libvirt: The version; None for a host whose xl was asked.
    :param words: Answers that are not those of a toolstack that accepts all actions.
    """
    conversation = XenConversation(
        toolstack=f"libvirt {libvirt}" if libvirt else "xl",
        version=version,
        target="x86_64",
        guest_types=guest_types_of(capabilities),
        types_from=f"Xen's capabilities: {capabilities}",
        words={**_ALL, **words},
    )
    record = record_of_xen(conversation, Probed("2026-11-27T11:00:00Z", "onpanic 0.1.0", 0.9))
    return HostEmulator(
        path=XEN,
        found_in=["libvirt" if libvirt else "path"],
        runs=["x86_64"],
        domain_types=[XEN] if libvirt else [],
        machine_types=[one.name for one in record.machines if one.facts[GUEST_TYPE].answer != "no"],
        aliases={alias: one.name for one in record.machines for alias in one.aliases},
        record=record,
    )


def xen_host(
    name: str = "xen1",
    *,
    libvirt: str | None = "9.0.0",
    xen: HostEmulator | None = None,
    at: str = "2026-11-27T11:00:00Z",
) -> HostRecord:
    """Return the record of a dom0.

    :param libvirt: The version; None for a host without libvirt.
    :param xen: Its Xen; one that runs and accepts everything if None.
    """
    found = host(name, libvirt=libvirt, emulators=[], at=at)
    known = None
    if found.libvirt and libvirt:
        by_version = msgspec.structs.replace(Libvirt.of(libvirt), known_by="version")
        known = type(found.libvirt).of("xen:///system", libvirt, by_version)
    return msgspec.structs.replace(
        found,
        kvm=HostKvm(usable="no", hyperv="no", detail="/dev/kvm: No such file or directory"),
        libvirt=known,
        xen=xen or xen_emulator(libvirt=libvirt),
    )
