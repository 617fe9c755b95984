"""How long it takes to collect four builds, and to build matrices of thousands.  Part of `make bench`."""

import asyncio
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from bare import start

from onpanic.core.errors import FetchError
from onpanic.matrix.collecting.collection import collect
from onpanic.matrix.records.record_files import read_record, write_record
from onpanic.matrix.sources.debian_suites import SUITES, Root, default_folder, fetch
from onpanic.matrix.sources.subjects import in_suite
from onpanic.probe.asking.plan import ProbePlan
from onpanic.probe.facts import Fact
from onpanic.probe.record.capability_record import CapabilityRecord, MachineRecord

__all__ = ("building", "collecting")

NAME = "qemu-system-x86_64"
SIZES = (500, 1000, 2000)
MACHINES = 100


def collecting(show: Callable[[str, float, str, str], None]) -> None:
    """Compare collecting the x86 records of four suites with as many bare starts, both on all cores."""
    folder = os.environ.get("ONPANIC_EMULATORS")
    try:
        roots = [fetch(suite, into=Path(folder) if folder else default_folder()) for suite in SUITES]
    except FetchError as error:
        print(f"matrix: not measured: {error.message} ({error.hint})")
        return
    subjects = [s for root in roots for s in in_suite(root) if s.known_as == [NAME]]
    with tempfile.TemporaryDirectory() as name:
        records = Path(name)

        def matrix() -> float:
            begin = time.perf_counter()
            collect(subjects, ProbePlan(all_machines=True), records, again=True)
            return time.perf_counter() - begin

        matrix()
        named = {}
        for root, path in zip(roots, sorted(records.glob("*.json"), key=_version), strict=True):
            named[root.suite] = [m.name for m in read_record(path).machines if m.started]
        starts = [(root, machine) for root in roots for machine in named[root.suite]]
        ratios = []
        for _ in range(3):  # interleaved
            bare = asyncio.run(_starts(starts))
            ratios.append((matrix(), bare))
    ours, bare = sorted(ratios, key=lambda pair: pair[0] / pair[1])[1]
    detail = f"{ours:.1f} s / {bare:.1f} s, {len(starts)} machine types of {len(roots)} builds, all cores"
    show("matrix / bare starts", ours / bare, "<= 1.3", detail)


def _version(path: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in read_record(path).emulator.version.split("."))


async def _starts(starts: Sequence[tuple[Root, str]]) -> float:
    slots = asyncio.Semaphore(os.cpu_count() or 1)

    async def one(root: Root, machine: str) -> None:
        async with slots:
            await start(root.command(NAME), machine)

    begin = time.perf_counter()
    await asyncio.gather(*(one(*each) for each in starts))
    return time.perf_counter() - begin


def building() -> None:
    """Print the time and memory to build matrices of records with a hundred machine types each."""
    pattern = read_record(next(Path("compat-matrix/records").glob(f"{NAME}-1[0-9]*.json")))
    chance = random.Random(1)  # noqa: S311
    with tempfile.TemporaryDirectory() as name:
        records, out = Path(name) / "records", Path(name) / "out"
        made = 0
        for size in SIZES:
            for number in range(made, size):
                write_record(records, f"{NAME}-{number}", _varied(pattern, number, chance))
            made = size
            begin = time.perf_counter()
            words = [sys.executable, "-m", "onpanic", "matrix", "build", "-q", str(records), "-o", str(out)]
            process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
            _, _, used = os.wait4(process.pid, 0)
            took = time.perf_counter() - begin
            page = (out / "index.html").stat().st_size
            print(
                f"{f'matrix of {size} x {MACHINES}':24} {took:5.1f} s, {took / size * 1000:.1f} ms a record, "
                f"{_mib(used):.0f} MiB at most, index.html {page / 2**20:.1f} MiB",
                flush=True,
            )


def _differing(machine: MachineRecord, chance: random.Random) -> MachineRecord:
    """Return a machine type with another detail of one fact, for itself and for its own notifier."""
    name, detail = chance.choice(list(machine.facts)), f"seen {chance.randrange(1000)}"

    def changed(facts: dict[str, Fact]) -> dict[str, Fact]:
        return {n: msgspec.structs.replace(f, detail=detail) if n == name else f for n, f in facts.items()}

    notifiers = [
        msgspec.structs.replace(one, facts=changed(one.facts)) if one.model == machine.notifier else one
        for one in machine.notifiers
    ]
    return msgspec.structs.replace(machine, facts=changed(machine.facts), notifiers=notifiers)


def _mib(used: resource.struct_rusage) -> float:
    return used.ru_maxrss / 1024


def _varied(pattern: CapabilityRecord, number: int, chance: random.Random) -> CapabilityRecord:
    """Return a record of another build, in which one machine type in fifty has another answer."""
    machines = []
    for index in range(MACHINES):
        machine = pattern.machines[index % len(pattern.machines)]
        machine = msgspec.structs.replace(machine, name=f"pc-{index}", aliases=[], default=index == 0)
        machines.append(_differing(machine, chance) if not chance.randrange(50) else machine)
    emulator = msgspec.structs.replace(
        pattern.emulator, version=f"{4 + number // 9}.{number % 9 // 3}.{number % 3}", package=f"v{number}"
    )
    return msgspec.structs.replace(pattern, emulator=emulator, machines=machines)
