"""The record of a Xen host as a screen, as labels of a Kubernetes node and as metrics."""

from datetime import timedelta

import msgspec
import pytest

from onpanic.fleet import HostRecord
from onpanic.fleet.outputs.host_metrics import host_metrics
from onpanic.fleet.outputs.host_screen import host_screen
from onpanic.fleet.outputs.nfd_features import feature_file
from onpanic.probe.record.screen import Style

from ..running.promtool import Promtool
from .fleets import NOW
from .xen_hosts import REFUSED, xen_emulator, xen_host


def test_screen() -> None:
    """The screen names the toolstack that was asked, and the crash actions that are kept."""
    text = host_screen(xen_host(), Style())
    assert "  libvirt  9.0.0 at xen:///system\n" in text
    assert "\nxen: Xen 4.17, x86_64\n  for x86_64 guests; libvirt 9.0.0 was asked; domain types xen\n" in text
    assert "  xenpv (pv, default), xenpvh (pvh), xenfv (hvm): the guest tells Xen of a crash\n" in text
    assert "    kept     default crash\n" in text
    actions = "destroy coredump-destroy restart coredump-restart preserve rename-restart*"
    assert f"    kept     crash with <on_crash> {actions}\n" in text
    assert "no emulator" not in text


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (xen_host(libvirt=None), "  libvirt  none; xl alone decides\n"),
        (
            xen_host(xen=xen_emulator(words={"preserve": REFUSED})),
            "    refused  crash-preserve crash-rename-restart\n             crash-action-refused: ",
        ),
        (
            msgspec.structs.replace(xen_host(libvirt=None), libvirt_found="unknown"),
            "    unknown  default crash crash-destroy",
        ),
    ],
)
def test_screen_without(found: HostRecord, words: str) -> None:
    """The screen says what is missing, refused and unknown."""
    assert words in host_screen(found, Style())


def test_labels() -> None:
    """A policy that is kept has a label for each name of the guest type; QEMU's policies have none."""
    text = feature_file(xen_host(), NOW + timedelta(days=1)).text
    names = {line.partition("=")[0].partition("/")[2] for line in text.splitlines()[1:]}
    kept = ("crash", "crash-restart", "crash-coredump-restart", "crash-preserve", "crash-rename-restart")
    assert {f"onpanic-x86_64.{kind}.{one}" for kind in ("pv", "xenpv", "xenfv") for one in kept} <= names
    assert not any(".rename" in name or name.endswith(".restart") for name in names)


def test_metrics() -> None:
    """A sample has the crash action as a label; what libvirt's QEMU driver accepts has none."""
    text = host_metrics(xen_host())
    about = 'emulator="xen",architecture="x86_64",machine="xenpv",alias="pv"'
    for labels, value in (
        ('policy="crash",coredump="no"', 1),
        ('policy="crash",coredump="no",on_crash="coredump-restart"', 1),
        ('policy="crash",coredump="no",on_crash="rename-restart"', 1),
        ('policy="restart",coredump="no"', 0),
    ):
        assert f"onpanic_host_policy{{{about},{labels}}} {value}\n" in text
    assert 'onpanic_host_xen_info{version="4.17",toolstack="libvirt 9.0.0"} 1\n' in text
    assert "onpanic_host_libvirt_feature" not in text


@pytest.mark.consumers
def test_prometheus(promtool: Promtool) -> None:
    """Prometheus accepts the metrics."""
    assert promtool("check", "metrics", stdin=host_metrics(xen_host())) == ""
