"""Running apt and the unpackers: pipelines, deadlines, interrupts, and no process that is left."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from onpanic.core.errors import FetchError
from onpanic.matrix.sources.host_tools import HostTools

pytestmark = pytest.mark.processes

Survivors = Callable[[str], dict[int, str]]


def test_commands_are_connected(tmp_path: Path) -> None:
    """The output of one is the input of the next."""
    target = tmp_path / "x"
    HostTools().run(["echo", "hello"], ["tee", str(target)], seconds=60, hint="")
    assert target.read_text() == "hello\n"


def test_a_failure_has_the_programs_words() -> None:
    """Apt's errors are preferred to what else was printed."""
    script = "echo W: a >&2; echo E: b; exit 3"
    with pytest.raises(FetchError, match=r"^sh failed: E: b\ndo this$"):
        HostTools().run(["sh", "-c", script], seconds=60, hint="do this")


def test_a_failing_writer_is_noticed() -> None:
    """Every command of the pipeline counts, not only the last one."""
    with pytest.raises(FetchError, match=r"^sh failed: broken\nh$"):
        HostTools().run(["sh", "-c", "echo broken >&2; exit 1"], ["cat"], seconds=60, hint="h")


def test_the_whole_group_ends_at_the_deadline(mark: str, survivors: Survivors) -> None:
    """Children of the programs are in the group as well."""
    with pytest.raises(FetchError, match=r"^sh took longer than 0\.5 s\nh$"):
        HostTools().run(["sh", "-c", "sleep 60 & wait"], ["cat"], seconds=0.5, hint="h")
    assert survivors(mark) == {}


def test_the_whole_group_ends_at_an_interrupt(tmp_path: Path, mark: str, survivors: Survivors) -> None:
    """The exception goes on to the caller."""
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from onpanic.matrix.sources.host_tools import HostTools\n"
        "HostTools().run(['sh', '-c', sys.argv[1]], seconds=60, hint='h')"
    )
    started = tmp_path / "started"
    script = f"sleep 60 & touch {started}; wait"
    with subprocess.Popen(
        [sys.executable, "-c", program, script],
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    ) as child:
        deadline = time.monotonic() + 60
        while not started.exists() and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        child.send_signal(2)
        _, errors = child.communicate(timeout=60)
    assert b"KeyboardInterrupt" in errors
    assert survivors(mark) == {}


def test_an_interrupt_while_a_program_starts_leaves_nothing(mark: str, survivors: Survivors) -> None:
    """The program itself interrupts the one that has just started it."""
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from onpanic.matrix.sources.host_tools import HostTools\n"
        "for _ in range(20):\n"
        "    try: HostTools().run(['sh', '-c', 'kill -INT $PPID; exec sleep 60'], seconds=60, hint='h')\n"
        "    except KeyboardInterrupt: print('interrupted')\n"
    )
    path = os.pathsep.join(p for p in sys.path if p)
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=60, env=environment, check=False
    )
    assert (done.stderr, done.stdout.split()) == (b"", [b"interrupted"] * 20)
    assert survivors(mark) == {}
