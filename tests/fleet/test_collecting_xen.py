"""The record of a dom0: libvirt's Xen driver and xl are played."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from onpanic.fleet import HostRecord
from onpanic.fleet.collecting.collect_host import HostPlan, HostSources, collect_host
from onpanic.fleet.collecting.collect_xen import XenPlaces
from onpanic.fleet.judging.promise import promise_of
from onpanic.probe.decision.policy import Policy
from onpanic.probe.testing import QEMU_7_2
from onpanic.probe.testing.played_backend import PlayedBackend

from ..played.client import make_error
from ..played.constants import LIBVIRT as C
from ..played.libvirt import PlayedLibvirt
from .fleets import NOW
from .xen_hosts import CAPABILITIES

Collect = Callable[..., HostRecord]

#: Accepts every crash action but those that it does not know, as xl does.
XL = """#!/bin/sh
case "$*" in *rename*|*onpanic\\") echo "Unknown on_crash action" >&2; exit 1;; esac
"""


@pytest.fixture
def collect(tmp_path: Path, played_libvirt: PlayedLibvirt) -> Collect:
    """Return a function that returns the record of a dom0 with a QEMU, see `HostPlan`."""
    files = {
        "hypervisor/type": "xen\n",
        "hypervisor/properties/capabilities": f"{CAPABILITIES} \n",
        "hypervisor/version/major": "4\n",
        "hypervisor/version/minor": "17\n",
        "hypervisor/version/extra": ".7\n",
        "hypervisor/properties/features": "000228f0\n",
        "xl": XL,
        "libvirtd": "",
        "bin/qemu-system-i386": "",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    played_libvirt.driver = "Xen"

    def run(**plan: Any) -> HostRecord:
        sources = HostSources(
            search=(tmp_path / "bin",),
            fixed=(),
            kvm=tmp_path / "kvm",
            libvirt={"qemu": (tmp_path / "libvirtd",), "xen": (tmp_path / "libvirtd",)},
            xen=XenPlaces(tmp_path / "hypervisor", str(tmp_path / "xl")),
            uname=os.uname_result(("Linux", "xen1", "6.1.0", "#1", os.uname().machine)),
            backend=PlayedBackend(QEMU_7_2, {}),
            now=lambda: NOW,
            monotonic=iter(range(1000)).__next__,
        )
        return asyncio.run(collect_host(HostPlan(**plan), sources))

    return run


def no_libvirt(played: PlayedLibvirt) -> None:
    played.fail("open", C["VIR_ERR_SYSTEM_ERROR"], "No such file or directory", times=2)


@pytest.mark.processes
def test_without_libvirt(collect: Collect, played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """xl is asked where there is no libvirt, or none is to be asked; QEMU's program is no emulator there."""
    no_libvirt(played_libvirt)
    (tmp_path / "libvirtd").unlink()
    for found in (collect(), collect(uri=None)):
        assert (found.libvirt, found.libvirt_found, found.emulators, found.problems) == (None, "no", [], [])
        assert (found.kvm.usable, found.kvm.hyperv) == ("no", "no")
        assert found.xen
        assert found.xen.record
        assert (found.xen.found_in, found.xen.domain_types) == (["path"], [])
        assert (found.xen.record.emulator.toolstack, found.xen.record.emulator.version) == ("xl", "4.17.7")
        assert found.xen.machine_types == ["xenpv", "xenpvh", "xenfv"]
        assert found.xen.record.accepts("crash", on_crash="restart")
        assert found.xen.record.accepts("crash", on_crash="rename-restart").code == "crash-action-refused"


@pytest.mark.processes
def test_libvirt_that_does_not_answer(collect: Collect, played_libvirt: PlayedLibvirt) -> None:
    """xl's answers are recorded, and that libvirt's are not known."""
    no_libvirt(played_libvirt)
    found = collect()
    assert (found.libvirt_found, found.problems) == ("unknown", ["libvirt: No such file or directory"])
    assert found.xen
    assert found.xen.record


@pytest.mark.processes
def test_libvirt_that_answers_in_part(
    collect: Collect, played_libvirt: PlayedLibvirt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What libvirt accepts is not known by its version, nor by what xl accepts."""

    def fail() -> NoReturn:
        raise make_error(played_libvirt, C["VIR_ERR_INTERNAL_ERROR"], "no answer")

    monkeypatch.setattr(played_libvirt, "host_capabilities", fail)
    (tmp_path / "libvirtd").unlink()
    found = collect()
    assert (found.libvirt, found.libvirt_found) == (None, "unknown")
    assert found.problems == ["libvirt: what it accepts: no answer"]
    assert found.xen
    assert found.xen.found_in == ["path"]
    promise = promise_of(found, "x86_64", "xenpv", Policy("crash", on_crash="restart"), "xen")
    assert (promise.kept, promise.code) == ("unknown", "libvirt-not-asked")


@pytest.mark.processes
def test_nothing_answers(collect: Collect, played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """The record says that the host is a dom0, and why its Xen could not be asked."""
    no_libvirt(played_libvirt)
    (tmp_path / "xl").unlink()
    found = collect()
    assert found.xen
    assert (found.xen.record, found.xen.problem) == (None, f"{tmp_path}/xl: No such file or directory")
    assert f"xen: {found.xen.problem}" in found.every_problem()


def test_libvirt(collect: Collect, played_libvirt: PlayedLibvirt, monkeypatch: pytest.MonkeyPatch) -> None:
    """libvirt's Xen driver is asked at xen:///system, and xl is not."""

    def to_native(xml: str) -> str:
        if "<on_crash>onpanic<" in xml or "<on_crash>preserve<" in xml:
            refuse()
        return ""

    def refuse() -> NoReturn:
        raise make_error(played_libvirt, C["VIR_ERR_CONFIG_UNSUPPORTED"], "unknown on_crash action")

    machines = "".join(f"<machine>{name}</machine>" for name in ("xenpv", "xenfv"))
    xml = f"<capabilities><host><cpu><arch>x86_64</arch></cpu></host><guest>{machines}</guest></capabilities>"
    monkeypatch.setattr(played_libvirt, "host_capabilities", lambda: xml)
    monkeypatch.setattr(played_libvirt, "to_native", to_native)
    found = collect()
    assert found.problems == []
    assert found.libvirt
    assert (found.libvirt.uri, found.libvirt.version, found.libvirt_found) == (
        "xen:///system",
        "9.0.0",
        "yes",
    )
    assert found.xen
    assert found.xen.record
    assert (found.xen.found_in, found.xen.domain_types, found.xen.runs) == (["libvirt"], ["xen"], ["x86_64"])
    assert found.xen.record.emulator.toolstack == "libvirt 9.0.0"
    assert found.xen.machine_types == ["xenpv", "xenfv"]
    assert found.xen.record.accepts("crash", on_crash="preserve").code == "crash-action-refused"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("hypervisor/type", "kvm\n"),
        ("hypervisor/properties/features", "000220f0\n"),
        ("hypervisor/properties/features", None),
    ],
)
def test_no_dom0(file: str, content: str | None, collect: Collect, tmp_path: Path) -> None:
    """A host on another hypervisor, and a guest of Xen, are hosts of QEMU's guests."""
    (tmp_path / file).unlink() if content is None else (tmp_path / file).write_text(content)
    found = collect(uri=None)
    assert found.xen is None
    assert len(found.emulators) == 1


def test_libvirt_of_qemu(collect: Collect, played_libvirt: PlayedLibvirt) -> None:
    """Who names libvirt's QEMU driver in a dom0 gets the record of QEMU's guests."""
    played_libvirt.driver = "QEMU"
    found = collect(uri="qemu:///system")
    assert (found.xen, found.libvirt and found.libvirt.uri) == (None, "qemu:///system")
    assert found.emulators
