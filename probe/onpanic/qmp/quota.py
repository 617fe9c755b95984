"""How much an emulator may send: the bound on memory.

Messages are kept as Python values, and two bytes of JSON (``[]``) can take a hundred bytes of
memory, so values are counted beside bytes.  Within these bounds onpanic uses less than
200 MiB; with a real emulator it uses 30 MiB.
"""

import re

from onpanic.core.errors import ProtocolFault

__all__ = ("MESSAGE_LIMIT", "Quota")

#: Bytes in one message.  The largest real one is QEMU 11.1's schema, about 250 KiB.
MESSAGE_LIMIT = 2**20
#: Messages of one start, events included.
MESSAGES_LIMIT = 5000
#: Bytes of all starts of one emulator.  ``--acpi`` takes half a megabyte for each machine type.
BYTES_LIMIT = 96 * 2**20
#: JSON values in them.  A machine type takes 500, the schema 30,000.
VALUES_LIMIT = 250_000

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')


class Quota:
    """What one emulator may still send, over all its starts."""

    def __init__(self) -> None:
        self._bytes = 0
        self._values = 0

    def spend(self, line: bytes, messages: int) -> None:
        """Count a message before it is parsed.

        :param line: The message.
        :param messages: How many messages this start has exchanged.
        :raise ProtocolFault: When the emulator has sent too much.
        """
        self._bytes += len(line)
        structure = _STRING.sub(b"", line)
        self._values += structure.count(b",") + structure.count(b"[") + structure.count(b"{")
        if messages > MESSAGES_LIMIT or self._bytes > BYTES_LIMIT or self._values > VALUES_LIMIT:
            raise ProtocolFault(
                f"said too much: {messages} messages, {self._bytes} bytes, {self._values} values",
                "no QEMU does; run the command by hand to see what it prints",
            )
