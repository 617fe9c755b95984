"""``onpanic probe`` and ``onpanic accept`` on a real Xen: libvirt's driver from outside, and xl in dom0."""

import subprocess
from collections.abc import Callable

import pytest

from onpanic.probe import CapabilityRecord
from onpanic.probe.facts.xen_questions import ON_CRASH_FACTS

from ..running.xen_lab import XenLab

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_probe_libvirt(xen: XenLab, onpanic: Run) -> None:
    """libvirt's Xen driver accepts all six crash actions, for PV, PVH and HVM guests."""
    done = onpanic("probe", "--connect", xen.uri, "--format", "json")
    assert done.returncode == 0, done.stderr
    record = CapabilityRecord.from_json(done.stdout)
    assert (record.hypervisor, record.emulator.version) == ("xen", "4.17")
    assert {record.facts[name].answer for name in ON_CRASH_FACTS.values()} == {"yes"}
    assert [machine.name for machine in record.machines if machine.on_panic.accepted] == [
        *("xenpv", "xenpvh", "xenfv")
    ]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["crash", "--on-crash", "restart", "--on-crash-coredump"], 0, "accepted"),
        (["default", "--machine", "pvh"], 0, "accepted"),
        (["restart"], 1, "refused: xen-only-crash"),
        (["crash", "--on-crash", "preserve", "--on-crash-coredump"], 1, "refused: xen-coredump-on-crash"),
    ],
)
def test_accept(xen: XenLab, onpanic: Run, words: list[str], status: int, said: str) -> None:
    """A policy is accepted or refused by what the host's libvirt accepts."""
    done = onpanic("accept", *words, "--connect", xen.uri)
    assert (done.returncode, done.stdout.startswith(said)) == (status, True), done
