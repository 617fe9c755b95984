"""Which QOM types of panic notifiers an emulator has, and whether it has the vmcoreinfo device."""

from collections.abc import Sequence

from onpanic.probe.conversation import Conversation
from onpanic.probe.emulator.notifier_models import ISA_TYPES, PCI_TYPE, VMCOREINFO_TYPE

__all__ = ("known_types",)

_TYPES = (*ISA_TYPES, PCI_TYPE, VMCOREINFO_TYPE)


def known_types(conversations: Sequence[Conversation]) -> dict[str, bool]:
    """Return for each of these types whether the emulator has it; unknown ones are left out."""
    found: dict[str, bool] = {}
    for conversation in conversations:
        for reply in conversation.replies:
            if reply.command == "qom-list-types" and reply.ok and not reply.arguments:
                names = {item["name"] for item in reply.items}
                return {name: name in names for name in _TYPES}
            if reply.command == "device-list-properties":
                name = str(reply.arguments.get("typename"))
                absent = reply.refusal is not None and reply.refusal.error_class == "DeviceNotFound"
                if reply.ok or absent:
                    found[name] = reply.ok
    return found
