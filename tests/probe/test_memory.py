"""The memory of a probe is bounded, whatever an emulator says.

The bound is 200 MiB of resident memory for the command itself, above the 25 MiB that it
takes for a real emulator; measured by the kernel (``VmHWM`` in proc(5)).
"""

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from onpanic.probe.testing import QEMU_7_2, Fault

pytestmark = pytest.mark.processes

BOUND = 200 * 1024  # KiB
MEASURED = """
import sys
from onpanic.cli import main
try:
    main(["probe", "-q", "--timeout", "10", *sys.argv[1:]])
finally:
    print(open("/proc/self/status").read())
"""


def peak(command: list[str], *options: str) -> int:
    """Return the most memory that the command held while it probed, in KiB, its emulator's not counted."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *options, "--", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r"VmHWM:\s+(\d+) kB", done.stdout)
    assert found
    return int(found[1])


@pytest.mark.parametrize("place", ["start", "query-machines"])
@pytest.mark.parametrize("kind", ["long-line", "endless-junk", "flood", "babble", "nesting"])
def test_memory_is_bounded_whatever_is_said(kind: str, place: str) -> None:
    assert peak(QEMU_7_2.failing(Fault(kind, place)).command()) < BOUND


@pytest.mark.parametrize("line", ["x" * 4096, "x" * 4095 + "\n"], ids=["one line", "lines"])
def test_memory_is_bounded_whatever_goes_to_stderr(line: str) -> None:
    """A hundred million bytes of it."""
    talk = f"import sys\nfor _ in range(25000): sys.stderr.write({line!r})\nsys.exit(1)"
    assert peak([sys.executable, "-c", talk]) < BOUND


@pytest.mark.parametrize("options", [[], ["--all-machines"]], ids=str)
@pytest.mark.parametrize("value", ["[[[[[[[[]]]]]]]]", '{"":0}', "1.5"])
def test_memory_is_bounded_however_dense_it_is_said(
    value: str, options: list[str], altered: Callable[[dict[str, Any]], list[str]]
) -> None:
    """A value of two bytes takes a hundred in memory, and each machine type's conversation is kept."""
    values = ",".join([value] * (2**20 // (len(value) + 1) - 20))
    message = f'{{"event": "X", "data": {{"x": [{values}]}}}}\r\n'
    changes = {"query-status": {"before": message, "times": 9}}
    assert peak(altered(changes), *options) < BOUND
