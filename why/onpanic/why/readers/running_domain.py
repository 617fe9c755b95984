"""The log of a running libvirt domain's guest, which is neither stopped nor tainted for it."""

from collections.abc import Sequence

import msgspec

from onpanic.shims.domain_xml.domain_machine import DomainMachine
from onpanic.why.kernel.kernel_memory import byte_order_of
from onpanic.why.locating.unnoted_words import FoundNote, MemorySearch, find_note, unnoted_words
from onpanic.why.locating.virtual_note import find_in_virtual_memory
from onpanic.why.memory.domain_memory import DomainMemory
from onpanic.why.memory.reading import MemoryRange, read_with
from onpanic.why.words.last_words import LastWords

__all__ = ("find_in_domain", "words_of_running_domain")

_NO_KERNEL = "the guest is running, and what its first processor sees leads to no Linux kernel's vmcoreinfo"


def find_in_domain(
    memory: DomainMemory,
    architecture: str,
    ranges: Sequence[MemoryRange] = (),
    search: MemorySearch | None = None,
) -> FoundNote:
    """Return the vmcoreinfo of a domain's guest without a dump: of x86_64 and s390x, of others by a search.

    :param memory: The domain's memory.
    :param architecture: As QEMU names it.
    :param ranges: Where the guest's memory is; only for a search.
    :param search: Whether memory is searched if there is no other way.
    """
    if architecture == "x86_64":
        found = find_in_virtual_memory(memory.virtual, _NO_KERNEL)
        if found.text is not None or search is None:
            return found
    finding = find_note(
        architecture,
        None,
        byte_order=byte_order_of(architecture),
        ranges=ranges,
        search=search,
        otherwise=_NO_KERNEL,
    )
    return read_with(finding, memory.fetch)


def words_of_running_domain(
    memory: DomainMemory,
    machine: DomainMachine,
    ranges: Sequence[MemoryRange] = (),
    search: MemorySearch | None = None,
) -> LastWords:
    """Return the log of a running domain's guest; it may be torn.

    :param memory: The domain's memory.
    :param machine: What its XML describes.
    :param ranges: Where the guest's memory is; only for a search.
    :param search: Whether memory is searched if there is no other way.
    """
    found = find_in_domain(memory, machine.target, ranges, search)
    reading = unnoted_words(found, machine.target, byte_order_of(machine.target), "libvirt")
    return msgspec.structs.replace(read_with(reading, memory.fetch), torn=True)
