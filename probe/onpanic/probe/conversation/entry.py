"""One line of a conversation, and of a recording file.

========= ======== =====================================================================
chan      dir      msg
========= ======== =====================================================================
proc      argv     list of str, the command line; starts a conversation
proc      exit     an object: ``rc``, ``killed``, ``stderr``, and ``why``, ``hint``, ``fault``
qmp       send     a QMP command          (QEMU's ``docs/interop/qmp-spec``)
qmp       recv     greeting, answer or event
qtest     send     a line of the qtest protocol (QEMU's ``softmmu/qtest.c``), e.g. ``outb 0x505 0x1``
qtest     recv     its answer, e.g. ``OK``
guest     send     a port access that code in the guest made by itself, in qtest's words
note      info     str, a remark by the recorder
========= ======== =====================================================================
"""

from typing import Any, Literal

import msgspec

__all__ = ("Channel", "Direction", "Entry")

Channel = Literal["proc", "qmp", "qtest", "guest", "note"]
Direction = Literal["argv", "send", "recv", "exit", "info"]


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a conversation.

    :param chan: The channel that it came through.
    :param dir: ``argv`` or ``exit`` of a process, ``send`` or ``recv`` of a protocol, ``info`` of a note.
    :param msg: The message, see the table above.
    :param t: Seconds since the emulator was started.
    """

    chan: Channel
    dir: Direction
    msg: Any = None
    t: float = 0.0

    @property
    def event(self) -> str:
        """The name of a QMP event; empty for anything else."""
        if self.chan == "qmp" and self.dir == "recv" and isinstance(self.msg, dict):
            name = self.msg.get("event")
            return name if isinstance(name, str) else ""
        return ""
