"""Running apt and the unpackers: pipelines, deadlines, interrupts, and no process left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from onpanic.matrix import debian
from onpanic.matrix.apt_sources import FetchError

pytestmark = pytest.mark.processes


def test_run_connects_commands(tmp_path: Path) -> None:
    target = tmp_path / "x"
    debian._run(["echo", "hello"], ["tee", str(target)], seconds=10, hint="")
    assert target.read_text() == "hello\n"


def test_run_reports_the_tools_words() -> None:
    script = "echo W: a >&2; echo E: b; exit 3"
    with pytest.raises(FetchError, match=r"^sh failed: E: b\nnext: do this$"):
        debian._run(["sh", "-c", script], seconds=10, hint="do this")


def test_run_reports_a_failing_writer() -> None:
    with pytest.raises(FetchError, match=r"^sh failed: broken\nnext: h$"):
        debian._run(["sh", "-c", "echo broken >&2; exit 1"], ["cat"], seconds=10, hint="h")


def test_run_ends_the_whole_group_at_the_deadline(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/pid; wait"
    with pytest.raises(FetchError, match=r"sh took longer than 0\.5 s"):
        debian._run(["sh", "-c", script], ["cat"], seconds=0.5, hint="h")
    assert ended(int((tmp_path / "pid").read_text()))


def test_run_ends_the_group_when_interrupted(tmp_path: Path) -> None:
    program = (
        "import sys; from onpanic.matrix import debian\n"
        "debian._run(['sh', '-c', sys.argv[1]], seconds=60, hint='h')"
    )
    script = f"sleep 60 & echo $! > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; wait"
    paths = os.pathsep.join(p for p in sys.path if p)
    with subprocess.Popen(
        [sys.executable, "-c", program, script],
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
    ) as child:
        pid = tmp_path / "pid"
        while not pid.exists() and child.poll() is None:
            time.sleep(0.01)
        child.send_signal(2)
        _, words = child.communicate(timeout=10)
    assert b"KeyboardInterrupt" in words
    assert ended(int(pid.read_text()))


def ended(pid: int) -> bool:
    """Say whether a process is gone (or only waits to be collected) within some seconds."""
    for _ in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False
