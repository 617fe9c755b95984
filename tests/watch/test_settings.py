"""The settings file, with everything that can be wrong with it."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from onpanic.core.errors import SettingsError
from onpanic.watch.rules.settings import Settings, read_settings


def test_the_command_line_has_precedence(tmp_path: Path) -> None:
    """An option replaces the file's setting; what neither names has its default."""
    path = tmp_path / "watch.toml"
    path.write_text('start-limit = 3\nhook = "logger"\ngrace = 30\n', encoding="utf-8")
    assert read_settings(path, {"start_limit": 7}) == Settings(start_limit=7, hook="logger", grace=30.0)
    assert read_settings(None, {}) == Settings()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"start-limit = ", "Invalid value"),
        (b"start-limt = 3", "unknown field `start-limt`"),
        (b"start-limit = 'x'", "Expected `int`, got `str` - at `$.start-limit`"),
        (b"start-limit = -1", "start-limit at least 0"),
        (b"progress = 0.0", "progress must be more than 0 seconds"),
        (b"dump-timeout = nan", "dump-timeout must be more than 0 seconds"),
        (b"grace = -1.0", "grace must be from 0 to 86400 seconds"),
        (b"grace = nan", "grace must be from 0 to 86400 seconds"),
        (b"grace = 86400.5", "grace must be from 0 to 86400 seconds"),
        (b"hook = '\xff'", "not UTF-8: invalid start byte at byte 8"),
        (b"x = " + b"[" * 100_000, "nested too deeply"),
        (b"dumps = " + b"9" * 5000, "a number has too many digits"),
        (b"dump-timeout = " + b"9" * 4000, "Number out of range - at `$.dump-timeout`"),
        (b"#" * (2**20 + 1), "more than 1 MiB"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_an_invalid_file_is_one_clear_line(content: bytes, message: str, tmp_path: Path) -> None:
    """It names the file and what is wrong."""
    path = tmp_path / "watch.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        read_settings(path, {})
    assert caught.value.message.startswith(f"{path}: ")
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_a_missing_file(tmp_path: Path) -> None:
    """The message is the system's."""
    with pytest.raises(SettingsError, match="No such file"):
        read_settings(tmp_path / "missing", {})


@given(st.binary(max_size=200))
@example(b"\xef\xbb\xbf")
def test_no_content_raises_anything_else(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """A file is valid or a `SettingsError`."""
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    with suppress(SettingsError):
        read_settings(path, {})


def test_the_file_is_read_as_utf_8_in_every_locale(tmp_path: Path) -> None:
    """TOML is UTF-8, whatever the locale's encoding is."""
    path = tmp_path / "watch.toml"
    path.write_bytes("dump-dir = '/var/Speicherabzüge'\n".encode())
    script = (
        "import sys, pathlib; from onpanic.watch.rules.settings import read_settings; "
        "print(ascii(read_settings(pathlib.Path(sys.argv[1]), {}).dump_dir))"
    )
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    found = subprocess.check_output(
        [sys.executable, "-c", script, str(path)], env=environment, text=True, timeout=60
    )
    assert found == "'/var/Speicherabz\\xfcge'\n"
