"""The published files: the records, and what is built from them."""

import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from onpanic.matrix import LibvirtRecord, Matrix, build, published
from onpanic.matrix.libvirts.libvirt_files import libvirt_files, read_libvirt
from onpanic.matrix.lint import lint_libvirt, lint_matrix, lint_record
from onpanic.matrix.model.ranges import DEFAULT
from onpanic.matrix.outputs.output_files import OUTPUTS, outputs
from onpanic.matrix.records.record_files import layout, read_record, record_files
from onpanic.probe import CapabilityRecord

from ..schemas import undescribed

FOLDER = Path(__file__).parents[2] / "compat-matrix"
RECORDS = record_files(FOLDER / "records")
LIBVIRTS = libvirt_files(FOLDER / "libvirts")
SUITES = ("bullseye", "bookworm", "trixie", "sid")


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    return build(FOLDER / "records", FOLDER / "libvirts")


@cache
def record_of(path: Path) -> CapabilityRecord:
    return read_record(path)


def test_the_outputs_are_those_of_the_records(matrix: Matrix) -> None:
    """``make matrix`` writes them."""
    written = outputs(matrix)
    assert written.keys() == set(OUTPUTS)
    assert [name for name in OUTPUTS if (FOLDER / name).read_bytes() != written[name]] == []


def test_the_schema_is_current() -> None:
    """``make schema`` writes it."""
    current = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(Matrix)))
    assert undescribed(current) == undescribed(Matrix.json_schema())


def test_the_records_and_the_matrix_match_their_schemas() -> None:
    """The schemas that are installed describe what is published; of long lists, the first items."""
    validator = jsonschema.Draft202012Validator(CapabilityRecord.json_schema())
    for path in RECORDS:
        validator.validate(_shortened(msgspec.json.decode(path.read_bytes())))
    validator = jsonschema.Draft202012Validator(LibvirtRecord.json_schema())
    for path in LIBVIRTS:
        validator.validate(msgspec.json.decode(path.read_bytes()))
    matrix = _shortened(msgspec.json.decode((FOLDER / "matrix.json").read_bytes()))
    jsonschema.Draft202012Validator(Matrix.json_schema()).validate(matrix)


def _shortened(value: Any) -> Any:
    """Return a JSON value with at most three items in each list."""
    if isinstance(value, dict):
        return {name: _shortened(item) for name, item in value.items()}
    return [_shortened(item) for item in value[:3]] if isinstance(value, list) else value


def test_no_rule_is_violated(matrix: Matrix) -> None:
    """What is published is consistent."""
    assert lint_matrix(matrix) == []
    assert [problem for path in RECORDS for problem in lint_record(path.stem, record_of(path))] == []
    assert [problem for path in LIBVIRTS for problem in lint_libvirt(path.stem, read_libvirt(path))] == []


def test_records_are_as_they_were_collected() -> None:
    """A record that was edited by hand would not be evidence."""
    assert [path.name for path in RECORDS if layout(record_of(path)) != path.read_bytes()] == []
    assert [path.name for path in LIBVIRTS if layout(read_libvirt(path)) != path.read_bytes()] == []


def test_records_contain_no_path_of_the_host_that_made_them() -> None:
    """They are published."""
    paths = re.compile(rb"/(?:home|root|tmp|work|srv|opt|var)/|bwrap")
    assert [path.name for path in [*RECORDS, *LIBVIRTS] if paths.search(path.read_bytes())] == []


def test_each_emulator_of_four_suites_is_there(matrix: Matrix) -> None:
    """The matrix has at least thirty emulators of each suite, and the recordings of upstream releases."""
    sources = [build.source for build in matrix.builds]
    counts = {suite: sources.count(f"Debian {suite}") for suite in SUITES}
    assert all(count >= 30 for count in counts.values()), counts
    assert sum(source.startswith("recording ") for source in sources) >= 4


def test_each_libvirt_of_four_suites_is_there(matrix: Matrix) -> None:
    """With what was seen of every value of <on_crash> that it accepts."""
    drivers = Counter(record.libvirt.driver for record in matrix.libvirts.values())
    assert drivers == {"QEMU": len(SUITES), "Xen": len(SUITES)}
    sources = {record.source for record in matrix.libvirts.values() if record.libvirt.driver == "QEMU"}
    assert sources == {f"Debian {suite}" for suite in SUITES}
    for record in matrix.libvirts.values():
        assert all(guest.end or guest.setting for guest in record.guests)
        assert all(guest.log for guest in record.guests)


def test_what_was_observed_has_evidence(matrix: Matrix) -> None:
    """The page shows the QMP conversation of each such answer, and the command that asks again."""
    for build_ in matrix.builds:
        for machine in build_.machines:
            for index in matrix.profiles[machine.profile].facts.values():
                statement = matrix.statements[index]
                assert statement.how != "observed" or statement.evidence is not None
        assert build_.reproduce.startswith("onpanic ")


@pytest.mark.parametrize(
    ("fact", "machine", "line", "answer", "text"),
    [
        ("cont-after-panic", "pc", "upstream", "yes", "since 1.7"),
        ("cont-after-panic", DEFAULT, "RHEL", "no", "never in 0.12"),
        ("cont-after-panic", "pc", "Debian", "yes", "at or before 5.2"),
        ("builtin-pvpanic", "pc", "upstream", "no", "since 1.6"),
        ("on_panic.restart", "pc", "upstream", "yes", "since 1.7"),
        ("on_panic.restart", "pc", "Debian", "yes", "at or before 5.2"),
    ],
)
def test_the_last_range_is_that_of_history(
    matrix: Matrix, fact: str, machine: str, line: str, answer: str, text: str
) -> None:
    """They are what QEMU's and RHEL's history says; a range that starts at a release is exact."""
    key = (fact, "qemu-system-x86_64", machine, "", line)
    found = [r for r in matrix.ranges if (r.fact, r.emulator, r.machine, r.notifier, r.line) == key]
    assert (found[-1].answer, found[-1].text) == (answer, text)
    assert found[-1].exact == text.startswith("since")


def test_it_is_installed_with_onpanic(matrix: Matrix) -> None:
    """`published` reads the same matrix."""
    assert published() == matrix
