"""Standard streams that are closed, full, or read no further."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

COMMANDS = {
    "version": "--version",
    "list": "explain",
    "code": "explain no-way-back",
    "decision": "accept pause --record {record}",
    "json": "accept pause --format json --record {record}",
    "help": "accept --help",
}


def run(words: str, redirected: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell that redirects its streams, with a buffer for stdout, as there usually is."""
    line = f"{shlex.join([sys.executable, '-m', 'onpanic'])} {words} {redirected}"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["sh", "-c", line],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("redirected", [">&-", ">/dev/full"])
def test_stdout_cannot_be_written(name: str, redirected: str, record: Callable[[str], Path]) -> None:
    done = run(COMMANDS[name].format(record=record("7.2")), redirected)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("onpanic: standard output: ")


@pytest.mark.parametrize("redirected", ["<&-", "2>&-", "<&- 2>&-", "2>/dev/full"])
def test_other_streams_do_not_matter(redirected: str, record: Callable[[str], Path]) -> None:
    done = run(COMMANDS["decision"].format(record=record("7.2")), redirected)
    assert (done.returncode, done.stdout, done.stderr) == (0, "accepted (by the isa notifier)\n", "")


@pytest.mark.parametrize("redirected", ["2>&-", "2>/dev/full", ">&- 2>&-", "<&- >&- 2>&-"])
def test_an_error_that_cannot_be_printed(redirected: str) -> None:
    """The exit status shows the error, which is not printed elsewhere."""
    done = run("explain nonsense", redirected)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_result_that_is_not_printed_needs_no_stdout(record: Callable[[str], Path]) -> None:
    done = run(f"accept pause -q --record {record('7.2')}", ">&-")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", ["accept pause --record -", "from-libvirt -"])
def test_stdin_is_closed(words: str) -> None:
    done = run(words, "<&-")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Bad file descriptor" in done.stderr or "closed" in done.stderr


def test_a_reader_that_has_seen_enough() -> None:
    """As cat(1) ends, on SIGPIPE, and prints nothing."""
    done = run("explain", "| true; exit ${PIPESTATUS:-0}")
    assert done.stderr == ""
