"""Facts are read from conversations: pure functions, one question each.

`EMULATOR` and `MACHINE` name every question with the function that answers it.  A
function gets conversations and returns a `Fact`; where they do not hold the answer,
the fact is ``unknown`` and its detail says what would settle it.
"""

from collections.abc import Callable, Sequence

from ..conversation import Conversation
from .acpi import acpi_exposes_pvpanic
from .device import builtin_pvpanic, pvpanic_attachable
from .fact import Answer, Fact, How
from .introspection import (
    guest_crashloaded_event,
    guest_panicked_event,
    isa_pvpanic_type,
    pvpanic_pci_type,
    pvpanic_type,
    set_action_command,
)
from .panic import cont_after_panic, panic_reported, panic_stops_guest

__all__ = ("EMULATOR", "MACHINE", "Answer", "Fact", "How", "Question")

Question = Callable[[Sequence[Conversation]], Fact]

#: What is asked about an emulator: the questions see all its conversations.
EMULATOR: dict[str, Question] = {
    "isa-pvpanic-type": isa_pvpanic_type,
    "pvpanic-type": pvpanic_type,
    "pvpanic-pci-type": pvpanic_pci_type,
    "guest-panicked-event": guest_panicked_event,
    "guest-crashloaded-event": guest_crashloaded_event,
    "set-action-command": set_action_command,
}

#: What is asked about a machine type: the questions see the conversations with that machine type.
MACHINE: dict[str, Question] = {
    "builtin-pvpanic": builtin_pvpanic,
    "pvpanic-attachable": pvpanic_attachable,
    "panic-reported": panic_reported,
    "panic-stops-guest": panic_stops_guest,
    "cont-after-panic": cont_after_panic,
    "acpi-exposes-pvpanic": acpi_exposes_pvpanic,
}
