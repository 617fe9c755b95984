"""Reading a fleet: every document is counted, or named with the reason why not."""

from datetime import timedelta

import pytest

from onpanic.fleet import FailedHost, HostDocument, read_fleet
from onpanic.fleet.documents.document_files import split_documents
from onpanic.fleet.hosts.host_record import HostName

from .fleets import NOW, documents, fleet, host, record


def test_equal_hosts_are_one_class() -> None:
    found = fleet(*(host(f"kvm{n}") for n in range(5)), host("old", qemu="5.2.0", libvirt="7.0.0"))
    assert [len(one.hosts) for one in found.classes] == [5, 1]
    assert found.host_count == 6


@pytest.mark.parametrize(
    ("data", "why", "words"),
    [
        (b"", "unreadable", "empty"),
        (b"\xff\xfe{}", "unreadable", ""),
        (host().to_json()[:-300], "unreadable", "truncated"),
        (b"[" * 100_000, "foreign", "not a JSON object"),
        (b"42", "foreign", "not a JSON object"),
        (b'{"kind": "Pod"}', "foreign", "not a record of a host"),
        (record("7.2.22").to_json(), "foreign", "of an emulator"),
        (host().to_json().replace(b'"schema_version":1', b'"schema_version":7', 1), "schema-version", "7"),
        (b'{"schema_version":1,"host":{"name":"a"}}', "foreign", ""),
        (host().to_json().replace(b'"kvm":{', b'"kvm":[{'), "unreadable", ""),
        (host().to_json().replace(b'"usable":"yes"', b'"usable":"perhaps"'), "foreign", "usable"),
    ],
    ids=[
        "empty",
        "no UTF-8",
        "truncated",
        "nested",
        "number",
        "Pod",
        "record",
        "newer",
        "bare",
        "bracket",
        "enum",
    ],
)
def test_what_is_no_record_of_a_host_is_named(data: bytes, why: str, words: str) -> None:
    """A bad document among good ones is left out with the reason, and the others count."""
    bad = HostDocument("bad.json", data)
    found = read_fleet([*documents([host("a")]), bad, *documents([host("b")])], NOW)
    assert found.host_count == 2
    [left_out] = found.uncounted
    assert (left_out.why, left_out.source) == (why, "bad.json")
    assert words in left_out.detail
    assert found.missing_count == 1


def test_the_newest_document_of_a_host_counts() -> None:
    old, new = host("a", at="2026-11-20T00:00:00Z", qemu="5.2.0"), host("a", at="2026-11-27T00:00:00Z")
    for order in ([old, new], [new, old]):
        found = fleet(*order)
        assert [one.record.emulators for one in found.classes] == [new.emulators]
        assert [one.why for one in found.uncounted] == ["superseded"]
        assert found.missing_count == 0


def test_a_host_that_did_not_answer_is_counted() -> None:
    """Its document may say so, or there is none; an older record of it does not count."""
    failed = FailedHost(
        host=HostName("c"), failure="unreachable: no route to host", at="2026-11-27T11:59:00Z"
    )
    import msgspec

    sources = [*documents([host("a"), host("c")]), HostDocument("failed/c.json", msgspec.json.encode(failed))]
    found = read_fleet(sources, NOW, expected=["a", "b", "c"])
    assert found.host_count == 1
    assert sorted((one.why, one.name) for one in found.uncounted) == [
        ("no-answer", "b"),
        ("no-answer", "c"),
        ("superseded", "c"),
    ]
    assert found.missing_count == 2


def test_the_record_of_another_host_in_a_file_is_no_answer() -> None:
    """Files are named after the hosts that were asked; here one host's record is in two of them."""
    sources = [HostDocument(f"{name}.json", host("b").to_json()) for name in ("a", "b")]
    found = read_fleet(sources, NOW, expected=["a", "b"])
    assert [(one.why, one.name) for one in found.uncounted] == [("superseded", "b"), ("no-answer", "a")]
    assert found.missing_count == 1


def test_two_hosts_with_one_name_both_count() -> None:
    found = fleet(host("localhost", id="1"), host("localhost", id="2"))
    assert found.host_count == 2
    assert [note.code for note in found.notes] == ["same-name"]


def test_clones_with_one_machine_id_both_count() -> None:
    found = fleet(host("a", id="1"), host("b", id="1"))
    assert found.host_count == 2
    assert [(note.code, note.hosts) for note in found.notes] == [("same-id", ("a", "b"))]


def test_clocks_that_differ_are_noted() -> None:
    sources = documents([host("a", at="2027-01-01T00:00:00Z"), host("b", at="2026-11-01T00:00:00Z")])
    found = read_fleet(sources, NOW, max_age=timedelta(days=7))
    assert [(note.code, note.hosts) for note in found.notes] == [
        ("clock-ahead", ("a",)),
        ("document-old", ("b",)),
    ]


@pytest.mark.parametrize(
    "join", [b"\n".join, lambda lines: b"[" + b",".join(lines) + b"]"], ids=["lines", "array"]
)
def test_a_file_may_hold_many(join: object) -> None:
    data = join([host(name).to_json() for name in "abc"])  # type: ignore[operator]
    found = read_fleet(split_documents("fleet.json", data), NOW)
    assert found.host_count == 3
    assert not found.uncounted


def test_a_truncated_line_loses_one_host() -> None:
    lines = [host(name).to_json() for name in "abc"]
    lines[1] = lines[1][:500]
    found = read_fleet(split_documents("fleet.jsonl", b"\n".join(lines)), NOW)
    assert found.host_count == 2
    assert [one.source for one in found.uncounted] == ["fleet.jsonl:2"]
