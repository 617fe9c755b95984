"""The test suite itself: what hangs fails, and it runs in the background as in the foreground."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: Tests that hang; the last one in a fixture whose emulator never greets and ignores SIGTERM.
HANGS = {
    "itself": """\
import time

def test_it_hangs():
    time.sleep(600)
""",
    "its event loop": """\
import asyncio

async def test_it_hangs():
    await asyncio.Event().wait()
""",
    "a thread": """\
import threading

def test_it_hangs():
    thread = threading.Thread(target=threading.Event().wait, daemon=True)
    thread.start()
    thread.join()
""",
    "a played emulator": """\
from onpanic.probe.testing import QEMU_7_2, Fault

def test_it_hangs(played):
    played(QEMU_7_2.but(fault=Fault("hang"), stubborn=True))
""",
}

#: A test whose process shows which signals it was started with.
SIGNALS = """\
import subprocess, sys

def test_signals():
    code = "import re; print(re.findall('Sig(?:Ign|Blk):.*', open('/proc/self/status').read()))"
    plain = [sys.executable, "-c", code]
    print("child:", subprocess.check_output(plain, text=True))
"""

#: Bits of ``/proc/PID/status`` for SIGHUP, SIGINT and SIGQUIT.
BACKGROUND = 0b111


@pytest.fixture
def inner(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs a test with the suite's own configuration, started by a shell command."""

    def run(test: str, *options: str, before: str = "") -> subprocess.CompletedProcess[str]:
        (tmp_path / "test_inner.py").write_text(test, encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-c",
            str(ROOT / "pyproject.toml"),
            "--rootdir",
            str(tmp_path),
        ]
        plugins = ["-p", "no:cacheprovider", "-p", "tests.conftest", "-s", "-q", *options, str(tmp_path)]
        return subprocess.run(
            ["sh", "-c", f'{before}\n"$@"', "sh", *command, *plugins],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    return run


@pytest.mark.processes
@pytest.mark.parametrize("what", HANGS)
def test_a_test_that_hangs_fails(
    what: str,
    inner: Callable[..., subprocess.CompletedProcess[str]],
    processes: Callable[[str], dict[int, str]],
    mark: str,
) -> None:
    """It fails at its deadline, its fixtures end what they started, and the next test has its turn."""
    done = inner(HANGS[what] + "\ndef test_the_next():\n    pass\n", "-o", "timeout=1")
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "Timeout" in done.stdout
    assert processes(mark) == {}


@pytest.mark.processes
@pytest.mark.parametrize(
    "before",
    ["", "trap '' HUP INT QUIT", 'nohup "$@" 2>&1 </dev/null & wait $!; exit $?'],
    ids=["foreground", "ignored", "background"],
)
def test_children_have_the_default_signals(
    inner: Callable[..., subprocess.CompletedProcess[str]], before: str
) -> None:
    """Whatever the suite inherits, what tests start ends on SIGINT and SIGHUP."""
    done = inner(SIGNALS, before=before)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("child:")]
    blocked, ignored = (int(word.split("\\t")[1].rstrip("']\""), 16) for word in line.split(", "))
    assert (blocked, ignored & BACKGROUND) == (0, 0)


@pytest.mark.processes
@pytest.mark.parametrize(
    ("marks", "imported"),
    [("[pytest.mark.xen, pytest.mark.timeout(5)]", False), ("pytest.mark.package", True)],
)
def test_a_module_without_selected_tests_is_not_imported(
    inner: Callable[..., subprocess.CompletedProcess[str]], marks: str, imported: bool
) -> None:
    """By a selection such as that of ``make quick``."""
    module = f"import pytest\n\npytestmark = {marks}\nraise RuntimeError('it is imported')\n"
    done = inner(module, "-m", "not (browser or xen)")
    assert ("it is imported" in done.stdout) == imported, done.stdout + done.stderr


def test_every_test_has_a_deadline(request: pytest.FixtureRequest) -> None:
    """pytest-timeout has a default, and no test turns it off."""
    assert float(request.config.getini("timeout")) > 0
    for item in request.session.items:
        marker = item.get_closest_marker("timeout")
        assert marker is None or marker.args[0] > 0, item.nodeid
