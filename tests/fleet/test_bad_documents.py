"""Documents that are damaged, foreign, or contradict each other: each is counted, or named with why."""

import codecs
import errno
import io
import json
import os
from collections.abc import Iterator, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpanic.fleet import FailedHost, Fleet, HostDocument, documents_of, drift_of, read_fleet
from onpanic.fleet.documents.document_files import DOCUMENT_LIMIT
from onpanic.fleet.hosts.host_record import HostName, HostSystem
from onpanic.probe import CapabilityRecord

from .fleets import NOW, RECORDS, documents, emulator, fleet, host

NOON, ONE = "2026-11-27T12:00:00Z", "2026-11-27T13:00:00+01:00"
DAMAGED_ARRAY = "an array that is not JSON, or truncated"
#: Members of a host's record which equal hosts may have differently.
ITS_OWN = {"host", "collected", "system"}


def failed(name: str, at: str = "") -> HostDocument:
    data = msgspec.json.encode(FailedHost(host=HostName(name), failure="down", at=at))
    return HostDocument(f"failed/{name}.json", data)


def contents(found: Fleet) -> tuple[object, ...]:
    """Return what a fleet says, without an order."""
    hosts = sorted((host.name, host.source, record.comparable().to_json()) for host, record in found.hosts())
    uncounted = sorted((one.why, one.source, one.name, one.detail) for one in found.uncounted)
    notes = sorted((note.code, sorted(note.hosts)) for note in found.notes)
    return hosts, uncounted, notes


SAMPLES = [
    host("a", emulators=[], libvirt=None).to_json(),
    host("b", emulators=[], at="yesterday", id=None).to_json(),
    failed("a").data,
]
PIECES = [
    b"null",
    b"[]",
    b"{}",
    b"1e999",
    b"9" * 5000,
    b"NaN",
    b'"\\ud800"',
    b"\xff",
    b"\x00",
    b"[" * 2000,
    b"\n",
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return a document in which a piece is replaced by another one, or which is cut."""
    data = draw(st.sampled_from(SAMPLES))
    begin = draw(st.integers(0, len(data)))
    end = draw(st.integers(begin, min(begin + 40, len(data))) | st.just(len(data)))
    piece = draw(st.sampled_from(PIECES) | st.sampled_from(SAMPLES) | st.binary(max_size=4))
    return data[:begin] + piece + data[end:]


DOCUMENTS = st.lists(damaged() | st.sampled_from(SAMPLES), min_size=1, max_size=4)


@given(DOCUMENTS, st.randoms())
def test_every_document_is_counted_or_named(data: list[bytes], random: Any) -> None:
    """Nothing makes the reading fail, and the order of documents does not matter."""
    sources = [HostDocument(f"{number}.json", one) for number, one in enumerate(data)]
    found = read_fleet(sources, NOW)
    assert found.host_count + len(found.uncounted) == len(sources)
    assert contents(read_fleet(random.sample(sources, len(sources)), NOW)) == contents(found)
    assert not drift_of(found, found).drifted


@given(DOCUMENTS, st.sampled_from([b"\n", b",", b""]))
def test_every_part_of_a_file_is_counted_or_named(data: list[bytes], separator: bytes) -> None:
    text = separator.join(data)
    text = b"[" + text + b"]" if separator == b"," else text
    sources = list(documents_of(["-"], io.BytesIO(text)))
    found = read_fleet(sources, NOW)
    assert sources
    assert found.host_count + len(found.uncounted) == len(sources)


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield where a JSON value has strings, numbers and words."""
    if isinstance(value, dict | list):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*path, name))
    else:
        yield path


def changed(data: bytes, path: Sequence[str | int]) -> bytes:
    """Return a JSON document with another value at a place."""
    tree = json.loads(data)
    place = tree
    for name in path[:-1]:
        place = place[name]
    value = place[path[-1]]
    if isinstance(value, bool):
        place[path[-1]] = not value
    elif isinstance(value, int | float):
        place[path[-1]] = value + 1
    else:
        place[path[-1]] = "no" if value == "yes" else "x"
    return json.dumps(tree, separators=(",", ":"), ensure_ascii=False).encode()


def test_no_member_is_ignored_silently() -> None:
    """A host whose record differs anywhere is in no class of others, or its record is refused."""
    known = emulator("7.2.22", machines=("pc",))
    assert known.record is not None
    record = msgspec.structs.replace(known.record, problems=["one"])
    full = msgspec.structs.replace(known, record=record, other_paths=["/usr/bin/kvm"], problem="another")
    first, second = (
        msgspec.structs.replace(host(name, emulators=[full]), problems=["a third"]) for name in "ab"
    )
    data = second.to_json()
    for path in leaves(json.loads(data)):
        own = path[0] in ITS_OWN and path != ("system", "architecture")
        own = own or (path[0] == "emulators" and path[2:4] == ("record", "probed"))
        found = read_fleet([*documents([first]), HostDocument("b", changed(data, path))], NOW)
        assert found.uncounted or len(found.classes) == (1 if own else 2), path


def test_what_means_the_same_is_one_class() -> None:
    """Indentation and the order of members do not matter, as in what Ansible writes."""
    tree = json.loads(host("b").to_json())
    pretty = json.dumps(tree, indent=4, sort_keys=True).replace("\n", "\r\n").encode()
    found = read_fleet([*documents([host("a")]), HostDocument("b.json", pretty)], NOW)
    assert [len(one.hosts) for one in found.classes] == [2]


def without(member: str, value: Any) -> Any:
    """Return a JSON value in which no object has a member."""
    if isinstance(value, dict):
        return {name: without(member, item) for name, item in value.items() if name != member}
    return [without(member, item) for item in value] if isinstance(value, list) else value


def test_excerpts_make_no_other_class() -> None:
    """Facts refer to the excerpts by numbers, which say nothing about the host."""
    path = next(RECORDS.glob("qemu-system-x86_64-7.2.22*.json"))
    full = msgspec.structs.replace(
        emulator("7.2.22", machines=("pc",)), record=CapabilityRecord.from_json(path.read_bytes())
    )
    first, second = (host(name, emulators=[full]).to_json() for name in "ab")
    plain = json.dumps(without("evidence", json.loads(second))).encode()
    assert len(plain) < len(second)
    found = read_fleet([HostDocument("a", first), HostDocument("b", plain)], NOW)
    assert [len(one.hosts) for one in found.classes] == [2]


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (b'"system":{', b'"system":{"os":1},"_":{'),
        (b'"probed":{', b'"probed":{"at":1},"_":{'),
        (b'"probed":{', b'"evidence":[1],"probed":{'),
        (b'"emulators":[', b'"emulators":null,"_":['),
        (b'"name":"b"', b'"name":" \\n"'),
    ],
    ids=["system", "probed", "evidence", "emulators", "name"],
)
def test_a_wrong_document_is_left_out_whichever_comes_first(place: bytes, wrong: bytes) -> None:
    """Also where it differs from a good one only in what equal hosts may have differently."""
    bad = HostDocument("bad.json", host("b").to_json().replace(place, wrong, 1))
    for order in ([*documents([host("a")]), bad], [bad, *documents([host("a")])]):
        found = read_fleet(order, NOW)
        assert [one.why for one in found.uncounted] == ["foreign"]
        assert found.host_count == 1


def of(name: str, at: str, qemu: str, source: str) -> HostDocument:
    return HostDocument(source, host(name, at=at, qemu=qemu).to_json())


@pytest.mark.parametrize(
    ("first", "second", "counts", "notes"),
    [
        (of("a", NOON, "7.2.22", "x"), of("a", ONE, "5.2.0", "y"), "y", ["same-time"]),
        (of("a", NOON, "7.2.22", "x"), of("a", ONE, "7.2.22", "y"), "y", []),
        (of("a", "?", "7.2.22", "x"), of("a", "", "5.2.0", "y"), "old", ["same-time"]),
        (of("a", "?", "7.2.22", "y"), of("a", NOON, "5.2.0", "x"), "x", ["same-time"]),
        (of("a", NOON, "7.2.22", "y"), failed("a", ONE), None, []),
        (of("a", NOON, "7.2.22", "y"), failed("a"), None, []),
        (of("a", "?", "7.2.22", "y"), failed("a", NOON), None, []),
        (of("a", NOON, "7.2.22", "y"), failed("a", "2026-11-27T11:59:59Z"), "y", []),
    ],
    ids=[
        "same time",
        "same twice",
        "no times",
        "one time",
        "failed then",
        "failed sometime",
        "failed",
        "failed before",
    ],
)
def test_which_of_two_documents_counts_does_not_depend_on_their_order(
    first: HostDocument, second: HostDocument, counts: str | None, notes: list[str]
) -> None:
    """And that a host did not answer is believed where it is not known which document is newer."""
    third = of("a", "2026-11-20T12:00:00Z", "10.0.13", "old")
    for order in permutations([first, second, third]):
        found = read_fleet(order, NOW)
        assert [one.source for one, _ in found.hosts()] == ([counts] if counts else [])
        assert [note.code for note in found.notes] == notes
        assert len(found.uncounted) == 3 - bool(counts)
        assert found.missing_count == (not counts)


@pytest.mark.parametrize(
    "names",
    [["a", "a", "a (0)"], ["a\n", "a ", "a"], ["a" * 200, "a" * 201], ["\x1b[2Ja", "[2Ja"]],
    ids=["source in the name", "spaces", "long", "escape"],
)
def test_no_two_hosts_are_called_the_same(names: list[str]) -> None:
    hosts = [host(name, id=str(number)) for number, name in enumerate(names)]
    sources = [HostDocument(str(number), one.to_json()) for number, one in enumerate(hosts)]
    labels = [one.name for one, _ in read_fleet(sources, NOW).hosts()]
    assert len(set(labels)) == len(names)
    assert all(label.isprintable() for label in labels)


def test_an_expected_host_with_a_damaged_document_is_counted_once() -> None:
    damaged_one = HostDocument("records/kvm1.example.org", b'{"host"')
    found = read_fleet([*documents([host("a")]), damaged_one], NOW, expected=["a", "kvm1.example.org"])
    assert [one.why for one in found.uncounted] == ["unreadable"]


def test_the_system_is_that_of_each_host() -> None:
    other = HostSystem(os="Fedora", kernel="6.17", architecture="x86_64")
    found = fleet(host("a"), msgspec.structs.replace(host("b"), system=other))
    assert {one.name: one.system.os for one, _ in found.hosts()} == {
        "a": "Debian GNU/Linux 12 (bookworm)",
        "b": "Fedora",
    }


def lines(*names: str) -> list[bytes]:
    return [host(name, emulators=[]).to_json() for name in names]


def read(data: bytes) -> tuple[int, list[tuple[str, str]]]:
    """Return how many hosts a file has, and what was left out."""
    found = read_fleet(documents_of(["-"], io.BytesIO(data)), NOW)
    return found.host_count, [(one.source, one.detail.partition(":")[0]) for one in found.uncounted]


@pytest.mark.parametrize(
    ("data", "hosts", "left_out"),
    [
        (codecs.BOM_UTF8 + b"\n".join(lines("a", "b")), 2, []),
        (codecs.BOM_UTF8 + lines("a")[0], 1, []),
        (b"\r\n\r\n" + b"\r\n".join(lines("a", "b")) + b"\r\n", 2, []),
        (lines("a")[0].decode().encode("utf-16"), 0, [("standard input", "not UTF-8")]),
        (b'{"host"\n' + b"\n".join(lines("a", "b")), 2, [("standard input:1", "not JSON, or truncated")]),
        (b"\n".join([*lines("a", "b"), b"\x00"]), 2, [("standard input:3", "not JSON, or truncated")]),
        (
            b"[" + b",".join(lines("a", "b")),
            0,
            [("standard input", DAMAGED_ARRAY)],
        ),
        (b"[]", 0, [("standard input", "an array without a document")]),
        (b"[1," + lines("a")[0] + b"]", 1, [("standard input[1]", "not a JSON object")]),
        (b"", 0, [("standard input", "empty")]),
    ],
    ids=[
        "BOM",
        "BOM alone",
        "CRLF",
        "UTF-16",
        "first line",
        "last line",
        "cut array",
        "no item",
        "item",
        "empty",
    ],
)
def test_a_file_loses_no_more_than_what_is_damaged(
    data: bytes, hosts: int, left_out: list[tuple[str, str]]
) -> None:
    assert read(data) == (hosts, left_out)


def test_a_line_that_is_too_long_is_named() -> None:
    """What follows it is read."""
    long = b'{"host":"' + b" " * DOCUMENT_LIMIT + b'"}'
    first, last = lines("a", "b")
    assert read(b"\n".join([first, long, last])) == (2, [("standard input:2", "larger than 64 MiB")])
    assert read(long) == (0, [("standard input", "a line of more than 64 MiB")])


def test_a_file_that_vanishes_is_named(tmp_path: Path) -> None:
    for name, data in zip("ab", lines("a", "b"), strict=True):
        (tmp_path / name).write_bytes(data)
    found = documents_of([str(tmp_path)], io.BytesIO())
    first = next(found)
    (tmp_path / "b").unlink()
    [second] = found
    assert (first.problem, second.problem) == ("", "No such file or directory")


def test_a_folder_without_a_file_is_named(tmp_path: Path) -> None:
    assert [one.problem for one in documents_of([str(tmp_path)], io.BytesIO())] == ["a folder without a file"]


def test_a_name_that_is_no_text_can_be_written(tmp_path: Path) -> None:
    """File names are bytes; what a fleet says about them is JSON."""
    (tmp_path / "\udcff\n.json").write_bytes(b"{")
    [left_out] = read_fleet(documents_of([str(tmp_path)], io.BytesIO()), NOW).uncounted
    assert b"\\n.json" in msgspec.json.encode(left_out)


class BrokenStream(io.BytesIO):
    """A file whose disk fails after what it holds."""

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if not line:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return line


def test_a_file_that_cannot_be_read_to_its_end_is_named() -> None:
    """What was read before counts."""
    found = list(documents_of(["-"], BrokenStream(b"\n".join(lines("a", "b", "c")) + b"\n")))
    assert [one.problem for one in found] == ["", "", "", "Input/output error"]
    assert read_fleet(found, NOW).host_count == 3
