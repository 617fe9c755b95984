"""From records to the matrix and its ranges."""

import fcntl
import os
import random
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpanic.core.errors import FileError
from onpanic.matrix import Matrix, Range, build
from onpanic.matrix.model.ranges import DEFAULT
from onpanic.matrix.records.build_identity import build_name
from onpanic.matrix.records.record_files import layout, locked, read_records, write_record
from onpanic.probe import CapabilityRecord, RecordError
from onpanic.probe.facts import QUESTIONS

from .samples import RELEASES, fact, machine, notifier, record, recorded


def named(*records: CapabilityRecord) -> list[tuple[str, CapabilityRecord]]:
    return [(build_name(one.emulator), one) for one in records]


def ranges(
    matrix: Matrix, question: str, line: str = "upstream", alias: str = "pc", notifier: str = ""
) -> list[Range]:
    key = (question, line, alias, notifier)
    return [r for r in matrix.ranges if (r.fact, r.line, r.machine, r.notifier) == key]


def texts(matrix: Matrix, question: str, line: str = "upstream", alias: str = "pc") -> list[tuple[str, str]]:
    return [(found.answer, found.text) for found in ranges(matrix, question, line, alias)]


@pytest.fixture(scope="module")
def history() -> Matrix:
    """Return the matrix of the recordings of 2013."""
    return build(named(*map(recorded, RELEASES)))


def test_what_happened_in_2013(history: Matrix) -> None:
    """The history of pvpanic, derived from the recordings of four emulators."""
    assert texts(history, "builtin-pvpanic") == [("yes", "1.5, maybe before"), ("no", "since 1.6")]
    assert texts(history, "cont-after-panic") == [("no", "at or before 1.5, until 1.6"), ("yes", "since 1.7")]
    assert texts(history, "cont-after-panic", "RHEL", DEFAULT) == [("no", "never in 0.12")]
    assert texts(history, "pvpanic-type", alias="") == [("yes", "at or before 1.5")]
    assert [found.exact for found in ranges(history, "cont-after-panic")] == [False, True]


def cont(version: str, answer: str) -> CapabilityRecord:
    return record(version, machine(f"pc-{version}", ["pc"], cont_after_panic=answer))


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"1.6.0": "no", "1.7.0": "yes"}, [("no", "1.6, maybe before"), ("yes", "since 1.7")]),
        (
            {"1.5.3": "no", "2.5.0": "yes", "5.2.0": "yes"},
            [("no", "1.5, maybe before and after"), ("yes", "after 1.5, at or before 2.5")],
        ),
        ({"5.2.0": "yes", "7.2.22": "yes"}, [("yes", "at or before 5.2")]),
        ({"5.2.0": "no", "7.2.22": "no"}, [("no", "never from 5.2 to 7.2")]),
        ({"1.5.3": "no", "1.6.0": "unknown", "1.7.0": "no"}, [("no", "never from 1.5 to 1.7")]),
        (
            {"1.6.0": "no", "1.7.0": "yes", "2.0.0": "no"},
            [("no", "1.6, maybe before"), ("yes", "1.7 only"), ("no", "since 2.0")],
        ),
        ({"1.5.3": "unknown"}, []),
        ({"9.2.0": "no", "10.0.0": "yes"}, [("no", "9.2, maybe before"), ("yes", "since 10.0")]),
        (
            {"9.2.0": "no", "10.0.1": "yes"},  # unknown for 10.0.0
            [("no", "9.2, maybe before and after"), ("yes", "after 9.2, at or before 10.0")],
        ),
        (
            {"7.2.2": "no", "7.2.22": "yes"},  # a stable release with the backport
            [("no", "7.2.2, maybe before and after"), ("yes", "after 7.2.2, at or before 7.2.22")],
        ),
        ({"6.0.0": "yes", "6.0.1": "no"}, [("yes", "6.0.0, maybe before"), ("no", "since 6.0.1")]),
        (
            {"7.1.0": "no", "7.2.0": "yes", "7.2.5": "yes", "7.2.9": "no"},
            [
                ("no", "7.1, maybe before"),
                ("yes", "since 7.2, until 7.2.5 or later"),
                ("no", "after 7.2.5, at or before 7.2.9"),
            ],
        ),
        (
            {"7.2.50": "no", "8.0.0": "yes"},  # a development version of it
            [("no", "7.2.50, maybe before and after"), ("yes", "after 7.2.50, at or before 8.0.0")],
        ),
    ],
    ids=str,
)
def test_a_range_claims_only_what_was_measured(
    answers: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    """Between, before and after measured versions, a range does not claim to know."""
    matrix = build(named(*(cont(version, answer) for version, answer in answers.items())))
    assert texts(matrix, "cont-after-panic") == expected


@given(st.lists(st.sampled_from(["yes", "no", "unknown"]), max_size=12), st.randoms(use_true_random=False))
def test_ranges_cover_what_is_known_and_nothing_else(answers: list[str], shuffle: random.Random) -> None:
    """Each measured version is in exactly one range, which has its answer."""
    versions = [f"{number}.0.0" for number in range(4, 4 + len(answers))]
    records = [cont(version, answer) for version, answer in zip(versions, answers, strict=True)]
    shuffle.shuffle(records)
    matrix = build(named(*records))
    found = ranges(matrix, "cont-after-panic")
    for version, answer in zip(versions, answers, strict=True):
        number = int(version.partition(".")[0])
        covering = [
            r.answer for r in found if int(r.first.split(".")[0]) <= number <= int(r.last.split(".")[0])
        ]
        assert covering == [answer] or answer == "unknown"
    assert all(before.answer != after.answer for before, after in zip(found, found[1:], strict=False))


def test_accepted_values_have_ranges() -> None:
    """They say since when a value is accepted, for machine types and for each of their notifiers."""
    pci = notifier("pvpanic", "pc")
    matrix = build(
        named(
            cont("1.6.0", "no"),
            cont("1.7.0", "yes"),
            record("7.2.0", machine("pc-7.2", ["pc"], notifiers=[pci])),
        )
    )
    expected = [("no", "1.6, maybe before"), ("yes", "since 1.7")]
    assert texts(matrix, "on_panic.restart") == expected
    assert texts(matrix, "on_panic.pause") == expected
    of = {
        model: [r.text for r in ranges(matrix, "on_panic.restart", notifier=model)]
        for model in ("isa", "pvpanic")
    }
    assert of == {
        "isa": ["1.6, maybe before", "since 1.7"],
        "pvpanic": ["at or before 1.6, until 1.7 or later", "after 1.7, at or before 7.2"],
    }
    assert [r.fact for r in matrix.ranges if r.notifier == "s390"] == ["pvpanic-attachable"]


def test_an_answer_that_is_a_word_has_ranges() -> None:
    """What a panic leads to may change from one version to another."""
    records = [
        record(version, machine(f"pc-{version}", ["pc"], panic_action=word))
        for version, word in (("5.2.0", "pause"), ("6.0.0", "poweroff"), ("6.1.0", "unknown"))
    ]
    expected = [("pause", "5.2, maybe before"), ("poweroff", "since 6.0")]
    assert texts(build(named(*records)), "panic-action") == expected


def test_equal_notifiers_are_stored_once() -> None:
    """Machine types on which the same notifiers are missing share the statements about them."""
    records = [record(f"{n}.0.0", *(machine(f"pc-{n}.{i}") for i in range(10))) for n in (5, 6, 7)]
    matrix = build(named(*records))
    assert len(matrix.profiles) == 1
    assert len(matrix.notifiers) == 5


def test_lines_are_independent() -> None:
    """A distributor's 1.5.3 may have backports that upstream's does not have: Bugzilla 990601."""
    backport = msgspec.structs.replace(
        cont("1.5.3", "yes"), emulator=record("1.5.3", package="qemu-kvm-1.5.3-175.el7").emulator
    )
    matrix = build(named(cont("1.5.3", "no"), backport))
    assert texts(matrix, "cont-after-panic", "RHEL") == [("yes", "at or before 1.5")]
    assert texts(matrix, "cont-after-panic") == [("no", "never in 1.5")]


ABOUT_MACHINES = [question.name for question in QUESTIONS if question.scope != "emulator"]
ANSWERS = st.sampled_from(["yes", "no", "unknown"])
MACHINES = st.lists(
    st.fixed_dictionaries({question.replace("-", "_"): ANSWERS for question in ABOUT_MACHINES}),
    min_size=1,
    max_size=4,
)


@given(st.lists(MACHINES, min_size=1, max_size=4))
def test_the_matrix_has_the_contents_of_the_records(builds: list[list[dict[str, Any]]]) -> None:
    """What is stored once is found again wherever a record has it."""
    records = {
        f"record-{number}": record(
            f"{number + 4}.0.0", *(machine(f"m{index}", **answers) for index, answers in enumerate(machines))
        )
        for number, machines in enumerate(builds)
    }
    matrix = build(records.items())
    assert {one.id for one in matrix.builds} == set(records)
    for one in matrix.builds:
        original = records[one.id]
        for name, index in one.facts.items():
            assert _same(matrix, index, original, original.facts[name])
        for column in one.machines:
            row = original.machine(column.name)
            profile = matrix.profiles[column.profile]
            assert profile.accepted == {v: how.coredump for v, how in row.on_panic.accepted.items()}
            assert profile.refused == {v: why.code for v, why in row.on_panic.refused.items()}
            for name, index in profile.facts.items():
                assert _same(matrix, index, original, row.facts[name])
            assert profile.notifier == row.notifier
            for number, entry in zip(profile.notifiers, row.notifiers, strict=True):
                kept = matrix.notifiers[number]
                assert (kept.model, kept.type, kept.event_mask) == (entry.model, entry.type, entry.event_mask)
                assert kept.accepted == {v: how.coredump for v, how in entry.on_panic.accepted.items()}
                assert kept.refused == {v: why.code for v, why in entry.on_panic.refused.items()}
                assert all(_same(matrix, i, original, entry.facts[n]) for n, i in kept.facts.items())


def _same(matrix: Matrix, index: int, original: CapabilityRecord, known: object) -> bool:
    statement = matrix.statements[index]
    lines = None if statement.evidence is None else matrix.evidence[statement.evidence]
    where = getattr(known, "evidence", None)
    kept = (
        original.evidence[where] if isinstance(original.evidence, list) and isinstance(where, int) else None
    )
    answer, how, detail = (getattr(known, name) for name in ("answer", "how", "detail"))
    return (statement.answer, statement.how, statement.detail, lines) == (answer, how, detail, kept)


def test_all_evidence_is_found_again(history: Matrix) -> None:
    """Each fact has the lines of its record."""
    for one, release in zip(history.builds, ("rhel-6.8-0.12.1.2", *RELEASES[:3]), strict=True):
        original = recorded(release)
        assert all(_same(history, index, original, original.facts[n]) for n, index in one.facts.items())


def test_the_matrix_matches_its_schema(history: Matrix) -> None:
    """Its JSON is valid, and reads back as the same matrix."""
    jsonschema.Draft202012Validator(Matrix.json_schema()).validate(msgspec.json.decode(history.to_json()))
    assert msgspec.json.decode(history.to_json(), type=Matrix) == history
    assert {question.name for question in history.facts} == {question.name for question in QUESTIONS}


def test_a_folder_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Each record is a file, and each machine type a line, for reviewers."""
    for name, one in named(*map(recorded, RELEASES)):
        path = write_record(tmp_path, name, one)
        assert CapabilityRecord.from_json(path.read_bytes()) == one
        for column in one.machines:
            assert sum(f'{{"name":"{column.name}"' in line for line in path.read_text().splitlines()) == 1
    assert build(tmp_path) == build(sorted(named(*map(recorded, RELEASES))))
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"] * len(RELEASES)


def test_a_lone_surrogate_does_not_stop_it() -> None:
    """Emulators may print anything, also what UTF-8 cannot encode."""
    broken = msgspec.structs.replace(record(), facts={"pvpanic-type": fact("yes", "\ud800")})
    assert b"\\ud800" not in layout(broken)
    CapabilityRecord.from_json(layout(broken))


def test_a_folder_with_an_invalid_record_is_refused(tmp_path: Path) -> None:
    """The function raises, where the command continues without the record."""
    write_record(tmp_path, "good", record())
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(RecordError, match=r"bad\.json: not a capability record"):
        build(tmp_path)
    assert [type(found).__name__ for _, found in read_records(tmp_path)] == [
        "RecordError",
        "CapabilityRecord",
    ]


def test_a_folder_that_stays_locked_is_an_error(tmp_path: Path) -> None:
    """The other process may be stopped, so the wait has a deadline."""
    other = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(FileError, match="locked by another process"), locked(tmp_path, 0.05):
            pytest.fail("the folder was locked twice")
    finally:
        os.close(other)
    with locked(tmp_path, 0.05):
        pass
