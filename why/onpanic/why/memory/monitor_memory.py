"""A guest's memory through its QMP monitor.

QEMU writes what is asked for to descriptors that are sent to it, so that no file is needed and QEMU's user
needs no rights.  Where a descriptor cannot be sent or opened, the human monitor prints the memory.
"""

import os
import re
import struct
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Protocol

from onpanic.core.untrusted import printable
from onpanic.qmp.client import CommandError
from onpanic.why.memory.elf_dump import ElfDump
from onpanic.why.memory.ram_ranges import MEMORY_MAP, ram_ranges
from onpanic.why.memory.reading import MemoryFault

__all__ = ("MonitorCommands", "MonitorMemory", "monitor_memory")

#: Where boards have their memory; anything else is looked up in `MEMORY_MAP`.
_BASES = (0, 0x4000_0000, 0x8000_0000)

_DUMP_LENGTH = 4096  # bytes of memory, beside all notes
_MAX_DUMP = 16 << 20  # bytes
_MAX_PIECE = 16 << 20  # bytes that QEMU writes at a time; it does nothing else meanwhile
_OWN = "onpanic"  # what QEMU lists our descriptors as
_MOST_LEFT = 16  # descriptors of ours that QEMU may have kept
_XP_PIECE = 32768  # bytes that the human monitor prints at a time, as 130 KiB of text
_XP_LINE = re.compile(r"^[0-9a-f]+:((?: 0x[0-9a-f]{16})+)\r?$", re.MULTILINE)


class MonitorCommands(Protocol):
    """The part of `onpanic.qmp.client.QmpClient` that reading memory needs."""

    async def execute(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Send a command and return what it returns.  Raises `CommandError` when it is refused."""

    def send_descriptor(self, descriptor: int) -> None:
        """Send a file descriptor.  Raises `OSError` if the connection cannot."""


class MonitorMemory:
    """A guest's memory, read through its monitor; see `monitor_memory`.

    :param connection: A connection to the monitor.
    :param byte_order: The guest's, ``<`` or ``>`` as in `struct`; `headers` finds it out.
    :ivar byte_order: The order in which the human monitor takes bytes for a word.
    """

    def __init__(self, connection: MonitorCommands, byte_order: str = "<") -> None:
        self._connection = connection
        self.byte_order = byte_order
        self._piece: int | None = None  # a descriptor that QEMU has, too
        self._piece_path = ""

    async def headers(self) -> ElfDump:
        """Return the headers and notes that a dump of the guest has.

        QEMU stops a running guest while it dumps, so the guest must have stopped already.

        :raise MemoryFault: When QEMU does not write them, with its own words.
        :raise ConnectionLostError: When there is no answer.
        """
        refusal = ""
        for base in (*_BASES, None):
            begin = await self._first_ram() if base is None else base
            with _memory_file() as file:
                try:
                    await self._dump(file, begin)
                except CommandError as error:
                    refusal = refusal or printable(error.desc, 200)
                    continue
                dump = ElfDump.read(_Bytes(os.pread(file, _MAX_DUMP, 0)))
            self.byte_order = dump.byte_order
            return dump
        raise MemoryFault(f"QEMU's dump-guest-memory: {refusal}")

    async def fetch(self, address: int, length: int) -> bytes:
        """Return the bytes at a physical address.

        :raise MemoryFault: When QEMU does not return them.
        :raise ConnectionLostError: When there is no answer.
        """
        read = self._print if self._piece is None else self._save
        parts = []
        while length > 0:
            size = min(length, _XP_PIECE if self._piece is None else _MAX_PIECE)
            try:
                parts.append(await read(address, size))
            except CommandError as error:
                said = printable(error.desc, 200)
                if self._piece is not None and "open" in said:  # /proc is not there, or not for QEMU
                    self._close_piece()
                    read = self._print
                    continue
                raise MemoryFault(f"memory at {address:#x}: {said}") from error
            address, length = address + size, length - size
        return b"".join(parts)

    async def can_be_searched(self, address: int) -> bool:
        """Return whether QEMU writes memory to a descriptor, and need not print all of it.

        :param address: Where the guest has memory.
        :raise ConnectionLostError: When there is no answer.
        """
        with suppress(MemoryFault):
            await self.fetch(address, 8)
        return self._piece is not None

    async def virtual(self, address: int, length: int) -> bytes:
        """Return the bytes at a virtual address of the first processor.

        :raise MemoryFault: When nothing is mapped there, or QEMU has no descriptor to write to.
        :raise ConnectionLostError: When there is no answer.
        """
        if self._piece is None:
            raise MemoryFault("QEMU has no descriptor to write virtual memory to")
        signed = address - (1 << 64) if address >> 63 else address
        arguments = {"val": signed, "size": length, "filename": self._piece_path}
        try:
            await self._connection.execute("memsave", arguments)
        except CommandError as error:
            raise MemoryFault(f"memory at {address:#x}: {printable(error.desc, 200)}") from error
        return os.pread(self._piece, length, 0)

    async def open(self) -> None:
        """Give QEMU a descriptor that it can write memory to; without it, `fetch` is slower.

        QEMU before 9.1 keeps a descriptor that is taken back while its guest is stopped, and later ones keep
        that of a client that was killed.  QEMU must not run out of them, so no more than 16 are given.
        """
        if await self._left() >= _MOST_LEFT:
            return
        file = os.memfd_create("onpanic")
        try:
            os.fchmod(file, 0o666)
            self._connection.send_descriptor(file)
            added = await self._connection.execute("add-fd", {"opaque": _OWN})
            number, self._set = int(added["fd"]), int(added["fdset-id"])
        except (OSError, CommandError, KeyError, TypeError, ValueError):
            os.close(file)
        except BaseException:
            os.close(file)
            raise
        else:
            self._piece, self._piece_path = file, f"/proc/self/fd/{number}"

    async def close(self) -> None:
        """Take back what `open` gave."""
        try:
            if self._piece_path:
                with suppress(Exception):  # what was read, or why it was not, counts more
                    await self._connection.execute("remove-fd", {"fdset-id": self._set})
        finally:
            self._close_piece()

    def _close_piece(self) -> None:
        if self._piece is not None:
            os.truncate(self._piece, 0)  # QEMU may keep it
            os.close(self._piece)
            self._piece = None

    async def _left(self) -> int:
        """Return how many descriptors of ours QEMU has."""
        try:
            sets = await self._connection.execute("query-fdsets")
            return sum(one.get("opaque") == _OWN for each in sets for one in each["fds"])
        except (CommandError, KeyError, TypeError, AttributeError):
            return 0

    async def _save(self, address: int, length: int) -> bytes:
        assert self._piece is not None
        arguments = {"val": address, "size": length, "filename": self._piece_path}
        await self._connection.execute("pmemsave", arguments)
        return os.pread(self._piece, length, 0)

    async def _print(self, address: int, length: int) -> bytes:
        start = address & ~7
        count = (address + length - start + 7) // 8
        line = f"xp /{count}gx {start:#x}"
        text = await self._connection.execute("human-monitor-command", {"command-line": line})
        words = [int(word, 16) for match in _XP_LINE.finditer(str(text)) for word in match[1].split()]
        if len(words) != count:
            raise MemoryFault(f"memory at {address:#x}: {printable(str(text), 100)}")
        content = struct.pack(f"{self.byte_order}{count}Q", *words)
        return content[address - start :][:length]

    async def _dump(self, file: int, begin: int) -> None:
        """Dump a page to a descriptor.

        :raise CommandError: When QEMU refuses.
        """
        name = "onpanic-notes"
        try:
            self._connection.send_descriptor(file)
        except OSError as error:
            raise MemoryFault(f"a descriptor cannot be sent to QEMU: {error}") from error
        await self._connection.execute("getfd", {"fdname": name})
        arguments = {"paging": False, "protocol": f"fd:{name}", "begin": begin, "length": _DUMP_LENGTH}
        try:
            await self._connection.execute("dump-guest-memory", arguments)
        except BaseException:
            with suppress(Exception):
                await self._connection.execute("closefd", {"fdname": name})
            raise

    async def _first_ram(self) -> int:
        line = {"command-line": MEMORY_MAP}
        ranges = ram_ranges(str(await self._connection.execute("human-monitor-command", line)))
        return ranges[0].address if ranges else 0


class _Bytes:
    """A dump in memory."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def at(self, offset: int, length: int) -> bytes:
        return self._content[offset : offset + length]


@asynccontextmanager
async def monitor_memory(connection: MonitorCommands, byte_order: str = "<") -> AsyncIterator[MonitorMemory]:
    """Return a guest's memory; on the way out, take back what QEMU was given for it."""
    memory = MonitorMemory(connection, byte_order)
    await memory.open()
    try:
        yield memory
    finally:
        await memory.close()


@contextmanager
def _memory_file() -> Iterator[int]:
    """Return a descriptor of a file in memory."""
    file = os.memfd_create("onpanic")
    try:
        yield file
    finally:
        os.close(file)
