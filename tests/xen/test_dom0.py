"""The installed command in a real Xen's dom0: ``xl`` and libvirt are asked, and do not answer."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from onpanic.probe import CapabilityRecord

from ..running.dom0_onpanic import Dom0Onpanic
from ..running.xen_lab import XenLab

EXAMPLES: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "examples.py"))
SESSIONS = [block for block in EXAMPLES["blocks"]() if EXAMPLES["runs_in_dom0"](block)]

AS_USER = "setpriv --reuid 65534 --regid 65534 --clear-groups"


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.page)
@pytest.mark.usefixtures("dom0_onpanic")
def test_documented(xen: XenLab, session: Any) -> None:
    """Each command of a page prints what the page shows, but for numbers and widths."""
    shape = EXAMPLES["shape"]
    shown = EXAMPLES["steps"](session.text)
    printed = [xen.run(command.removeprefix("dom0# ").strip()) for command, _ in shown]
    assert [shape(done.stdout + done.stderr) for done in printed] == [shape(text) for _, text in shown]


def test_no_emulator(dom0_onpanic: Dom0Onpanic) -> None:
    """A dom0 without QEMU is told how to ask it."""
    done = dom0_onpanic("probe")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr.splitlines()[-1] == "onpanic: hint: this is a dom0 of Xen: onpanic probe --hypervisor xen"
    )


def test_user(dom0_onpanic: Dom0Onpanic, xen: XenLab) -> None:
    """Whom xl does not serve learns which guests this Xen runs, and why nothing else."""
    del dom0_onpanic  # it is installed
    done = xen.run(f"{AS_USER} onpanic probe --hypervisor xen --format json")
    assert done.returncode == 2
    assert "Permission denied" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    record = CapabilityRecord.from_json(done.stdout)
    assert record.emulator.version.startswith("4.17")
    assert record.accepts("crash", machine="pvh")
    assert record.accepts("crash", on_crash="restart").code == "toolstack-inconclusive"


def test_xenstored_hangs(dom0_onpanic: Dom0Onpanic, xen: XenLab) -> None:
    """While xenstored does not answer, xl does not either; it is not left behind."""
    assert xen.run("kill -STOP $(pidof xenstored)").returncode == 0
    try:
        done = dom0_onpanic("probe", "--hypervisor", "xen", "-q", "--timeout", "1")
        status = xen.run("timeout -s TERM 4 onpanic status --domain 0 --timeout 1000")
        # It has been killed, but not waited for
        ended = xen.run("timeout 30 sh -c 'while pidof xl; do sleep 0.1; done'")
    finally:
        xen.run("kill -CONT $(pidof xenstored)")
    assert done.returncode == 2
    assert done.stderr == "onpanic: xl did not answer in 1 s; is xenstored running?\n"
    assert (status.returncode, status.stdout, ended.returncode) == (124, "", 0)


def test_libvirtd_hangs(xen: XenLab, onpanic: Dom0Onpanic) -> None:
    """A libvirtd that does not answer is given up in time."""
    assert xen.run("kill -STOP $(pidof libvirtd)").returncode == 0
    try:
        done = onpanic("probe", "--connect", xen.uri, "--timeout", "1")
    finally:
        xen.run("kill -CONT $(pidof libvirtd)")
    assert (done.returncode, done.stdout) == (2, "")
    assert "libvirt did not answer in time" in done.stderr


@pytest.mark.libvirt
@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("test:///default", "libvirt's driver is TEST, not Xen"),
        ("xen+tcp://127.0.0.1:1/system", "start libvirtd or virtxend"),
    ],
)
def test_other_connection(onpanic: Dom0Onpanic, uri: str, said: str) -> None:
    """A connection that is no Xen host is an error of two lines."""
    done = onpanic("probe", "--connect", uri)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 2)
    assert said in done.stderr
