"""Last words of a libvirt domain."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from onpanic.core.errors import DocumentError
from onpanic.core.libvirt_api import libvirt_module
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.domain_machine import DomainMachine, machine_of
from onpanic.shims.guests.driver import is_on_xen
from onpanic.shims.guests.state_since import log_tail
from onpanic.shims.translation.local_uri import local_parts
from onpanic.why.locating.unnoted_words import MemorySearch
from onpanic.why.memory.domain_memory import domain_memory
from onpanic.why.memory.reading import MemoryFault, read_with
from onpanic.why.readers.domain_ranges import domain_ranges
from onpanic.why.readers.note_words import words_of_dump
from onpanic.why.readers.running_domain import words_of_running_domain
from onpanic.why.words.last_words import LastWords
from onpanic.why.words.panic_event import with_event, words_from_log

__all__ = ("foreign_driver", "words_in_domain")

_ENDED = "the domain does not run: its memory is gone"
_BUSY = "libvirt works on the domain: try again when that is done"
_ELSEWHERE = "the domain's libvirt is on another host: run onpanic on that host, or dump the domain"
_NO_QEMU = "only domains of libvirt's QEMU driver can be read"
_XEN = (
    "neither the memory of a Xen guest nor a core file of Xen is read; virsh dump keeps the memory of a "
    "crashed guest that is preserved"
)
_RUNS_ON = "the domain's own arguments to QEMU let the guest run on when it panics, so it is not read"
_NO_DEVICE = (
    "the domain has no vmcoreinfo device, which <features><vmcoreinfo state='on'/></features> adds "
    "when it is started next; onpanic why --search searches the guest's memory"
)
_NO_FIRMWARE_DEVICE = (
    "the machine cannot have the vmcoreinfo device; onpanic why --search searches the guest's memory"
)
_NO_DRIVER = (
    "the guest has not loaded qemu_fw_cfg, the driver of the vmcoreinfo device; "
    "onpanic why --search searches its memory"
)

#: What encrypts memory, by the type of ``<launchSecurity>``.
_ENCRYPTION = {
    "sev": "AMD SEV",
    "sev-snp": "AMD SEV-SNP",
    "tdx": "Intel TDX",
    "s390-pv": "IBM Secure Execution",
}


def words_in_domain(
    domain: Any,
    timeout: float = 10.0,
    folders: Sequence[Path | None] = (None,),
    search: MemorySearch | None = None,
) -> LastWords:
    """Read a domain's last words, from its memory and from libvirt's log.

    A running guest goes on while it is read.  The domain stays as it is, and is not tainted.  libvirt's dump
    of a stopped one, which is given up at its beginning, makes QEMU report DUMP_COMPLETED with an error.
    Blocks as libvirt does; it has `timeout` for the memory.

    :param domain: A `libvirt.virDomain`.
    :param timeout: Seconds for the notes and all memory.
    :param folders: Where a FIFO may be made that libvirt can open, in order of preference; None is the
        temporary folder.
    :param search: Whether memory is searched if there is no other way; that takes ten seconds for each GiB.
    :raise libvirt.libvirtError: When libvirt does not say what the domain is.
    """
    deadline = time.monotonic() + timeout
    try:
        machine = machine_of(Document(domain.XMLDesc()).root)
    except DocumentError as error:
        return LastWords(source="libvirt", notes=(f"the domain cannot be read: {error.message}",))
    refusal = _refusal(domain, machine)
    if refusal:
        words = LastWords(source="libvirt", notes=(refusal,))
    else:
        words = _in_memory(domain, machine, deadline, folders, search)
    return words if refusal in (_NO_QEMU, _XEN) else _with_logged_event(domain, words)


def foreign_driver(domain: Any) -> str:
    """Return why a domain of another driver than libvirt's for QEMU is not read; empty if it is QEMU's.

    :param domain: A `libvirt.virDomain`.
    :raise libvirt.libvirtError: When libvirt does not answer.
    """
    if is_on_xen(domain):
        return _XEN
    return "" if domain.connect().getType() == "QEMU" else _NO_QEMU


def _in_memory(
    domain: Any,
    machine: DomainMachine,
    deadline: float,
    folders: Sequence[Path | None],
    search: MemorySearch | None,
) -> LastWords:
    ranges = domain_ranges(machine, domain.info()[1] << 10) if search else []
    with domain_memory(domain, deadline, folders) as memory:
        if domain.state()[0] == libvirt_module().VIR_DOMAIN_RUNNING:
            return words_of_running_domain(memory, machine, ranges, search)
        try:
            dump = memory.headers()
        except MemoryFault as fault:
            return LastWords(source="libvirt", notes=(str(fault),))
        reading = words_of_dump(dump, "libvirt", ranges, search, _without_note(machine))
        words = read_with(reading, memory.fetch)
    return msgspec.structs.replace(words, architecture=words.architecture or dump.architecture)


def _without_note(machine: DomainMachine) -> str:
    """Return why there is no note of a guest's vmcoreinfo, and what to do about it."""
    if machine.vmcoreinfo == "on":
        return _NO_DRIVER
    # A pseries machine has no fw_cfg, which the device needs
    return _NO_FIRMWARE_DEVICE if "pseries" in machine.notifiers else _NO_DEVICE


def _with_logged_event(domain: Any, words: LastWords) -> LastWords:
    """Return last words with QEMU's event, which libvirt keeps in its log, also of a domain that has ended.

    :raise libvirt.libvirtError: When libvirt does not answer.
    """
    libvirt = libvirt_module()
    panicked = [libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_CRASHED_PANICKED]
    ended = [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED]
    if domain.state() not in (panicked, ended):
        return words
    event = words_from_log(log_tail(domain))
    return words if event is None else with_event(words, event)


def _refusal(domain: Any, machine: DomainMachine) -> str:
    """Return why a domain cannot be read; empty if it can.

    :raise libvirt.libvirtError: When libvirt does not answer.
    """
    libvirt = libvirt_module()
    connection = domain.connect()
    if foreign := foreign_driver(domain):
        return foreign
    if local_parts(connection) is None:
        return _ELSEWHERE
    if machine.launch_security:
        name = _ENCRYPTION.get(machine.launch_security, machine.launch_security)
        return f"the guest's memory is encrypted by {name}: nothing can be read from outside"
    state, _ = domain.state()
    if state == libvirt.VIR_DOMAIN_RUNNING:
        return ""
    if state not in (libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_PAUSED):
        return _ENDED
    if machine.arguments.panic_action not in ("pause", ""):
        return _RUNS_ON
    busy = domain.controlInfo()[0] != libvirt.VIR_DOMAIN_CONTROL_OK
    try:
        job = domain.jobStats().get("type", libvirt.VIR_DOMAIN_JOB_NONE)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_FAILED:
            raise
        return _BUSY  # a dump has failed, which libvirt is about to notice
    return _BUSY if busy or job != libvirt.VIR_DOMAIN_JOB_NONE else ""
