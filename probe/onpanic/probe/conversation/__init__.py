"""Conversations: what was sent to an emulator, and what it answered.

A conversation is one start of one emulator.  A live probe, a recording and a running guest's
monitor all become conversations, and everything else is read from conversations only, so that
there is one path from evidence to fact whatever the source.
"""

from onpanic.probe.conversation.accesses import PortAccess
from onpanic.probe.conversation.conversation import Conversation
from onpanic.probe.conversation.entry import Entry
from onpanic.probe.conversation.reply import Refusal, Reply

__all__ = ("Conversation", "Entry", "PortAccess", "Refusal", "Reply")
