"""Whether a guest can have the vmcoreinfo device, through which it says where its kernel's log is."""

from collections.abc import Sequence

from onpanic.probe.conversation import Conversation
from onpanic.probe.emulator.notifier_models import VMCOREINFO_TYPE
from onpanic.probe.emulator.opening_commands import FW_CFG
from onpanic.probe.facts.fact import Fact, no, unknown, yes
from onpanic.probe.facts.question import Excerpt, Question
from onpanic.probe.observations.machines import is_made
from onpanic.probe.observations.qom_types import known_types

__all__ = ("QUESTIONS",)

_DMA, _LATE = "dma_enabled", "hotplugged"
_ADDED = ("/machine/peripheral", "/machine/peripheral-anon")


def vmcoreinfo_attachable(conversations: Sequence[Conversation]) -> Fact:
    """Return whether a guest of the machine type can have the device.

    QEMU refuses it for want of fw_cfg with DMA, and for nothing else (its ``hw/misc/vmcoreinfo.c``).  A board
    may make fw_cfg after the devices of the command line, which QEMU then calls hotplugged: ``virt`` of
    riscv64 in QEMU 7.2 does.  Compared with a start of each machine type of Debian's QEMU 7.2 and 10.0 for
    all architectures, and 5.2 and 11.1 for x86.

    :param conversations: Those with the machine type.
    """
    made = [c for c in conversations if is_made(c)]
    for conversation in made:
        if VMCOREINFO_TYPE in conversation.devices and conversation.answered:
            return yes("observed", f"-device {VMCOREINFO_TYPE} was accepted")
        if not conversation.argv and _has_it(conversation):
            return yes("introspected", f"the running machine has a {VMCOREINFO_TYPE}")
    known = known_types(conversations).get(VMCOREINFO_TYPE)
    if known is False:
        return no("introspected", f"the emulator has no type {VMCOREINFO_TYPE}")
    for conversation in made:
        found = _of_fw_cfg(conversation, known=known)
        if found is not None:
            return found
    if conversations and all(c.refused_to_start for c in conversations):
        return unknown("it does not start here")
    return unknown(f"the emulator was not asked for {FW_CFG}, or does not answer")


def _of_fw_cfg(conversation: Conversation, *, known: bool | None) -> Fact | None:
    """Return what fw_cfg says; None if it was not asked, or did not answer.

    :param known: Whether the emulator has the type of the device; None if that is unknown.
    """
    dma, late = (conversation.reply("qom-get", path=FW_CFG, property=name) for name in (_DMA, _LATE))
    if dma and dma.refusal and dma.refusal.error_class == "DeviceNotFound":
        return no("introspected", "the machine type has no fw_cfg, which the device needs")
    if dma and dma.ok and not dma.value:
        return no("introspected", "its fw_cfg has no DMA, which the device needs")
    if dma and dma.ok and late and late.ok and late.value:
        return no("introspected", "its fw_cfg, which the device needs, is made after all devices")
    if not (dma and dma.ok and late and late.ok):
        return None
    if known is None:
        return unknown(f"the emulator does not say whether it has the type {VMCOREINFO_TYPE}")
    return yes("introspected", "its fw_cfg has DMA, which is all that the device needs")


def _has_it(conversation: Conversation) -> bool:
    """Return whether a running machine lists the device."""
    listings = [conversation.reply("qom-list", path=folder) for folder in _ADDED]
    kinds = [item["type"] for reply in listings if reply and reply.ok for item in reply.items]
    return f"child<{VMCOREINFO_TYPE}>" in kinds


#: The question that this module answers.
QUESTIONS = (
    Question(
        "vmcoreinfo-attachable",
        scope="machine",
        asks="Can the guest have the vmcoreinfo device, without which its last words may not be found?",
        known_from="qom-get of the properties of /machine/fw_cfg: the device needs its DMA",
        read=vmcoreinfo_attachable,
        shows=Excerpt(
            ("qom-list", "qom-get", "qom-list-types", "device-list-properties"),
            (VMCOREINFO_TYPE,),
            properties=(_DMA, _LATE),
        ),
    ),
)
