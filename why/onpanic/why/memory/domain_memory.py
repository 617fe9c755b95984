"""A domain's memory through libvirt, which marks the domain as tainted for none of this.

The notes are the beginning of a dump.  libvirt writes it to a FIFO that is closed once they have arrived, so
that the dump fails: the domain stays as it is.  libvirt keeps the domain locked until something reads the
FIFO, and would do so for ever if its reader were gone by then.  A process of its own therefore keeps the
FIFO open as well: when this one is killed, it removes the FIFO, and then lets go of it, which ends the dump.
"""

import os
import secrets
import select
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

from onpanic.core.libvirt_api import CallThread, libvirt_module
from onpanic.core.untrusted import printable
from onpanic.why.memory.elf_dump import ElfDump
from onpanic.why.memory.reading import MemoryFault

__all__ = ("DomainMemory", "domain_memory")

Result = TypeVar("Result")

#: Bytes of one `memoryPeek`: libvirt allows 4 MiB, and takes longest for each byte of such large ones.
_PIECE = 1 << 20

_MAX_NOTES = 16 << 20  # bytes of a dump that are looked at; a note for each of 4,096 CPUs fits
_CHUNK = 65536  # bytes
_LOCK = 30.0  # seconds that libvirt waits for the domain before it refuses a dump
_LATE = 10.0  # seconds that a late dump may take to begin
#: Ends with the process that has the other end of its stdin; meanwhile libvirt may be opening the FIFO.
#: The path is in its environment, since everybody may read its command line.
_GUARDING = 'read -r _; rm -f -- "$ONPANIC_FIFO"; rmdir -- "${ONPANIC_FIFO%/*}"; sleep 1'
_POLL = 0.05  # seconds
_LEFT = 1.0  # seconds that libvirt has to end the dump


class DomainMemory:
    """A domain's memory, see `domain_memory`.

    :param domain: A `libvirt.virDomain` that QEMU runs on this host,
        and that has stopped if its headers are read.
    :param deadline: When all of it must be read, in seconds of `time.monotonic`.
    :param folders: Where a FIFO may be made, in order of preference: libvirt must be able to open it.
    """

    def __init__(self, domain: Any, deadline: float, folders: Sequence[Path | None]) -> None:
        self._domain = domain
        self._deadline = deadline
        self._folders = folders
        self._calls = CallThread()

    def headers(self) -> ElfDump:
        """Return the headers and notes that a dump of the domain has.

        :raise MemoryFault: When libvirt does not write them in time, with its own words.
        """
        refusal: MemoryFault | None = None
        for folder in self._folders:
            try:
                return self._headers_in(folder)
            except _CannotOpenError as error:
                refusal = refusal or error
        raise refusal or MemoryFault("there is no folder for a FIFO")

    def fetch(self, address: int, length: int) -> bytes:
        """Return the bytes at a physical address.

        :raise MemoryFault: When libvirt does not return them in time.
        """
        return self._fetch(address, length, libvirt_module().VIR_MEMORY_PHYSICAL)

    def virtual(self, address: int, length: int) -> bytes:
        """Return the bytes at a virtual address of the first processor: its kernel's, or its program's.

        :raise MemoryFault: When nothing is mapped there, or libvirt does not return them in time.
        """
        return self._fetch(address, length, libvirt_module().VIR_MEMORY_VIRTUAL)

    def _fetch(self, address: int, length: int, flags: int) -> bytes:
        parts = []
        while length > 0:
            size = min(length, _PIECE)
            part = self._in_time(partial(self._peek, address, size, flags))
            if len(part) != size:
                raise MemoryFault(f"{address:#x} is not in the guest's memory")
            parts.append(part)
            address, length = address + size, length - size
        return b"".join(parts)

    def close(self) -> None:
        """End the thread, once the call in progress has returned."""
        self._calls.finish(lambda: None)

    def _peek(self, address: int, size: int, flags: int) -> bytes:
        signed = address - (1 << 64) if address >> 63 else address  # as QEMU takes it
        content: bytes = self._domain.memoryPeek(signed, size, flags)
        return content

    def _in_time(self, function: Callable[[], Result]) -> Result:
        """Call libvirt in a thread, and return what that returns.

        :raise MemoryFault: When libvirt refuses, or does not answer before the deadline.
        """
        future = self._calls.submit(function)
        try:
            found: Result = future.result(max(0.0, self._deadline - time.monotonic()))
        except TimeoutError:
            future.cancel()
            raise MemoryFault("libvirt did not answer in time") from None
        except Exception as error:
            raise _fault(error) from error
        return found

    def _headers_in(self, folder: Path | None) -> ElfDump:
        with _fifo(folder) as fifo:
            dump = self._calls.submit(lambda: self._dump(str(fifo.path)))
            fifo.writing = dump
            content = bytearray()
            while True:
                try:
                    return ElfDump.read(_Beginning(content))
                except _IncompleteError:
                    self._read_more(fifo, dump, content)

    def _read_more(self, fifo: "_Fifo", dump: "Future[None]", content: bytearray) -> None:
        """Read from the FIFO.

        :raise MemoryFault: When the dump has ended, or takes too long.
        """
        while True:
            ended = dump.done()  # before the FIFO is read: what was written is still there
            if chunk := fifo.read(0.0 if ended else min(_POLL, self._deadline - time.monotonic())):
                content += chunk
                if len(content) > _MAX_NOTES:
                    raise MemoryFault("the notes of libvirt's dump are too long")
                return
            if ended:
                raise _fault(dump.exception() or MemoryFault("libvirt's dump is incomplete"))
            if time.monotonic() >= self._deadline:
                raise MemoryFault("libvirt did not begin a dump in time")

    def _dump(self, path: str) -> None:
        libvirt = libvirt_module()
        form, flags = libvirt.VIR_DOMAIN_CORE_DUMP_FORMAT_RAW, libvirt.VIR_DUMP_MEMORY_ONLY
        self._domain.coreDumpWithFormat(path, form, flags)


@contextmanager
def domain_memory(
    domain: Any, deadline: float, folders: Sequence[Path | None] = (None,)
) -> Iterator[DomainMemory]:
    """Return a domain's memory, see `DomainMemory`.

    :param folders: None stands for the temporary folder.
    """
    memory = DomainMemory(domain, deadline, folders)
    try:
        yield memory
    finally:
        memory.close()


class _CannotOpenError(MemoryFault):
    """libvirt cannot open the FIFO; another folder may do."""


class _IncompleteError(Exception):
    """More of the dump is needed."""


class _Beginning:
    """The beginning of a dump, as far as it has arrived."""

    def __init__(self, content: bytearray) -> None:
        self._content = content

    def at(self, offset: int, length: int) -> bytes:
        """Return bytes.

        :raise _IncompleteError: When they have not arrived yet.
        """
        if offset + length > len(self._content):
            raise _IncompleteError
        return bytes(self._content[offset : offset + length])


class _Fifo:
    """A FIFO for a dump of libvirt's.

    :ivar path: Its path.
    :ivar writing: The call that writes to it; None before.
    """

    def __init__(self, folder: Path | None) -> None:
        # Everybody may enter the folder, and write to the FIFO, but nobody else knows its name
        self.path = Path(mkdtemp(prefix="onpanic-why-", dir=folder)) / secrets.token_hex(16)
        self.writing: Future[None] | None = None
        self._reader = -1
        self._guard: subprocess.Popen[bytes] | None = None
        self._life = -1
        try:
            self.path.parent.chmod(0o711)  # libvirt's user may be another one, who cannot list the folder
            os.mkfifo(self.path)
            self.path.chmod(0o622)
            self._reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._guard, self._life = _guard(self._reader, self.path)
        except BaseException:
            self._close()
            self._remove()
            raise

    def read(self, seconds: float) -> bytes:
        """Return what arrives within a time; nothing if nothing does."""
        if not select.select([self._reader], [], [], max(seconds, 0.0))[0]:
            return b""
        with suppress(BlockingIOError):
            if chunk := os.read(self._reader, _CHUNK):
                return chunk
        time.sleep(0.001)  # nobody has opened it yet, or the dump is about to return
        return b""

    def release(self, *, begun: bool) -> None:
        """Close and remove the FIFO, as soon as libvirt does not wait for its reader.

        :param begun: Whether libvirt has opened it.
        """
        writing = self.writing
        if begun or writing is None or writing.done():
            self._remove()  # first: once the guard has ended, nothing does so if this process is killed
            self._close()
            if writing is None or _has_returned(writing, _LEFT):
                return
        threading.Thread(target=self._release_later, name="libvirt FIFO", daemon=True).start()

    def _release_later(self) -> None:
        deadline = time.monotonic() + _LOCK + _LATE
        writing = self.writing
        assert writing
        while self._reader >= 0 and time.monotonic() < deadline:
            if writing.done() or self.read(_POLL):  # libvirt does not open it any more
                self._remove()
                break
        self._close()
        _has_returned(writing, _LOCK)
        self._remove()

    def _close(self) -> None:
        if self._reader >= 0:
            os.close(self._reader)
            self._reader = -1
        if self._guard:
            self._guard.kill()
            self._guard.wait()
            self._guard = None
        if self._life >= 0:
            os.close(self._life)
            self._life = -1

    def _remove(self) -> None:
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
        with suppress(OSError):
            self.path.parent.rmdir()


@contextmanager
def _fifo(folder: Path | None) -> Iterator[_Fifo]:
    """Return a FIFO in a folder of its own; on the way out, remove it.

    :raise _CannotOpenError: When it cannot be made.
    """
    try:
        fifo = _Fifo(folder)
    except OSError as error:
        raise _CannotOpenError(f"no FIFO can be made: {error.strerror}") from error
    begun = False
    try:
        yield fifo
        begun = True
    finally:
        fifo.release(begun=begun)


def _guard(reader: int, path: Path) -> tuple[subprocess.Popen[bytes] | None, int]:
    """Start a process that keeps the reader's end open, and removes the FIFO when this process is killed.

    :return: The process, None if that is not possible; and a descriptor that is to be open as long.
    """
    theirs, ours = os.pipe()
    command, environment = ["sh", "-c", _GUARDING], {**os.environ, "ONPANIC_FIFO": str(path)}
    silent = subprocess.DEVNULL
    try:
        guard = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=silent,
            stderr=silent,
            pass_fds=(reader,),
            process_group=0,
            env=environment,
        )
    except OSError:
        os.close(ours)
        return None, -1
    finally:
        os.close(theirs)
    return guard, ours


def _has_returned(call: "Future[Any]", seconds: float) -> bool:
    """Wait for a call, and return whether it has returned or raised."""
    with suppress(Exception):
        call.result(seconds)
    return call.done()


def _fault(error: BaseException) -> MemoryFault:
    """Return what an error of libvirt's means for the reader."""
    if isinstance(error, MemoryFault):
        return error
    libvirt = libvirt_module()
    if not isinstance(error, libvirt.libvirtError):
        return MemoryFault(printable(repr(error), 200))
    text = f"libvirt: {printable(str(error), 200)}"
    opening = error.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR
    return _CannotOpenError(text) if opening else MemoryFault(text)
