"""How far code in the guest got that should have reported a panic, as a conversation shows it.

This distinguishes "it reported nothing" from "it was not executed in time".
"""

import re

from onpanic.probe.conversation import Conversation
from onpanic.probe.emulator.boot_image import MARKER

__all__ = ("MARKER_LINE", "REGISTERS_LINE", "in_disabled_wait", "marker")

#: The human monitor's lines that show it.
MARKER_LINE = f"xp /1xw {MARKER:#x}"
REGISTERS_LINE = "info registers"

_WORD = re.compile(r"^[0-9a-f]+: 0x([0-9a-f]{8})\b", re.MULTILINE)
_PSW = re.compile(r"PSW=mask ([0-9a-f]{16}) addr [0-9a-f]{16}")
_WAIT = 1 << 49
# Input/output, external and machine-check interruptions (Principles of Operation, 4)
_ENABLED = (1 << 57) | (1 << 56) | (1 << 50)


def marker(conversation: Conversation) -> int:
    """Return the marker that was read last: 0, `PASSED` or `FAULTED`; 0 if it was not read."""
    found = [_WORD.search(text) for text in _answers(conversation, MARKER_LINE)]
    return int(found[-1][1], 16) if found and found[-1] else 0


def in_disabled_wait(conversation: Conversation) -> bool:
    """Return whether the s390x CPU was waiting with interrupts disabled when its registers were read last."""
    found = [_PSW.search(text) for text in _answers(conversation, REGISTERS_LINE)]
    mask = int(found[-1][1], 16) if found and found[-1] else 0
    return bool(mask & _WAIT) and not mask & _ENABLED


def _answers(conversation: Conversation, line: str) -> list[str]:
    replies = conversation.all_replies("human-monitor-command", **{"command-line": line})
    return [str(reply.value) for reply in replies if reply.ok]
