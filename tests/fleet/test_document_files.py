"""Which files of a folder are read: all of them, and one that is not read is named."""

import io
import os
from pathlib import Path

import msgspec
import pytest

from onpanic.fleet import HostDocument, documents_of
from onpanic.fleet.documents.document_files import split_documents


def read(*sources: Path | str) -> list[HostDocument]:
    return list(documents_of(map(str, sources), io.BytesIO(b'{"from": "stdin"}')))


def test_a_folder_stands_for_the_files_below_it(tmp_path: Path) -> None:
    for name in ("b.json", "a.json", "sub/c.json", ".hidden.json", ".git/d.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f'{{"name": "{name}"}}')
    (tmp_path / "link.json").symlink_to(tmp_path / ".hidden.json")
    found = [str(Path(one.source).relative_to(tmp_path)) for one in read(tmp_path)]
    assert found == ["a.json", "b.json", "link.json", "sub/c.json"]
    assert not any(one.problem for one in read(tmp_path))


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A pipe is not waited for, and a link in a circle is not followed."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "up").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    problems = {Path(one.source).name: one.problem for one in read(tmp_path)}
    assert problems == {
        "circle": "Too many levels of symbolic links",
        "dangling": "No such file or directory",
        "pipe": "not a regular file",
        "up": "a link to a folder: name the folder itself",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    assert [one.problem for one in read(tmp_path)] == ["Permission denied"]


def test_standard_input_is_a_source(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    assert [one.source for one in read("-", tmp_path / "a.json")] == [
        "standard input",
        str(tmp_path / "a.json"),
    ]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b'{"a": 1}', {"f": {"a": 1}}),
        (b'\n\n{\n"a":\n1\n}\n', {"f": {"a": 1}}),
        (b'{"a": 1}\n\n{"b": 2}\n', {"f:1": {"a": 1}, "f:3": {"b": 2}}),
        (b'{"a": 1,\n{"b": 2}\n', {"f:1": None, "f:2": {"b": 2}}),
        (b'{"a": 1}\n{"b": ', {"f:1": {"a": 1}, "f:2": None}),
        (b' [{"a": 1},\n{"b": 2}]\n', {"f[1]": {"a": 1}, "f[2]": {"b": 2}}),
        (b'[{"a": 1},\n{"b": ', {"f": None}),
        (b"", {"f": None}),
    ],
    ids=["one", "indented", "lines", "first cut", "last cut", "array", "array cut", "empty"],
)
def test_a_file_is_split(data: bytes, found: dict[str, object]) -> None:
    """A line that is cut off loses one document."""

    def value(document: bytes) -> object:
        try:
            return msgspec.json.decode(document)
        except msgspec.DecodeError:
            return None

    assert {one.source: value(one.data) for one in split_documents("f", data)} == found
