"""How much an emulator may say: the bound on memory.

What is said is kept as Python values, and two bytes of JSON (``[]``) can take a hundred
in memory; so values are counted beside bytes.  With these bounds onpanic stays below
200 MiB; a real emulator takes it to 30 MiB.
"""

from .errors import ProtocolFault

__all__ = ("MESSAGE_LIMIT", "Budget")

#: Bytes in one message.  The largest real one is QEMU 11.1's schema, about 250 KiB.
MESSAGE_LIMIT = 2**20
#: Messages of one start, events included.
MESSAGES_LIMIT = 5000
#: Bytes that one emulator says in all its starts.  `--acpi` takes half a megabyte for a machine type.
BYTES_LIMIT = 96 * 2**20
#: JSON values in them.  A machine type takes 500, the schema 30,000.
VALUES_LIMIT = 250_000


class Budget:
    """What is left to one emulator."""

    def __init__(self) -> None:
        self._bytes = 0
        self._values = 0

    def spend(self, line: bytes, messages: int) -> None:
        """Account for a message before it is read.

        :param messages: How many there were in this start.
        :raise ProtocolFault: When it is too much.
        """
        self._bytes += len(line)
        self._values += line.count(b",") + line.count(b"[") + line.count(b"{")
        if messages > MESSAGES_LIMIT or self._bytes > BYTES_LIMIT or self._values > VALUES_LIMIT:
            raise ProtocolFault(
                f"said too much: {messages} messages, {self._bytes} bytes, {self._values} values",
                "no QEMU does; see what the command prints when it is run by hand",
            )
