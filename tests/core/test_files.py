"""Files are written whole or not at all."""

import io
import os
import stat
from pathlib import Path

import pytest

from onpanic.core.files import read_at_most, write_atomically


def test_permissions_are_kept(tmp_path: Path) -> None:
    """A file that is replaced keeps its mode; a new one has that of the umask, or the one asked for."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o640)
    write_atomically(path, b"new")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o640)
    write_atomically(tmp_path / "secret", b"", mode=0o600)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_a_link_in_place_of_the_temporary_file_changes_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever owns the folder can put one there at any moment."""
    others, place = tmp_path / "others", tmp_path / "place"
    others.write_bytes(b"another's")
    others.chmod(0o644)
    place.mkdir()

    class Hostile(io.FileIO):
        def write(self, data: object, /) -> int:
            (temporary,) = place.iterdir()
            temporary.unlink()
            temporary.symlink_to(others)
            return super().write(data)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "fdopen", Hostile)
    write_atomically(place / "file", b"ours", mode=0o600, replace=True)
    assert (others.read_bytes(), stat.S_IMODE(others.stat().st_mode)) == (b"another's", 0o644)


def test_a_link_is_followed(tmp_path: Path) -> None:
    """The file that a link names is replaced, not the link."""
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "file").write_bytes(b"old")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    """What is not a regular file, such as /dev/stdout, is not replaced."""
    reading, writing = os.pipe()
    try:
        write_atomically(Path(f"/proc/self/fd/{writing}"), b"data")
        assert os.read(reading, 10) == b"data"
    finally:
        os.close(reading)
        os.close(writing)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    """The folder is as it was."""
    with pytest.raises(OSError, match="directory"):
        write_atomically(tmp_path / "missing" / "file", b"")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    """A longer one is refused, with the limit in the message."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 2**20)
    assert len(read_at_most(path, 2**20)) == 2**20
    path.write_bytes(b"x" * (2**20 + 1))
    with pytest.raises(OSError, match="more than 1 MiB"):
        read_at_most(path, 2**20)


def test_a_file_without_an_end(tmp_path: Path) -> None:
    """No more than the limit is read of it; the size that the system shows is not believed."""
    with pytest.raises(OSError, match="more than 3 MiB"):
        read_at_most(Path("/dev/zero"), 3 * 2**20)
    (tmp_path / "file").write_bytes(b"four")
    assert read_at_most(tmp_path / "file", 2**60) == b"four"
