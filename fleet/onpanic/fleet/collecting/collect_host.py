"""Making the record of this host.

Emulators that are programs of the distribution are asked while libvirt is; those that only libvirt knows are
asked afterwards.  Nothing is changed and nothing is kept.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from onpanic.core.errors import EmulatorError
from onpanic.core.tasks import run_all
from onpanic.core.version import PROGRAM
from onpanic.fleet.collecting.comparable_record import comparable
from onpanic.fleet.collecting.emulator_programs import find_programs
from onpanic.fleet.collecting.host_emulators import EmulatorSeen, emulators_seen
from onpanic.fleet.collecting.host_kvm import Ioctl, host_kvm
from onpanic.fleet.collecting.host_libvirt import LIBVIRT_PLACES, LibvirtSeen, ask_host_libvirt, libvirt_found
from onpanic.fleet.collecting.host_system import host_id, host_system
from onpanic.fleet.hosts.emulator_places import FIXED_FOLDERS
from onpanic.fleet.hosts.host_record import HostCollected, HostEmulator, HostName, HostRecord
from onpanic.fleet.hosts.usual_machines import USUAL_MACHINES
from onpanic.probe.api import record_from
from onpanic.probe.asking.emulator_backend import PROCESSES, EmulatorBackend
from onpanic.probe.asking.plan import ProbePlan
from onpanic.probe.asking.starts import ask_emulator
from onpanic.probe.emulator.reaper import Reaper
from onpanic.probe.host import qemu_target
from onpanic.probe.observations.machines import Machines
from onpanic.probe.record.evidence import with_evidence

__all__ = ("DEFAULT_URI", "HostPlan", "HostSources", "collect_host")

#: The libvirt that runs a host's guests.
DEFAULT_URI = "qemu:///system"


class HostPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to find out about this host.

    :param name: What to call it; None for its own name.
    :param machines: Further machine types, which an emulator may not have.
    :param all_machines: Ask about all machine types of every emulator.
    :param uri: libvirt's connection URI; None to ask no libvirt, and judge the emulators alone.
    :param timeout: Seconds that an emulator has for each machine type, and that libvirt has after the
        emulators that are programs of the distribution.
    :param jobs: How many emulators run at a time; 0 for one for each CPU.
    :param evidence: Keep excerpts of what emulators said.
    """

    name: str | None = None
    machines: tuple[str, ...] = ()
    all_machines: bool = False
    uri: str | None = DEFAULT_URI
    timeout: float = 10.0
    jobs: int = 0
    evidence: bool = False


class HostSources(msgspec.Struct, frozen=True, kw_only=True):
    """Where things are on this host, and the clocks; the defaults are those of every Linux.

    :param search: The folders of the PATH, in its order.
    :param fixed: Folders where emulators are as well.
    :param uname: What uname(2) says.
    :param libvirt: Where a host that has a libvirt has something.
    :param ioctl: What asks `kvm`.
    :param backend: What starts emulators.
    """

    search: tuple[Path, ...] = ()
    fixed: tuple[Path, ...] = FIXED_FOLDERS
    machine_id: Path = Path("/etc/machine-id")
    os_release: tuple[Path, ...] = (Path("/etc/os-release"), Path("/usr/lib/os-release"))
    kvm: Path = Path("/dev/kvm")
    libvirt: tuple[Path, ...] = LIBVIRT_PLACES
    uname: os.uname_result = msgspec.field(default_factory=os.uname)
    ioctl: Ioctl = fcntl.ioctl
    backend: EmulatorBackend = PROCESSES
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic


async def collect_host(plan: HostPlan, sources: HostSources) -> HostRecord:
    """Return the record of this host.

    What cannot be found out is in the record, as a problem.

    :param plan: What to find out.
    :param sources: Where things are.
    """
    start, at = sources.monotonic(), sources.now()
    uname = sources.uname
    target = qemu_target(uname.machine)
    found = find_programs((*sources.search, *sources.fixed), target)
    with Reaper() as reaper:
        asked = _AskedEmulators(plan, sources, reaper)
        first = emulators_seen(found.programs, None, target)
        seen = LibvirtSeen()
        idle = asyncio.get_running_loop().create_future()

        async def ask_first() -> None:
            await asked.ask_all(first)
            idle.set_result(asyncio.get_running_loop().time())

        questions = [ask_first()]
        if plan.uri is not None:
            questions.append(ask_host_libvirt(plan.uri, plan.timeout, seen, idle))
        await run_all(*questions)
        emulators = emulators_seen(found.programs, seen.guests, target)
        await asked.ask_all(emulators)
    has_libvirt = libvirt_found(seen, _libvirt_places(plan, sources))
    return HostRecord(
        host=HostName(plan.name or uname.nodename, host_id(sources.machine_id)),
        collected=HostCollected(
            at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            PROGRAM,
            round(sources.monotonic() - start, 3),
        ),
        system=host_system(sources.os_release, uname),
        kvm=host_kvm(sources.kvm, uname.machine, sources.ioctl),
        libvirt=seen.libvirt,
        libvirt_found=has_libvirt,
        emulators=[asked.result(one) for one in emulators],
        problems=[*found.problems, *(seen.problems if has_libvirt != "no" else [])],
    )


def _libvirt_places(plan: HostPlan, sources: HostSources) -> Sequence[Path]:
    """Return the files of which one exists if the host has the libvirt of the plan."""
    if plan.uri is None:
        return ()
    # A libvirt that the user names exists, as far as the user knows
    return sources.libvirt if plan.uri == DEFAULT_URI else (Path("/"),)


class _AskedEmulators:
    """The emulators that were asked, each once."""

    def __init__(self, plan: HostPlan, sources: HostSources, reaper: Reaper) -> None:
        also = () if plan.all_machines else tuple(dict.fromkeys((*USUAL_MACHINES, *plan.machines)))
        self._plan = ProbePlan(
            all_machines=plan.all_machines, timeout=plan.timeout, jobs=plan.jobs, if_there=also
        )
        self._evidence = plan.evidence
        self._backend = sources.backend
        self._monotonic = sources.monotonic
        self._reaper = reaper
        self._slots = asyncio.Semaphore(self._plan.slots)
        self._answers: dict[tuple[str, str], HostEmulator] = {}

    async def ask_all(self, emulators: Sequence[EmulatorSeen]) -> None:
        """Ask the emulators that were not asked yet."""
        await run_all(*(self._ask(one) for one in emulators if one.identity not in self._answers))

    def result(self, seen: EmulatorSeen) -> HostEmulator:
        """Return what is recorded of an emulator that was asked."""
        found = self._answers[seen.identity]
        target = found.record.emulator.target if found.record else ""
        misnamed = "libvirt" not in seen.found_in and target not in ("", seen.identity[1])
        return msgspec.structs.replace(
            found,
            path=seen.path,
            found_in=list(seen.found_in),
            runs=[] if misnamed else list(seen.runs),
            domain_types=list(seen.domain_types),
            other_paths=list(seen.other_paths),
        )

    async def _ask(self, seen: EmulatorSeen) -> None:
        command = [seen.path]
        start = self._monotonic()
        held = await ask_emulator(command, self._plan, self._reaper, self._slots, backend=self._backend)
        known = Machines(held)
        record, problem = None, ""
        try:
            record = comparable(record_from(held, command, self._monotonic() - start), known.names)
        except EmulatorError as error:
            problem = error.message
        if record is not None and self._evidence:
            record = with_evidence(record, held)
        self._answers[seen.identity] = HostEmulator(
            path=seen.path,
            found_in=[],
            runs=[],
            domain_types=[],
            machine_types=known.names,
            aliases={alias: name for name in known.names for alias in known.aliases(name)},
            record=record,
            problem=problem,
        )
