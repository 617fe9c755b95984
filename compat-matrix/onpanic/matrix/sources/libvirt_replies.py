"""Reads QMP replies that libvirt's tests have recorded: ``tests/qemucapabilitiesdata/*.replies``.

A file is a sequence of JSON objects: what one QEMU with ``-machine none`` was asked.  There are two
formats.  The newer one has each command before its reply; command ids start again where the same QEMU
was started again, with TCG.  The older one starts with a greeting, and has replies only.

A reply is used if its content shows which command it answers, in both formats.  In the older one,
nothing else is reliable, as the position of a reply changed with each version of libvirt.  In the
newer one it is a check: files are edited by hand, and a list of CPU models after ``qom-list-types``
would give a wrong answer.  If replies to one command differ, none of them is used.

Only what an emulator reports about itself is used, so that all facts about behaviour are unknown.
The file's name is not used: it has the version that QEMU was about to become.  The files belong to
libvirt (LGPL-2.1-or-later) and are not copied.

Rejected: deriving the target of a file without ``query-target`` from its types, as there is no such
file; and refusing a file because of one reply that cannot be identified, as libvirt has such files.
"""

import re
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from onpanic.core.errors import RecordingError
from onpanic.core.files import read_at_most
from onpanic.core.json_decoding import decode_json
from onpanic.probe import api
from onpanic.probe.conversation import Conversation, Entry
from onpanic.probe.conversation.reply_types import fits
from onpanic.probe.observations.machines import target_of
from onpanic.probe.record.capability_record import CapabilityRecord
from onpanic.probe.record.evidence import with_evidence

__all__ = ("conversations", "record", "replies_files")

_LIMIT = 8 * 2**20  # bytes; libvirt's files have 1 MiB
_MAX_OBJECTS = 10_000  # libvirt's files have 120
_HINT = "libvirt's are in tests/qemucapabilitiesdata"
_FOLDERS = (".", "qemucapabilitiesdata", "tests/qemucapabilitiesdata")
# Objects are separated by an empty line, and contain none (libvirt's scripts/qemu-replies-tool.py)
_SEPARATOR = re.compile(rb"\n\s*\n")


class _ListKind(msgspec.Struct, frozen=True):
    """How to recognise a list of named things.

    :param names: Names that are in every such list, from QEMU 1.2 to 11.
    :param marks: Members that only items of such a list have.  If there are any, the list has at least
        one of them, and no member that marks another kind.
    :param identity: The members in which all such lists of one emulator agree.
    """

    names: set[str]
    marks: set[str] = set()
    identity: tuple[str, ...] = ("name",)


_LISTS = {
    "query-commands": _ListKind({"qmp_capabilities", "query-commands"}),
    "query-events": _ListKind({"SHUTDOWN", "RESET", "STOP"}),
    "query-qmp-schema": _ListKind({"query-version", "SHUTDOWN"}, {"meta-type"}, ("name", "meta-type")),
    "qom-list-types": _ListKind({"container", "System"}),
    # Before QEMU 1.5 only the default one has a mark; with TCG there may be others than with KVM
    "query-machines": _ListKind({"none"}, {"cpu-max", "is-default"}, ()),
}
_OTHER_MARKS = {"alias-of", "type", "typename"}  # of CPU models and properties
_MARKS = _OTHER_MARKS.union(*(kind.marks for kind in _LISTS.values()))


class _VersionNumber(msgspec.Struct, frozen=True):
    major: int
    minor: int
    micro: int


class _Version(msgspec.Struct, frozen=True):
    """What ``query-version`` returns."""

    qemu: _VersionNumber
    package: str = ""

    def __str__(self) -> str:
        return f"{self.qemu.major}.{self.qemu.minor}.{self.qemu.micro} {self.package}".strip()


class _KnownReply(msgspec.Struct, frozen=True):
    """A reply whose command is certain.

    :param command: The command.
    :param value: What it returned.
    :param identity: The part in which all replies to the command agree; the rest may differ between two
        starts of one QEMU.
    """

    command: str
    value: Any
    identity: Hashable


def replies_files(folder: Path) -> list[Path]:
    """Return the files in a folder, or in a checkout of libvirt, sorted by name: 2.9 before 2.10.

    :raise RecordingError: When there are none.
    """
    for name in _FOLDERS:
        try:
            files = list((folder / name).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise RecordingError(f"{folder / name}: {error.strerror}", _HINT) from error
        found = [path for path in files if path.suffix == ".replies" and not path.is_dir()]
        if found:
            return sorted(found, key=_natural)
    raise RecordingError(f"{folder}: holds no *.replies", _HINT)


def record(path: Path) -> CapabilityRecord:
    """Return the record of a file, with all machine types that the emulator lists.

    :raise RecordingError: When it is not such a file.
    """
    held = conversations(path)
    target = next(filter(None, map(target_of, held)), "")
    command = [f"qemu-system-{target}"] if target else []
    try:
        return with_evidence(api.record_from(held, command, 0.0, recorded=True, listed=True), held)
    except RecursionError as error:
        raise RecordingError(f"{path}: nested too deeply", _HINT) from error


def conversations(path: Path) -> list[Conversation]:
    """Return a file's conversations: one for each start, or a single one in the older format.

    :raise RecordingError: When it is not such a file, or is about more than one emulator.
    """
    objects = _objects(path)
    starts = [_older(objects)] if "QMP" in objects[0] else _newer(path, objects)
    identities: dict[str, set[Hashable]] = {}
    for reply in (reply for start in starts for reply in start):
        identities.setdefault(reply.command, set()).add(reply.identity)
    versions = identities.get("query-version", set())
    if not versions:
        raise RecordingError(f"{path}: does not have the version of an emulator", _HINT)
    for found in (versions, identities.get("query-target", set())):
        if len(found) > 1:
            words = " and ".join(sorted(map(str, found)))
            raise RecordingError(f"{path}: is about different emulators: {words}", "keep the replies of one")
    (version,) = versions
    return [
        _conversation(version, [reply for reply in start if len(identities[reply.command]) == 1])
        for start in starts
    ]


def _natural(path: Path) -> list[str | int]:
    """Return a sort key that compares numbers in names as numbers; they are at every second index."""
    parts = re.split("([0-9]+)", path.name)
    return [int(part) if index % 2 else part for index, part in enumerate(parts)]


def _objects(path: Path) -> list[dict[str, Any]]:
    try:
        data = read_at_most(path, _LIMIT)
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}", _HINT) from error
    parts = _SEPARATOR.split(data.strip(), _MAX_OBJECTS)
    if len(parts) > _MAX_OBJECTS:
        raise RecordingError(f"{path}: more than {_MAX_OBJECTS} objects", _HINT)
    return [_object(path, number, part) for number, part in enumerate(parts, 1)]


def _object(path: Path, number: int, data: bytes) -> dict[str, Any]:
    try:
        value: object = decode_json(data, object)
    except ValueError as error:
        raise RecordingError(f"{path}: object {number}: {error}", _HINT) from error
    if not isinstance(value, dict):
        raise RecordingError(f"{path}: object {number} is not a JSON object", _HINT)
    return value


def _older(objects: Sequence[dict[str, Any]]) -> list[_KnownReply]:
    """Return the replies of a file in the older format whose command is certain."""
    greetings = (one["QMP"] for one in objects if isinstance(one.get("QMP"), dict))
    values = [greeting.get("version") for greeting in greetings]
    values += [one.get("return") for one in objects if not {"QMP", "error"} & set(one)]
    return [reply for value in values if (reply := _identified(value))]


def _newer(path: Path, objects: Sequence[dict[str, Any]]) -> list[list[_KnownReply]]:
    """Return the replies of a file in the newer format whose command is certain, for each start."""
    starts: list[list[_KnownReply]] = []
    for index in range(0, len(objects) - 1, 2):
        command, answer = objects[index : index + 2]
        if not isinstance(command.get("execute"), str) or not {"return", "error"} & set(answer):
            raise RecordingError(f"{path}: object {index + 1} is not a command with a reply", _HINT)
        if command["execute"] == "qmp_capabilities" or not starts:
            starts.append([])
        same_id = command.get("id") == answer.get("id") and "error" not in answer
        reply = _identified(answer.get("return")) if same_id and not command.get("arguments") else None
        if reply and reply.command == command["execute"]:
            starts[-1].append(reply)
    if len(objects) % 2:
        raise RecordingError(f"{path}: ends with a command without a reply", _HINT)
    return starts


def _identified(value: Any) -> _KnownReply | None:
    """Return a reply with its command; None if the command is not certain."""
    if isinstance(value, dict) and "qemu" in value:
        try:
            return _KnownReply("query-version", value, msgspec.convert(value, _Version))
        except (msgspec.ValidationError, ValueError, OverflowError):
            return None
    if isinstance(value, dict):
        certain = set(value) == {"arch"} and fits("query-target", {}, value)
        return _KnownReply("query-target", value, value["arch"]) if certain else None
    found = [command for command in _LISTS if isinstance(value, list) and _is_list_of(command, value)]
    if len(found) != 1:
        return None
    members = _LISTS[found[0]].identity
    return _KnownReply(
        found[0], value, frozenset(tuple(item.get(member) for member in members) for item in value)
    )


def _is_list_of(command: str, items: list[Any]) -> bool:
    """Return whether a list is what a command returns."""
    if not fits(command, {}, items):
        return False
    kind = _LISTS[command]
    marks = {member for item in items for member in item} & _MARKS
    marked_as_kind = marks <= kind.marks and bool(marks) == bool(kind.marks)
    return marked_as_kind and kind.names <= {item["name"] for item in items}


def _conversation(version: Hashable, replies: Sequence[_KnownReply]) -> Conversation:
    """Return a conversation with replies, and with the greeting that a QEMU of this version sends."""

    def entries() -> Iterator[Entry]:
        yield Entry("proc", "argv", ["qemu", "-machine", "none"])
        yield Entry("qmp", "recv", {"QMP": {"version": msgspec.to_builtins(version)}})
        for number, reply in enumerate(replies):
            yield Entry("qmp", "send", {"execute": reply.command, "id": number})
            yield Entry("qmp", "recv", {"return": reply.value, "id": number})

    return Conversation(list(entries()))
