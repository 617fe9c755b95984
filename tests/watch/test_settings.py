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
        (b"start-limt = 3", "unknown setting 'start-limt'"),
        (b"start_limit = 3", "unknown setting 'start_limit'"),
        (b'"a\\nb" = 3', "unknown setting 'a b'"),
        (b"start-limit = 'x'", "start-limit must be a whole number, not 'x'"),
        (b"start-limit = 1.0", "start-limit must be a whole number, not 1.0"),
        (b"dumps = true", "dumps must be a whole number, not True"),
        (b"grace = '30'", "grace must be a number of seconds, not '30'"),
        (b"hook = 1", "hook must be a text in quotation marks, not 1"),
        (b"dump-paging = 1", "dump-paging must be true or false, not 1"),
        (b"dump-quota = 1.5", "dump-quota must be"),
        (b"start-limit = -1", "start-limit at least 0"),
        (b"progress = 0.0", "progress must be more than 0 seconds"),
        (b"dump-timeout = nan", "dump-timeout must be more than 0 seconds"),
        (b"grace = -1.0", "grace must be from 0 to 86400 seconds"),
        (b"grace = nan", "grace must be from 0 to 86400 seconds"),
        (b"grace = 86400.5", "grace must be from 0 to 86400 seconds"),
        (b"hook = '\xff'", "not UTF-8: invalid start byte at byte 8"),
        (b"x = " + b"[" * 100_000, "nested too deeply"),
        (b"dumps = " + b"9" * 5000, "a number has too many digits"),
        (b"dump-timeout = " + b"9" * 4000, "dump-timeout must be a number of seconds, not 999"),
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


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"grace": "30s"}, "settings: grace must be a number of seconds, not '30s'", "--help lists"),
        ({"start_limit": "1.5"}, "settings: start-limit must be a whole number, not '1.5'", "--help lists"),
        ({"dump_quota": "10GiB"}, "settings: dump-quota must be a number of bytes", "write 10G"),
        ({"dump_quota": "1.5 gb"}, "settings: dump-quota must be a number of bytes", "write 1.5G"),
        ({"dump_reserve": "500 B"}, "settings: dump-reserve must be a number of bytes", "write 500"),
        ({"dump_reserve": "1 parsec"}, "settings: dump-reserve must be a number of bytes", "--help lists"),
    ],
)
def test_a_wrong_option_is_not_said_to_be_in_the_file(
    options: dict[str, str], message: str, hint: str, tmp_path: Path
) -> None:
    """The message names the setting, and the hint says how to write it if that is known."""
    path = tmp_path / "watch.toml"
    path.write_text("dumps = 1", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        read_settings(path, options)
    assert caught.value.message.startswith(message)
    assert hint in caught.value.hint


def test_a_misspelt_setting(tmp_path: Path) -> None:
    """The hint is the name that is meant."""
    path = tmp_path / "watch.toml"
    path.write_text("grase = 3", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        read_settings(path, {})
    assert (caught.value.message, caught.value.hint) == (
        f"{path}: unknown setting 'grase'",
        "did you mean grace?",
    )


def test_numbers_of_the_command_line_are_texts() -> None:
    """They are read as the file's are; a text remains one, even if it is a number."""
    found = read_settings(None, {"grace": "30", "dumps": "3", "dump_quota": "1G", "hook": "7"})
    assert found == Settings(grace=30.0, dumps=3, dump_quota="1G", hook="7")


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
