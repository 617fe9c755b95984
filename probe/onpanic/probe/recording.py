"""Recordings: conversations in a file, so that an exotic QEMU can travel.

A recording is text, one JSON object a line, in the form of `conversation.Entry`.  The
first line is a note that says what it is; each ``argv`` entry starts a conversation.
Files of others in that form, without the note, are read as well.
"""

import os
import signal
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from .conversation import Conversation, Entry
from .errors import RecordingError
from .foreign import wellformed

__all__ = ("Recording", "load", "save", "write_whole")

_FORM = 1
_LIMIT = 256 * 2**20  # bytes; one machine type takes 50 KiB


class Recording(msgspec.Struct, frozen=True):
    """What a recording holds.

    :param command: How the emulator was started.
    :param conversations: What was said.
    """

    command: list[str]
    conversations: list[Conversation]


def save(path: Path, command: Sequence[str], conversations: Iterable[Conversation], by: str) -> None:
    """Write a recording, whole or not at all.

    :param by: The program that made it, with its version.
    :raise RecordingError: When it cannot be written.
    """
    note = Entry("note", "info", {"onpanic-recording": _FORM, "command": list(command), "by": by})
    entries = [note, *(entry for conversation in conversations for entry in conversation.entries)]
    try:
        write_whole(path, b"".join(_line(entry) for entry in entries))
    except OSError as error:
        raise RecordingError(f"{path}: cannot be written: {error.strerror}", "name another file") from error


def load(path: Path) -> Recording:
    """Read a recording.

    :raise RecordingError: When it is not one.
    """
    try:
        if path.stat().st_size > _LIMIT:
            raise RecordingError(
                f"{path}: more than {_LIMIT >> 20} MiB", "recordings are small; is this one?"
            )
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise RecordingError(
            f"{path}: {error.strerror}", "onpanic probe --save-recording FILE writes one"
        ) from error
    decoder = msgspec.json.Decoder(Entry)
    entries: list[Entry] = []
    for number, line in enumerate(lines, 1):
        try:
            if line.strip():
                entries.append(decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RecordingError(
                f"{path}:{number}: not a line of a recording: {error}",
                "onpanic probe --save-recording FILE writes one",
            ) from error
    conversations = _split(entries)
    if not conversations:
        raise RecordingError(
            f"{path}: holds no conversation", "onpanic probe --save-recording FILE writes one"
        )
    versions = {str(c.greeting.get("version")) for c in conversations if c.greeting}
    if len(versions) > 1:
        raise RecordingError(f"{path}: holds conversations with different emulators", "leave one emulator's")
    return Recording(_command(entries, conversations), conversations)


def write_whole(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Write a file whole or not at all; what is no file, as a pipe, is just written to.

    :param mode: The file's permissions; None for those that it has, or that new files have.
    :raise OSError: When that cannot be done; the file is as it was.
    """
    if path.exists() and not path.is_file():  # before a link is followed: a pipe has no path
        path.write_bytes(data)
        return
    path = path.resolve()
    # A signal may end the process where it stands; it has to wait until the file is whole
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        _write_and_rename(path, data, mode)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _write_and_rename(path: Path, data: bytes, mode: int | None) -> None:
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=".onpanic.")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        usual = path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask()
        Path(name).chmod(usual if mode is None else mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _line(entry: Entry) -> bytes:
    try:
        return msgspec.json.encode(entry) + b"\n"
    except UnicodeEncodeError:
        return msgspec.json.encode(wellformed(msgspec.to_builtins(entry))) + b"\n"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _split(entries: Sequence[Entry]) -> list[Conversation]:
    """Cut at each start of an emulator; a recording of a live monitor has none."""
    cut: list[list[Entry]] = []
    for entry in entries:
        starts = entry.chan == "proc" and entry.dir == "argv"
        if starts or (not cut and entry.chan == "qmp"):
            cut.append([])
        if cut:
            cut[-1].append(entry)
    return [Conversation(part) for part in cut]


def _command(entries: Sequence[Entry], conversations: Sequence[Conversation]) -> list[str]:
    for entry in entries[:1]:
        if (
            entry.chan == "note"
            and isinstance(entry.msg, dict)
            and isinstance(entry.msg.get("command"), list)
        ):
            return [str(word) for word in entry.msg["command"]]
    return conversations[0].argv[:1]
