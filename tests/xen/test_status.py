"""``onpanic status`` and ``onpanic resume`` on a real Xen: libvirt's word, and the truth."""

import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from onpanic.core.errors import RefusedError
from onpanic.shims.guests.guest_status import Status, status_of_domain
from onpanic.shims.guests.resume import resume_domain
from onpanic.shims.guests.xen_domain import XenDomain, observe_xen_domain
from onpanic.shims.guests.xen_states import explain_xen_domain
from onpanic.shims.guests.xl_state import XlState, read_xl_list

from ..running.xen_lab import XenLab

libvirt = pytest.importorskip("libvirt")

Run = Callable[..., subprocess.CompletedProcess[str]]

_XML = """\
<domain type='xen'>
  <name>{name}</name>
  <memory unit='MiB'>{mebibytes}</memory>
  <os><type arch='x86_64' machine='xen{kind}'>{os}</type><kernel>{guests}/{kind}-{image}.elf</kernel></os>
  <on_poweroff>{on_poweroff}</on_poweroff>
  <on_crash>{on_crash}</on_crash>
  <devices/>
</domain>
"""


class Guests:
    """Defines guests, and asks about them."""

    def __init__(self, xen: XenLab, onpanic: Run) -> None:
        self.xen = xen
        self._onpanic = onpanic
        self.reconnect()

    def reconnect(self) -> None:
        """Open the connections, also after a restart of the daemon."""
        self.connection = libvirt.open(self.xen.uri)
        self._reader = libvirt.openReadOnly(self.xen.uri)

    def start(
        self,
        name: str,
        kind: str,
        image: str,
        on_crash: str = "destroy",
        on_poweroff: str = "destroy",
        mebibytes: int = 32,
    ) -> Any:
        """Define and start a guest, and return its `libvirt.virDomain`."""
        words = {"pv": "linux", "pvh": "xenpvh"}
        xml = _XML.format(
            name=name,
            mebibytes=mebibytes,
            kind=kind,
            os=words[kind],
            image=image,
            guests=self.xen.guests,
            on_crash=on_crash,
            on_poweroff=on_poweroff,
        )
        domain = self.connection.defineXML(xml)
        domain.create()
        return domain

    def status(self, domain: Any, timeout: float = 2) -> Status:
        """Return the status of a guest, asked from this host."""
        return status_of_domain(self._reader.lookupByUUID(domain.UUID()), self.xen.uri, timeout)

    def command(self, name: str, guest: str) -> subprocess.CompletedProcess[str]:
        """Run a command about a guest on this host."""
        return self._onpanic(name, "--connect", self.xen.uri, "--domain", guest)

    def run(self, command: str) -> None:
        """Run a command that a status has shown, in dom0."""
        done = self.xen.run(f"set -e; {command.replace(f' --connect {self.xen.uri}', '')}")
        assert done.returncode == 0, (command, done)

    def in_dom0(self, domain: Any) -> str:
        """Return the state of a guest as it is explained where xl can be asked."""

        def ask(number: int, uuid: str) -> XlState:
            state = read_xl_list(self.xen.run("xl", "list", "-v", str(number)).stdout, uuid)
            assert state is not None
            return state

        seen: XenDomain = observe_xen_domain(domain, ask)
        return explain_xen_domain(seen).name

    def resume(self, domain: Any) -> str:
        """Return the code with which it is refused to continue a guest, with a reset if that helped."""
        with pytest.raises(RefusedError) as refused:
            resume_domain(self.connection.lookupByUUID(domain.UUID()), allow_reset=True, timeout=2)
        return refused.value.decision.code

    def remove(self) -> None:
        """Remove all guests."""
        for domain in self.connection.listAllDomains():
            if domain.ID() == 0:
                continue
            if domain.isActive():
                domain.destroy()
            domain.undefine()


@pytest.fixture
def guests(xen: XenLab, onpanic: Run) -> Iterator[Guests]:
    """Return what defines guests; they are removed afterwards."""
    found = Guests(xen, onpanic)
    yield found
    found.remove()


CRASHED = [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED]
SHUT_DOWN = [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN]


def until(state: list[int], domain: Any) -> None:
    """Wait for one of libvirt's states."""
    while domain.state() != state:  # the test's deadline ends it
        time.sleep(0.05)


def test_preserved(guests: Guests) -> None:
    """A crashed guest that is kept is neither off nor running, whatever libvirt says; it is not continued.

    The commands that are printed work, also for a name that virsh takes for an ID.
    """
    kept = [
        guests.start("it's kept", "pv", "crash", "preserve", mebibytes=16),
        guests.start("1", "pvh", "crash", "preserve"),
    ]
    found = []
    for domain in kept:
        until(CRASHED, domain)
        found.append(guests.status(domain))
        assert (found[-1].state, found[-1].said) == ("preserved", {"libvirt": "shutoff (crashed)"})
        assert found[-1].policy is not None
        assert (found[-1].policy.on_panic, found[-1].policy.on_crash) == ("crash", "preserve")
        assert guests.resume(domain) == "xen-shutdown-is-final"
    (_, dump), _ = found[0].remedies
    guests.run(dump.replace("FILE", "/tmp/kept.core"))
    core = guests.xen.run("head -c 4096 /tmp/kept.core | grep -ac Xen; rm /tmp/kept.core")
    assert core.stdout.strip() == "1", core

    kept[0].suspend()
    assert "does not show whether it crashed" in guests.status(kept[0]).meaning
    kept[0].resume()  # it is running, as libvirt says
    assert kept[0].state()[0] == libvirt.VIR_DOMAIN_RUNNING
    assert guests.status(kept[0]).state == "unknown"
    guests.xen.restart_libvirtd()
    guests.reconnect()
    kept = [guests.connection.lookupByUUID(domain.UUID()) for domain in kept]
    for domain in kept:
        assert guests.status(domain).state in ("preserved", "unknown")
        assert guests.in_dom0(domain) == "preserved"

    _, (_, anew) = found[1].remedies
    guests.run(anew)
    after = [guests.connection.lookupByUUID(domain.UUID()).ID() for domain in kept]
    assert after[0] == kept[0].ID() < kept[1].ID() < after[1]


def test_ended_and_gone(guests: Guests) -> None:
    """A guest that was destroyed for its crash differs from one that powered off."""
    crashed = guests.start("crashed", "pv", "crash")
    off = guests.start("off", "pv", "poweroff")
    kept = guests.start("kept-off", "pv", "poweroff", on_poweroff="preserve")
    until(CRASHED, crashed)
    until(SHUT_DOWN, off)
    until(SHUT_DOWN, kept)
    while crashed.isActive() or off.isActive():
        time.sleep(0.05)
    assert [guests.status(one).state for one in (crashed, off, kept)] == ["crashed", "off", "shut down"]
    assert guests.in_dom0(kept) == "shut down"
    assert [guests.resume(one) for one in (crashed, off, kept)] == [
        "xen-shutdown-is-final",
        "guest-did-not-panic",
        "xen-shutdown-is-final",
    ]


def test_guest_that_waits(guests: Guests) -> None:
    """A guest that only waits cannot be told from a crashed one by libvirt; Xen tells it, paused or not."""
    domain = guests.start("waits", "pv", "wait")
    shown = guests.command("status", "waits")
    assert shown.stdout.startswith("waits: unknown: whether the guest runs is not known: its CPUs do nothing")
    assert "(what its <on_crash> amounts to)" in shown.stdout
    refused = guests.command("resume", "waits")
    assert (refused.returncode, "refused: xen-state-unknown:" in refused.stderr) == (1, True), refused
    assert guests.in_dom0(domain) == "running"
    guests.xen.run("xl", "pause", "waits")
    assert domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
    assert guests.in_dom0(domain) == "paused"
    guests.xen.run("xl", "unpause", "waits")
    domain.suspend()
    assert guests.status(domain).state == "paused"
    assert guests.resume(domain) == "xen-guest-paused"


def test_control_domain(guests: Guests) -> None:
    """A domain whose CPU time goes on is seen to run from another host, too.

    The lab has no guest that works all the time: dom0's programs crash beside one, libvirtd among them.
    """
    control = guests.status(guests.connection.lookupByName("Domain-0"))
    assert (control.state, control.policy) == ("running", None)


def test_dump(guests: Guests) -> None:
    """While libvirt dumps a crashed guest, that is its state, and since when."""
    domain = guests.start("dumped", "pv", "crash", "coredump-destroy")
    while not domain.jobInfo()[0]:
        assert domain.isActive(), "the dump was faster than the test"
    found = guests.status(domain)
    assert found.state in ("dumping", "crashed")  # dumped meanwhile
    assert (found.since is not None) == (found.state == "dumping")
    while domain.isActive():
        time.sleep(0.05)
    assert guests.status(domain).state == "crashed"


def test_nothing_to_ask(guests: Guests) -> None:
    """Commands that read a guest name what there is to ask instead."""
    probed = guests.command("probe", "Domain-0")
    assert probed.returncode == 2
    assert "Xen driver has no QEMU monitor" in probed.stderr
    assert f"onpanic probe --connect {guests.xen.uri} asks the Xen host" in probed.stderr
    why = guests.command("why", "Domain-0")
    assert why.returncode == 1
    assert "neither the memory of a Xen guest" in why.stdout
