"""Making the record of this host.

Emulators that are programs of the distribution are asked while libvirt is; those that only libvirt knows are
asked afterwards.  In a dom0 its Xen is asked instead: there QEMU's programs are device models of Xen's
guests.  Nothing is changed and nothing is kept.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from onpanic.core.errors import EmulatorError
from onpanic.core.tasks import run_all
from onpanic.core.version import PROGRAM
from onpanic.fleet.collecting.collect_xen import XenPlaces, ask_host_xen, is_dom0, is_uri_of_xen
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
from onpanic.probe.decision.policy import Hypervisor
from onpanic.probe.emulator.reaper import Reaper
from onpanic.probe.host import qemu_target
from onpanic.probe.observations.machines import Machines
from onpanic.probe.record.capability_record import Probed
from onpanic.probe.record.evidence import with_evidence

__all__ = ("DEFAULT_URIS", "HostPlan", "HostSources", "collect_host")

#: The libvirt that runs a host's guests, by its hypervisor.
DEFAULT_URIS: Mapping[Hypervisor, str] = {"qemu": "qemu:///system", "xen": "xen:///system"}


class HostPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to find out about this host.

    :param name: What to call it; None for its own name.
    :param machines: Further machine types, which an emulator may not have.
    :param all_machines: Ask about all machine types of every emulator.
    :param uri: libvirt's connection URI; empty for that of `DEFAULT_URIS`; None to ask no libvirt, and judge
        the emulators or Xen alone.  One of QEMU's driver in a dom0 makes the record one of QEMU's guests.
    :param timeout: Seconds that an emulator has for each machine type, and that libvirt has after the
        emulators that are programs of the distribution.
    :param jobs: How many emulators run at a time; 0 for one more than there are CPUs.
    :param evidence: Keep excerpts of what emulators said.
    """

    name: str | None = None
    machines: tuple[str, ...] = ()
    all_machines: bool = False
    uri: str | None = ""
    timeout: float = 10.0
    jobs: int = 0
    evidence: bool = False


class HostSources(msgspec.Struct, frozen=True, kw_only=True):
    """Where things are on this host, and the clocks; the defaults are those of every Linux.

    :param search: The folders of the PATH, in its order.
    :param fixed: Folders where emulators are as well.
    :param uname: What uname(2) says.
    :param libvirt: Where a host that has a libvirt for a hypervisor's guests has something.
    :param xen: Where a dom0 has what it knows of Xen.
    :param ioctl: What asks `kvm`.
    :param backend: What starts emulators.
    """

    search: tuple[Path, ...] = ()
    fixed: tuple[Path, ...] = FIXED_FOLDERS
    machine_id: Path = Path("/etc/machine-id")
    os_release: tuple[Path, ...] = (Path("/etc/os-release"), Path("/usr/lib/os-release"))
    kvm: Path = Path("/dev/kvm")
    libvirt: Mapping[Hypervisor, tuple[Path, ...]] = msgspec.field(default_factory=lambda: LIBVIRT_PLACES)
    xen: XenPlaces = XenPlaces()
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
    hypervisor = _hypervisor(plan, sources)
    found = await (_xen_guests if hypervisor == "xen" else _qemu_guests)(plan, sources)
    has_libvirt = libvirt_found(found.libvirt, _libvirt_places(plan, sources, hypervisor))
    return HostRecord(
        host=HostName(plan.name or uname.nodename, host_id(sources.machine_id)),
        collected=HostCollected(_stamp(at), PROGRAM, round(sources.monotonic() - start, 3)),
        system=host_system(sources.os_release, uname),
        kvm=host_kvm(sources.kvm, uname.machine, sources.ioctl),
        libvirt=found.libvirt.libvirt,
        libvirt_found=has_libvirt,
        emulators=found.emulators,
        problems=[*found.problems, *(found.libvirt.problems if has_libvirt != "no" else [])],
        xen=found.xen,
    )


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    """What runs guests on a host.

    :param problems: What is wrong with its programs.
    """

    libvirt: LibvirtSeen
    emulators: list[HostEmulator] = []
    problems: tuple[str, ...] = ()
    xen: HostEmulator | None = None


def _hypervisor(plan: HostPlan, sources: HostSources) -> Hypervisor:
    """Return whose guests the record is about."""
    on_xen = is_dom0(sources.xen) and (not plan.uri or is_uri_of_xen(plan.uri))
    return "xen" if on_xen else "qemu"


def _uri(plan: HostPlan, hypervisor: Hypervisor) -> str | None:
    return plan.uri if plan.uri is None else plan.uri or DEFAULT_URIS[hypervisor]


async def _xen_guests(plan: HostPlan, sources: HostSources) -> _Found:
    seen, start = LibvirtSeen(), sources.monotonic()

    def probed() -> Probed:
        return Probed(_stamp(sources.now()), PROGRAM, round(sources.monotonic() - start, 3))

    xen = await ask_host_xen(_uri(plan, "xen"), plan.timeout, seen, sources.xen, probed)
    return _Found(libvirt=seen, xen=xen)


async def _qemu_guests(plan: HostPlan, sources: HostSources) -> _Found:
    uri = _uri(plan, "qemu")
    target = qemu_target(sources.uname.machine)
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
        if uri is not None:
            questions.append(ask_host_libvirt(uri, plan.timeout, seen, idle))
        await run_all(*questions)
        emulators = emulators_seen(found.programs, seen.guests, target)
        await asked.ask_all(emulators)
    return _Found(libvirt=seen, emulators=[asked.result(one) for one in emulators], problems=found.problems)


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _libvirt_places(plan: HostPlan, sources: HostSources, hypervisor: Hypervisor) -> Sequence[Path]:
    """Return the files of which one exists if the host has the libvirt of the plan."""
    if plan.uri is None:
        return ()
    # A libvirt that the user names exists, as far as the user knows
    is_usual = plan.uri in ("", DEFAULT_URIS[hypervisor])
    return sources.libvirt.get(hypervisor, ()) if is_usual else (Path("/"),)


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
