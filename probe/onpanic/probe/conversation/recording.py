"""Recordings: conversations in a file, so that a QEMU can be examined on another machine.

A recording is text, one JSON object a line, in the form of `entry.Entry`.  The first line is a
note that says what the file is; each ``argv`` entry starts a conversation.  Files in that form
without the note are read as well.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from onpanic.core.errors import RecordingError
from onpanic.core.files import read_at_most, write_atomically
from onpanic.core.untrusted import wellformed
from onpanic.probe.conversation.conversation import Conversation
from onpanic.probe.conversation.entry import Entry

__all__ = ("Recording", "load", "save")

_FORMAT_VERSION = 1
_LIMIT = 256 * 2**20  # bytes; one machine type takes 50 KiB
_HINT = "onpanic probe --save-recording FILE writes one"


class Recording(msgspec.Struct, frozen=True):
    """What a recording holds.

    :param command: How the emulator was started.
    :param conversations: What was said.
    """

    command: list[str]
    conversations: list[Conversation]

    @property
    def seconds(self) -> float:
        """How long the longest conversation took."""
        return max((entry.t for c in self.conversations for entry in c.entries), default=0.0)


def save(path: Path, command: Sequence[str], conversations: Iterable[Conversation], by: str) -> None:
    """Write a recording, whole or not at all.

    :param command: How the emulator was started.
    :param by: The program that made it, with its version.
    :raise RecordingError: When it cannot be written.
    """
    note = Entry("note", "info", {"onpanic-recording": _FORMAT_VERSION, "command": list(command), "by": by})
    entries = [note, *(entry for conversation in conversations for entry in conversation.entries)]
    try:
        write_atomically(path, b"".join(_line(entry) for entry in entries))
    except OSError as error:
        raise RecordingError(f"{path}: cannot be written: {error.strerror}", "name another file") from error


def load(path: Path) -> Recording:
    """Read a recording.

    :raise RecordingError: When the file is not one.
    """
    entries = _entries(path)
    conversations = _split(entries)
    if not conversations:
        raise RecordingError(f"{path}: holds no conversation", _HINT)
    versions = {str(c.greeting.get("version")) for c in conversations if c.greeting}
    if len(versions) > 1:
        raise RecordingError(
            f"{path}: holds conversations with different emulators", "keep those of one emulator"
        )
    return Recording(_command(entries, conversations), conversations)


def _entries(path: Path) -> list[Entry]:
    try:
        data = read_at_most(path, _LIMIT)  # not by its size, which a device does not have
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}", _HINT) from error
    if len(data) > _LIMIT:
        raise RecordingError(f"{path}: more than {_LIMIT >> 20} MiB", "is it a recording?")
    lines = data.splitlines()
    decoder = msgspec.json.Decoder(Entry)
    entries: list[Entry] = []
    for number, line in enumerate(lines, 1):
        try:
            if line.strip():
                entries.append(decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RecordingError(f"{path}:{number}: not a line of a recording: {error}", _HINT) from error
    return entries


def _line(entry: Entry) -> bytes:
    try:
        return msgspec.json.encode(entry) + b"\n"
    except UnicodeEncodeError:
        return msgspec.json.encode(wellformed(msgspec.to_builtins(entry))) + b"\n"


def _split(entries: Sequence[Entry]) -> list[Conversation]:
    """Cut at each start of an emulator; a recording of a running monitor has none."""
    parts: list[list[Entry]] = []
    for entry in entries:
        starts = entry.chan == "proc" and entry.dir == "argv"
        if starts or (not parts and entry.chan == "qmp"):
            parts.append([])
        if parts:
            parts[-1].append(entry)
    return [Conversation(part) for part in parts]


def _command(entries: Sequence[Entry], conversations: Sequence[Conversation]) -> list[str]:
    first = entries[0]
    if first.chan == "note" and isinstance(first.msg, dict) and isinstance(first.msg.get("command"), list):
        return [str(word) for word in first.msg["command"]]
    return conversations[0].argv[:1]
