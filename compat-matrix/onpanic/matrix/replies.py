"""Recorded QMP replies of libvirt's own tests (``tests/qemucapabilitiesdata/*.replies`` of a checkout).

A file is a row of JSON objects, what one QEMU with ``-machine none`` was asked, in one of two forms.
The newer one has each command before its answer; its ids start anew where the same QEMU was started
again, with TCG.  The older one starts with a greeting and has answers only.

An answer counts where what is in it shows which command it is of, in both forms.  In the older one
nothing else tells for certain: an answer's place moved with each version of libvirt.  In the newer
one it is a check: files are edited by hand, and a list of CPU models after ``qom-list-types`` would
be a wrong answer.  Where answers to one command differ, none of them counts.

Nothing but what an emulator says of itself is taken over, so that all behaviour is unknown whatever
a file holds.  Neither is anything taken from a file's name: it has the version that QEMU was about to
become.  The files are libvirt's (LGPL-2.1-or-later) and stay where they are.

Considered and left: telling the target of a file without ``query-target`` from its types (there is no
such file), and refusing a whole file for one answer that is not certain (libvirt has such files).
"""

import re
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from onpanic.probe import api
from onpanic.probe.conversation import Conversation, Entry
from onpanic.probe.errors import RecordingError
from onpanic.probe.excerpts import with_evidence
from onpanic.probe.machines import target_of
from onpanic.probe.record import CapabilityRecord
from onpanic.probe.shapes import fits

__all__ = ("conversations", "record", "replies_files")

_LIMIT = 8 * 2**20  # bytes; real ones have 1 MiB
_MOST = 10_000  # objects; real ones have 120
_HINT = "libvirt's are in tests/qemucapabilitiesdata"
_FOLDERS = (".", "qemucapabilitiesdata", "tests/qemucapabilitiesdata")
#: Objects are separated by an empty line, and have none inside (``scripts/qemu-replies-tool.py``).
_SEPARATOR = re.compile(rb"\n\s*\n")


class _List(msgspec.Struct, frozen=True):
    """By what a list of named things is known.

    :param names: Names that are in every list of its kind, from QEMU 1.2 to 11.
    :param marks: Members that only items of its kind have; one is there, and none of other kinds'.
    :param agree: Members in which all lists of its kind have to agree.
    """

    names: set[str]
    marks: set[str] = set()
    agree: tuple[str, ...] = ("name",)


_LISTS = {
    "query-commands": _List({"qmp_capabilities", "query-commands"}),
    "query-events": _List({"SHUTDOWN", "RESET", "STOP"}),
    "query-qmp-schema": _List({"query-version", "SHUTDOWN"}, {"meta-type"}, ("name", "meta-type")),
    "qom-list-types": _List({"container", "System"}),
    # Before QEMU 1.5 the default one's mark is the only one; with TCG there may be others than with KVM
    "query-machines": _List({"none"}, {"cpu-max", "is-default"}, ()),
}
_OTHER_MARKS = {"alias-of", "type", "typename"}  # CPU models, properties
_MARKS = _OTHER_MARKS.union(*(kind.marks for kind in _LISTS.values()))


class _Number(msgspec.Struct, frozen=True):
    major: int
    minor: int
    micro: int


class _Version(msgspec.Struct, frozen=True):
    """What ``query-version`` returns."""

    qemu: _Number
    package: str = ""

    def __str__(self) -> str:
        return f"{self.qemu.major}.{self.qemu.minor}.{self.qemu.micro} {self.package}".strip()


class _Told(msgspec.Struct, frozen=True):
    """An answer that is certain to be one to this command.

    :param meaning: In what all answers to it have to agree: starts of one QEMU may differ in the rest.
    """

    command: str
    value: Any
    meaning: Hashable


def replies_files(folder: Path) -> list[Path]:
    """Return the files of a folder, or of libvirt's checkout, by name: 2.9 before 2.10.

    :raise RecordingError: When there are none.
    """
    for place in _FOLDERS:
        try:
            files = list((folder / place).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise RecordingError(f"{folder / place}: {error.strerror}", _HINT) from error
        found = [path for path in files if path.suffix == ".replies" and not path.is_dir()]
        if found:
            return sorted(found, key=_natural)
    raise RecordingError(f"{folder}: holds no *.replies", _HINT)


def record(path: Path) -> CapabilityRecord:
    """Return what a file says, as a record of all machine types that the emulator lists.

    :raise RecordingError: When it is no such file.
    """
    held = conversations(path)
    target = next(filter(None, map(target_of, held)), "")
    command = [f"qemu-system-{target}"] if target else []
    try:
        return with_evidence(api.read(held, command, 0.0, recorded=True, listed=True), held)
    except RecursionError as error:
        raise RecordingError(f"{path}: nested too deeply", _HINT) from error


def conversations(path: Path) -> list[Conversation]:
    """Read a file, in either form: a conversation a start, in the older form one for all.

    :raise RecordingError: When it is no such file, or is of more than one emulator.
    """
    objects = _objects(path)
    starts = [_older(objects)] if "QMP" in objects[0] else _newer(path, objects)
    meanings: dict[str, set[Hashable]] = {}
    for one in (one for start in starts for one in start):
        meanings.setdefault(one.command, set()).add(one.meaning)
    versions = meanings.get("query-version", set())
    if not versions:
        raise RecordingError(f"{path}: does not say which version it is of", _HINT)
    for said in (versions, meanings.get("query-target", set())):
        if len(said) > 1:
            words = " and ".join(sorted(map(str, said)))
            raise RecordingError(f"{path}: is of different emulators: {words}", "leave one emulator's")
    (version,) = versions
    return [
        _conversation(version, [one for one in start if len(meanings[one.command]) == 1]) for start in starts
    ]


def _natural(path: Path) -> list[str | int]:
    """Return what names with numbers in them are sorted by; the numbers are at every second place."""
    return [int(part) if place % 2 else part for place, part in enumerate(re.split("([0-9]+)", path.name))]


def _objects(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT + 1)
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}", _HINT) from error
    if len(data) > _LIMIT:
        raise RecordingError(f"{path}: more than {_LIMIT >> 20} MiB", _HINT)
    parts = _SEPARATOR.split(data.strip(), _MOST)
    if len(parts) > _MOST:
        raise RecordingError(f"{path}: more than {_MOST} objects", _HINT)
    return [_object(path, number, part) for number, part in enumerate(parts, 1)]


def _object(path: Path, number: int, text: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordingError(f"{path}: object {number}: {error}", _HINT) from error
    if not isinstance(value, dict):
        raise RecordingError(f"{path}: object {number} is no JSON object", _HINT)
    return value


def _older(objects: Sequence[dict[str, Any]]) -> list[_Told]:
    """Return what a file of greetings and answers tells: whatever is certain."""
    greetings = (one["QMP"] for one in objects if isinstance(one.get("QMP"), dict))
    values = [greeting.get("version") for greeting in greetings]
    values += [one.get("return") for one in objects if not {"QMP", "error"} & set(one)]
    return [one for value in values if (one := _told(value))]


def _newer(path: Path, objects: Sequence[dict[str, Any]]) -> list[list[_Told]]:
    """Return what a file of commands and answers tells, start by start."""
    starts: list[list[_Told]] = []
    for place in range(0, len(objects) - 1, 2):
        command, answer = objects[place : place + 2]
        if not isinstance(command.get("execute"), str) or not {"return", "error"} & set(answer):
            raise RecordingError(f"{path}: object {place + 1} is no command with an answer", _HINT)
        if command["execute"] == "qmp_capabilities" or not starts:
            starts.append([])
        same = command.get("id") == answer.get("id") and "error" not in answer
        one = _told(answer.get("return")) if same and not command.get("arguments") else None
        if one and one.command == command["execute"]:
            starts[-1].append(one)
    if len(objects) % 2:
        raise RecordingError(f"{path}: has a command without an answer at its end", _HINT)
    return starts


def _told(value: Any) -> _Told | None:
    """Return what an answer is to and what it says; None if that is not certain."""
    if isinstance(value, dict) and "qemu" in value:
        try:
            return _Told("query-version", value, msgspec.convert(value, _Version))
        except (msgspec.ValidationError, ValueError, OverflowError):
            return None
    if isinstance(value, dict):
        only = set(value) == {"arch"} and fits("query-target", {}, value)
        return _Told("query-target", value, value["arch"]) if only else None
    found = [command for command in _LISTS if isinstance(value, list) and _is_list_of(command, value)]
    if len(found) != 1:
        return None
    agree = _LISTS[found[0]].agree
    return _Told(found[0], value, frozenset(tuple(item.get(member) for member in agree) for item in value))


def _is_list_of(command: str, items: list[Any]) -> bool:
    if not fits(command, {}, items):
        return False
    kind = _LISTS[command]
    marks = {member for item in items for member in item} & _MARKS
    of_its_kind = marks <= kind.marks and bool(marks) == bool(kind.marks)
    return of_its_kind and kind.names <= {item["name"] for item in items}


def _conversation(version: Hashable, told: Sequence[_Told]) -> Conversation:
    """Put a conversation together; the greeting is the one that a QEMU of this version must have given."""

    def entries() -> Iterator[Entry]:
        yield Entry("proc", "argv", ["qemu", "-machine", "none"])
        yield Entry("qmp", "recv", {"QMP": {"version": msgspec.to_builtins(version)}})
        for number, one in enumerate(told):
            yield Entry("qmp", "send", {"execute": one.command, "id": number})
            yield Entry("qmp", "recv", {"return": one.value, "id": number})

    return Conversation(list(entries()))
