"""``onpanic host`` as a user runs it, with the host's own QEMU, and with a real libvirt."""

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onpanic.fleet import HostDocument, HostRecord, read_fleet
from onpanic.fleet.collecting.collect_host import HostPlan, HostSources, collect_host

from ..running.libvirtd import HOST
from .fleets import NOW

Run = Callable[..., subprocess.CompletedProcess[str]]

#: A libvirt that is not there.
NO_LIBVIRT = ("--connect", "qemu+unix:///system?socket=/nonexistent/socket")


@pytest.mark.processes
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--evidence",), "--evidence has no meaning here"),
        (("--format", "nfd", "--expiry", "0"), "hours: more than 0"),
        (("--format", "nfd", "--namespace", "kubernetes.io"), "kubernetes.io: not a namespace for labels"),
    ],
)
def test_options_that_mean_nothing_are_refused(words: tuple[str, ...], message: str, onpanic: Run) -> None:
    """Before anything is asked."""
    done = onpanic("host", *words, *NO_LIBVIRT)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


@pytest.mark.emulators
def test_the_record_of_this_host(onpanic: Run, tmp_path: Path) -> None:
    """It is complete although there is no libvirt, and stderr says so; the exit status is 0."""
    file = tmp_path / "host.json"
    asked = ("--machine", "pc-i440fx-6.2", "--machine", "nonsense", "--name", "kvm1")
    done = onpanic("host", "--format", "json", "-o", str(file), *asked, *NO_LIBVIRT)
    assert (done.returncode, done.stdout) == (0, "")
    assert os.listdir(tmp_path) == ["host.json"]  # noqa: PTH208
    found = HostRecord.from_json(file.read_bytes())
    assert done.stderr.splitlines()[0] == f"onpanic: {found.problems[0]}"
    assert "use --no-libvirt" in done.stderr
    assert "onpanic: note: no emulator of this host has the machine type nonsense\n" in done.stderr
    assert (found.host.name, found.libvirt) == ("kvm1", None)
    assert found.system.kernel == os.uname().release
    emulator = found.emulator_for("x86_64")
    assert emulator
    assert emulator.record
    machines = {one.name: one.aliases for one in emulator.record.machines}
    assert {*(alias for aliases in machines.values() for alias in aliases)} == {"pc", "q35"}
    assert "pc-i440fx-6.2" in machines
    assert emulator.record.accepts("restart", coredump=True, machine="q35")
    assert len({os.path.realpath(one.path) for one in found.emulators}) == len(found.emulators)


@pytest.mark.libvirt
@pytest.mark.libvirts(HOST)
def test_the_record_of_a_host_with_libvirt(libvirt: Any, uri: str) -> None:
    """libvirt is asked what it accepts, and which emulator it would choose."""
    looks = [_look(uri, name) for name in ("kvm1", "kvm2")]
    for found in looks:
        assert found.problems == []
        assert found.libvirt
        assert found.libvirt.known_by == "asked"
        version = [int(part) for part in found.libvirt.version.split(".")]
        assert version[0] * 1_000_000 + version[1] * 1_000 + version[2] == libvirt.getVersion()
        emulator = found.emulator_for("x86_64")
        assert emulator
        assert emulator.path == "/usr/bin/qemu-system-x86_64"
        assert emulator.found_in == ["libvirt", "path"]
        assert "qemu" in emulator.domain_types
    fleet = read_fleet([HostDocument(one.host.name, one.to_json()) for one in looks], NOW)
    assert [len(one.hosts) for one in fleet.classes] == [2]


def _look(uri: str, name: str) -> HostRecord:
    return asyncio.run(collect_host(HostPlan(name=name, uri=uri, timeout=60), HostSources()))
