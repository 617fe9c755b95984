"""How long the verdict over up to 100,000 hosts and the drift of 1,000 take, and how much memory.

Part of `make bench`.

The hosts have the QEMU and libvirt of four Debian suites, and 16 kB of JSON each.  Those of one suite are
equal but for their names; in the last case every fact about a host is another one than on every other.  The
1,000 hosts that have an aim in seconds are files in a folder.  Ratios between sizes are measured with
documents that arrive through a pipe, so that a disk does not count.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bench_rows import show

__all__ = ("verdicts",)

ROOT = Path(__file__).parent.parent
SIZES = (1000, 10_000, 100_000)
SUITES = (("5.2.0", "7.0.0"), ("7.2.22", "9.0.0"), ("10.0", "11.3.0"), ("11.1", "12.6.0"))
ROUNDS = 3
AIM = 2.0  # seconds for 1,000 hosts
MEMORY = 200  # MiB for them


def verdicts() -> None:
    """Show the time and the memory of the command for each size."""
    hosts = _hosts()
    with tempfile.TemporaryDirectory(prefix="onpanic-") as name:
        for number, data in enumerate(_documents(hosts, SIZES[0])):
            Path(name, f"{number}.json").write_bytes(data)
        candidates: dict[str, Callable[[], tuple[float, float]]] = {
            "folder": lambda: _run([name]),
            "drift": lambda: _run([name, "-"], _documents([*hosts[1:], hosts[0]], SIZES[0]), "diff"),
            "different": lambda: _run(["-"], _documents(hosts, SIZES[0], differ=True)),
            **{
                str(size): lambda size=size: _run(["-"], _documents(hosts, size))  # type: ignore[misc]
                for size in SIZES
            },
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
        for _ in range(ROUNDS):  # interleaved
            for case, run in candidates.items():
                found[case].append(run())
    took = {case: statistics.median(seconds for seconds, _ in pairs) for case, pairs in found.items()}
    memory = {case: max(used for _, used in pairs) for case, pairs in found.items()}
    show("1,000 hosts / 2 s", took["folder"] / AIM, "<= 1", f"{took['folder']:.2f} s, files in a folder")
    show("their memory / 200 MiB", memory["folder"] / MEMORY, "<= 1", f"{memory['folder']:.0f} MiB")
    show("their drift / 2 s", took["drift"] / AIM, "<= 1", f"{took['drift']:.2f} s, all of them upgraded")
    for smaller, greater in zip(SIZES, SIZES[1:], strict=False):
        before, after = took[str(smaller)], took[str(greater)]
        detail = f"{after:.2f} s, {memory[str(greater)]:.0f} MiB / {before:.2f} s"
        show(f"{greater:,} / {smaller:,}", after / before, f"<= {greater // smaller}", detail)
    detail = f"1,000 hosts: {took['different']:.2f} s, {memory['different']:.0f} MiB"
    show("all different / equal", took["different"] / took[str(SIZES[0])], "-", detail)


def _hosts() -> list[bytes]:
    """Return the record of a host for each suite."""
    sys.path.insert(0, str(ROOT))  # the tests know how to make a host of a record
    from tests.fleet.fleets import host

    made = "2020-01-01T00:00:00Z"
    return [host("host", qemu=qemu, libvirt=version, at=made).to_json() for qemu, version in SUITES]


def _documents(hosts: list[bytes], size: int, *, differ: bool = False) -> Iterator[bytes]:
    """Yield the documents of a fleet.

    :param differ: Let every fact be another one on every host.
    """
    for number in range(size):
        new = f'"name":"kvm{number}","id":"{number}-'.encode()
        data = hosts[number % len(hosts)].replace(b'"name":"host","id":"', new, 1)
        yield data.replace(b'"detail":"', f'"detail":"{number}: '.encode()) if differ else data


def _run(
    sources: list[str], documents: Iterable[bytes] = (), question: str = "verdict"
) -> tuple[float, float]:
    """Run the command; return its seconds, and the MiB that it needed."""
    command = [sys.executable, "-m", "onpanic", "fleet", question, *sources]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stdin
    with contextlib.closing(process.stdin) as stdin:
        for data in documents:
            stdin.write(data + b"\n")
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != (question == "diff"):  # 1 if there is drift
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - begin, used.ru_maxrss / 1024


if __name__ == "__main__":
    verdicts()
