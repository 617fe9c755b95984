"""The record of a host: played emulators and a played libvirt, all in this process."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from onpanic.fleet import HostDocument, HostRecord, read_fleet
from onpanic.fleet.collecting.collect_host import HostPlan, HostSources, collect_host
from onpanic.fleet.collecting.comparable_record import comparable
from onpanic.fleet.collecting.host_libvirt import LibvirtSeen, ask_host_libvirt
from onpanic.probe.asking.emulator_backend import PROCESSES
from onpanic.probe.facts.fact import no
from onpanic.probe.record.capability_record import CapabilityRecord
from onpanic.probe.testing import QEMU_7_2, PlayedEmulator
from onpanic.probe.testing.played_backend import PlayedBackend

from ..played.constants import LIBVIRT as C
from ..played.libvirt import PlayedLibvirt
from .fleets import record

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
S390X = QEMU_7_2.but(
    target="s390x", machines=("s390-ccw-virtio-7.2=s390-ccw-virtio", "none"), types=(), vmcoreinfo=False
)


Collect = Callable[..., HostRecord]


@pytest.fixture
def collect(tmp_path: Path, played_libvirt: PlayedLibvirt) -> Collect:
    """Return a function that returns the record of a host with some emulators, see `HostPlan`.

    Its libvirt runs guests of x86_64 with qemu-system-x86_64.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    played_libvirt.emulators = {"x86_64": f"{folder}/qemu-system-x86_64"}
    (tmp_path / "machine-id").write_text("b642b4217b34b1e8d3bd915fc65c4452\n")
    daemon = tmp_path / "libvirtd"
    daemon.touch()

    def run(emulators: Mapping[str, PlayedEmulator], *, backend: Any = None, **plan: Any) -> HostRecord:
        for name in emulators:
            (folder / name).touch()
            (folder / name).chmod(0o755)
        sources = HostSources(
            search=(folder,),
            fixed=(),
            machine_id=tmp_path / "machine-id",
            os_release=(),
            kvm=tmp_path / "kvm",
            libvirt={"qemu": (daemon,), "xen": (daemon,)},
            uname=os.uname_result(("Linux", "kvm1", "6.1.0", "#1", "x86_64")),
            backend=backend or PlayedBackend(QEMU_7_2, emulators),
            now=lambda: NOW,
            monotonic=iter(range(1000)).__next__,
        )
        return asyncio.run(collect_host(HostPlan(**plan), sources))

    return run


X86 = {"qemu-system-x86_64": QEMU_7_2}


def test_a_host_with_libvirt(collect: Collect, tmp_path: Path) -> None:
    """The document says everything, and fits its schema."""
    path = f"{tmp_path}/bin/qemu-system-x86_64"
    found = collect(X86)
    assert found.problems == []
    assert (found.host.name, found.collected.at) == ("kvm1", "2026-11-27T12:00:00Z")
    assert found.libvirt
    assert (found.libvirt.uri, found.libvirt.version) == ("qemu:///system", "9.0.0")
    assert (found.libvirt.known_by, found.libvirt.preserve_running) == ("asked", False)
    (emulator,) = found.emulators
    assert emulator.record
    assert (emulator.path, emulator.found_in, emulator.runs) == (path, ["libvirt", "path"], ["x86_64"])
    assert emulator.domain_types == ["kvm", "qemu"]
    assert emulator.aliases == {"pc": "pc-i440fx-7.2", "q35": "pc-q35-7.2"}
    assert [one.name for one in emulator.record.machines] == ["pc-i440fx-7.2", "pc-q35-7.2"]
    assert found.emulator_for("x86_64") == emulator
    Draft202012Validator(HostRecord.json_schema()).validate(msgspec.json.decode(found.to_json()))
    assert HostRecord.from_json(found.to_json()) == found


def test_two_looks_at_a_host_are_one_class(collect: Collect) -> None:
    """Nothing depends on the moment: not where firmware places a device, and not how long it takes."""
    looks = [collect(X86, name=name) for name in ("kvm1", "kvm2")]
    fleet = read_fleet([HostDocument(one.host.name, one.to_json()) for one in looks], NOW)
    assert [len(one.hosts) for one in fleet.classes] == [2]
    assert b"written to 0xe0000000" not in looks[0].to_json()


def test_what_depends_on_the_moment_is_left_out() -> None:
    """Where firmware has placed a register, and the number of a file that the emulator has inherited."""

    def seen(address: int, descriptor: int) -> CapabilityRecord:
        words = f"1 written to {address:#x}: no event", f"could not load /dev/fd/{descriptor}"
        known = record("7.2.22")
        machine = msgspec.structs.replace(
            known.machines[0], facts={"panic-reported": no("observed", words[0])}, problem=words[1]
        )
        return comparable(msgspec.structs.replace(known, machines=[machine]), [])

    found = seen(0xFEBFF000, 7)
    assert found == seen(0xE0000000, 12)
    assert found.problems == ["could not load /dev/fd/N"]
    assert seen(0x505, 7) != found


def test_an_emulator_that_only_libvirt_knows_is_asked_too(
    collect: Collect, played_libvirt: PlayedLibvirt
) -> None:
    played_libvirt.emulators = {"x86_64": "/opt/qemu-kvm"}
    backend = PlayedBackend(QEMU_7_2, {"qemu-kvm": QEMU_7_2.but(version=(8, 0, 0))})
    found = collect(X86, backend=backend)
    own, theirs = sorted(found.emulators, key=lambda one: one.path == "/opt/qemu-kvm")
    assert (theirs.path, theirs.found_in, theirs.runs) == ("/opt/qemu-kvm", ["libvirt"], ["x86_64"])
    assert theirs.record
    assert theirs.record.emulator.version == "8.0.0"
    assert (own.found_in, own.runs) == (["path"], [])


def test_a_user_who_may_only_read_gets_the_version(collect: Collect, played_libvirt: PlayedLibvirt) -> None:
    """polkit refuses the first connection; what the second one may not ask is known by the version.

    The schema that is installed here belongs to another version.
    """
    denied = "authentication unavailable: no polkit agent available"
    played_libvirt.fail("open", C["VIR_ERR_INTERNAL_ERROR"], denied)
    played_libvirt.version, played_libvirt.client_version = 9_001_000, 9_000_000
    found = collect(X86)
    assert found.libvirt
    assert (found.libvirt.known_by, found.libvirt.pci) == ("version", True)
    assert found.emulators[0].found_in == ["libvirt", "path"]
    assert found.problems == []


def test_without_a_daemon_the_programs_are_known_by_their_names(
    collect: Collect, played_libvirt: PlayedLibvirt
) -> None:
    words = "Failed to connect socket to '/run/libvirt/libvirt-sock': No such file or directory"
    played_libvirt.fail("open", C["VIR_ERR_SYSTEM_ERROR"], words, times=2)
    found = collect(X86 | {"qemu-system-s390x": S390X})
    assert found.libvirt is None
    assert found.problems == [f"libvirt: {words}"]
    assert {tuple(one.runs): one.found_in for one in found.emulators} == {
        ("s390x",): ["path"],
        ("x86_64",): ["path"],
    }
    s390x = found.emulator_for("s390x")
    assert s390x
    assert s390x.record
    assert [one.name for one in s390x.record.machines] == ["s390-ccw-virtio-7.2"]


def test_a_host_without_libvirt_has_no_problem(
    collect: Collect, played_libvirt: PlayedLibvirt, tmp_path: Path
) -> None:
    (tmp_path / "libvirtd").unlink()
    played_libvirt.fail("open", C["VIR_ERR_SYSTEM_ERROR"], "No such file or directory", times=2)
    found = collect(X86)
    assert (found.libvirt, found.libvirt_found, found.problems) == (None, "no", [])


def test_without_libvirts_python_module(collect: Collect, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record says which package is missing, and how to get it."""
    monkeypatch.setitem(sys.modules, "libvirt", None)
    found = collect(X86)
    assert (found.libvirt, found.emulators[0].runs) == (None, ["x86_64"])
    (problem,) = found.problems
    assert problem.startswith("libvirt: libvirt-python is not installed; install it with ")
    assert problem.endswith(" -m pip install 'onpanic[libvirt]'")


@pytest.mark.parametrize("call", ["open", "getLibVersion", "domainXMLToNative", "getCapabilities"])
def test_a_libvirt_that_hangs_costs_its_deadline(
    call: str, collect: Collect, played_libvirt: PlayedLibvirt
) -> None:
    """What it has answered before is in the record."""
    hang = played_libvirt.hang(call)
    found = collect(X86, timeout=0.6)
    hang.release()
    _end_calls()
    assert found.emulators[0].record
    assert found.emulators[0].runs == ["x86_64"]
    (problem,) = found.problems
    assert problem.startswith("qemu:///system: ")
    assert problem.endswith(": no answer within 0.6 s")
    known = {"open": None, "getLibVersion": None, "domainXMLToNative": "version", "getCapabilities": "asked"}
    assert (found.libvirt.known_by if found.libvirt else None) == known[call]


def test_a_libvirt_that_was_just_started_has_as_long_as_emulators_are_asked(
    played_libvirt: PlayedLibvirt,
) -> None:
    """It probes them itself before it answers, on the same processors."""
    hang = played_libvirt.hang("getCapabilities")
    seen = LibvirtSeen()

    async def look() -> None:
        idle = asyncio.get_running_loop().create_future()
        asking = asyncio.create_task(ask_host_libvirt("qemu:///system", 0, seen, idle))
        while seen.libvirt is None:
            await asyncio.sleep(0.01)
        hang.release()
        await asking

    asyncio.run(look())
    assert (seen.problems, [guest.architecture for guest in seen.guests or ()]) == ([], ["x86_64"])


def _end_calls() -> None:
    """Wait for the calls that were given up, which must not go on in another test."""
    for thread in threading.enumerate():
        if thread.name == "libvirt call":
            thread.join(30)


def test_a_libvirt_that_is_not_the_hosts_is_not_asked(
    collect: Collect, played_libvirt: PlayedLibvirt
) -> None:
    found = collect(X86, uri="qemu+ssh://other.example/system")
    assert found.libvirt is None
    assert "on another host" in found.problems[0]
    played_libvirt.driver = "Xen"
    assert "its driver is Xen, not QEMU" in collect(X86, uri="xen:///system").problems[0]


def test_a_libvirt_that_does_not_matter_is_not_asked(collect: Collect) -> None:
    """The host's policies are then those of its emulators."""
    found = collect(X86, uri=None)
    assert (found.libvirt, found.libvirt_found, found.problems) == (None, "no", [])
    assert found.emulators[0].found_in == ["path"]


@pytest.mark.processes
def test_an_emulator_that_cannot_be_asked_is_named(collect: Collect, tmp_path: Path) -> None:
    """The document is complete nevertheless, and says why."""
    bad = {
        "qemu-system-arm": "echo no libfoo.so >&2; exit 1",
        "qemu-system-ppc": "exec sleep 1000",
        "qemu-system-sparc": "echo not QMP; exec sleep 1000",
    }
    for name, script in bad.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
    found = collect(dict.fromkeys(bad, QEMU_7_2), backend=PROCESSES, timeout=2, jobs=4)
    problems = {Path(one.path).name: one.problem for one in found.emulators if one.record is None}
    assert problems.keys() == {*bad, "qemu-system-x86_64"}
    assert "no libfoo.so" in problems["qemu-system-arm"]
    assert "in time" in problems["qemu-system-ppc"]
    assert "no such file" in problems["qemu-system-x86_64"]  # libvirt's
    assert len(found.every_problem()) == len(problems)
    assert all(any(name in line for line in found.every_problem()) for name in problems)


def test_further_machine_types_are_asked_where_they_are_known(collect: Collect) -> None:
    """One that an emulator lacks is no problem of the host."""
    like = QEMU_7_2.but(machines=("pc-i440fx-7.2=pc", "pc-i440fx-6.2", "none"))
    (found,) = collect({"qemu-system-x86_64": like}, machines=("pc-i440fx-6.2", "nonsense")).emulators
    assert found.record
    assert [one.name for one in found.record.machines] == ["pc-i440fx-7.2", "pc-i440fx-6.2"]
    assert found.record.problems == []


def test_an_emulator_that_has_no_default_machine_type(
    collect: Collect, played_libvirt: PlayedLibvirt
) -> None:
    """It is asked as such, where it has no virt either."""
    like = QEMU_7_2.but(machines=("uno", "none"), has_default=False, target="avr", types=())
    played_libvirt.fail("open", C["VIR_ERR_SYSTEM_ERROR"], "no", times=2)
    (found,) = collect({"qemu-system-avr": like}).emulators
    assert (found.machine_types, found.runs) == (["none", "uno"], [])
    assert found.record
    assert ([one.name for one in found.record.machines], found.record.problems) == (["none"], [])


def test_excerpts_are_kept_on_request(collect: Collect) -> None:
    (plain,), (full,) = (collect(X86, evidence=wanted).emulators for wanted in (False, True))
    assert plain.record
    assert full.record
    assert full.record.evidence
    assert b'"evidence"' not in collect(X86).to_json()
