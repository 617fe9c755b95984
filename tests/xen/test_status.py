"""``onpanic status`` and ``onpanic resume`` on a real Xen: libvirt's word, and the truth."""

import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import libvirt
import pytest

from onpanic.core.errors import RefusedError
from onpanic.shims.guests.guest_status import Status, status_of_domain
from onpanic.shims.guests.resume import resume_domain
from onpanic.shims.guests.xen_domain import XenDomain, observe_xen_domain
from onpanic.shims.guests.xen_states import explain_xen_domain
from onpanic.shims.guests.xl_state import XlState, read_xl_list

from ..running.xen_lab import XenLab

Run = Callable[..., subprocess.CompletedProcess[str]]

_XML = """\
<domain type='xen'>
  <name>{name}</name>
  <memory unit='MiB'>32</memory>
  <os><type arch='x86_64' machine='xen{kind}'>{os}</type><kernel>{guests}/{kind}-{image}.elf</kernel></os>
  <on_poweroff>{on_poweroff}</on_poweroff>
  <on_crash>{on_crash}</on_crash>
  <devices/>
</domain>
"""


class Guests(NamedTuple):
    """Defines guests, and asks about them."""

    xen: XenLab
    connection: Any
    onpanic: Run

    def start(
        self, name: str, kind: str, image: str, on_crash: str = "destroy", on_poweroff: str = "destroy"
    ) -> Any:
        """Define and start a guest, and return its `libvirt.virDomain`."""
        words = {"pv": "linux", "pvh": "xenpvh"}
        xml = _XML.format(
            name=name,
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

    def status(self, name: str) -> Status:
        """Return the status of a guest, asked from this host."""
        return status_of_domain(libvirt.openReadOnly(self.xen.uri).lookupByName(name), self.xen.uri)

    def in_dom0(self, domain: Any) -> str:
        """Return the state of a guest as it is explained where xl can be asked."""

        def ask(number: int, uuid: str) -> XlState:
            state = read_xl_list(self.xen.run("xl", "list", "-v", str(number)).stdout, uuid)
            assert state is not None
            return state

        seen: XenDomain = observe_xen_domain(domain, ask)
        return explain_xen_domain(seen).name

    def resume(self, name: str) -> str:
        """Return the code with which it is refused to continue a guest, with a reset if that helped."""
        with pytest.raises(RefusedError) as refused:
            resume_domain(self.connection.lookupByName(name), allow_reset=True)
        return refused.value.decision.code


@pytest.fixture
def guests(xen: XenLab, onpanic: Run) -> Iterator[Guests]:
    """Return what defines guests; they are removed afterwards."""
    connection = libvirt.open(xen.uri)
    yield Guests(xen, connection, onpanic)
    connection = libvirt.open(xen.uri)  # a test may have restarted the daemon
    for domain in connection.listAllDomains():
        if domain.ID() == 0:
            continue
        if domain.isActive():
            domain.destroy()
        domain.undefine()


def until(state: list[int], domain: Any) -> None:
    """Wait for one of libvirt's states."""
    while domain.state() != state:  # the test's deadline ends it
        time.sleep(0.05)


@pytest.mark.parametrize("kind", ["pv", "pvh"])
def test_preserved(guests: Guests, kind: str) -> None:
    """A crashed guest that is kept is neither off nor running, whatever libvirt says; it is not continued."""
    domain = guests.start("kept", kind, "crash", "preserve")
    until([libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED], domain)
    found = guests.status("kept")
    assert (found.state, found.said) == ("preserved", {"libvirt": "shutoff (crashed)"})
    assert found.policy is not None
    assert (found.policy.on_panic, found.policy.on_crash) == ("crash", "preserve")
    assert guests.resume("kept") == "xen-shutdown-is-final"
    domain.suspend()
    assert "does not show whether it crashed" in guests.status("kept").meaning
    domain.resume()  # it is running, as libvirt says
    assert domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
    assert guests.status("kept").state == "unknown"
    assert guests.in_dom0(domain) == "preserved"


def test_commands_for_a_preserved_guest(guests: Guests) -> None:
    """What is printed works: its memory can be dumped, and it can be ended and started again."""
    domain = guests.start("kept", "pv", "crash", "preserve")
    until([libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED], domain)
    commands = [command for _, command in guests.status("kept").remedies]
    assert len(commands) == 2
    for command in commands:
        local = command.replace(f" --connect {guests.xen.uri}", "").replace("FILE", "/tmp/kept.core")
        done = guests.xen.run(f"set -e; {local}")
        assert done.returncode == 0, (command, done)
    core = guests.xen.run("head -c 4096 /tmp/kept.core | grep -ac Xen; rm /tmp/kept.core")
    assert core.stdout.strip() == "1", core


def test_ended_and_gone(guests: Guests) -> None:
    """A guest that was destroyed for its crash differs from one that powered off."""
    crashed = guests.start("crashed", "pv", "crash")
    off = guests.start("off", "pv", "poweroff")
    kept = guests.start("kept-off", "pv", "poweroff", on_poweroff="preserve")
    shut_down = [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN]
    until([libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED], crashed)
    until(shut_down, off)
    until(shut_down, kept)
    while crashed.isActive() or off.isActive():
        time.sleep(0.05)
    names = ("crashed", "off", "kept-off")
    assert [guests.status(name).state for name in names] == ["crashed", "off", "shut down"]
    assert guests.in_dom0(kept) == "shut down"
    assert [guests.resume(name) for name in names] == [
        "xen-shutdown-is-final",
        "guest-did-not-panic",
        "xen-shutdown-is-final",
    ]


def test_guest_that_waits(guests: Guests) -> None:
    """A guest that only waits cannot be told from a crashed one by libvirt; Xen tells it, paused or not."""
    domain = guests.start("waits", "pv", "wait")
    assert guests.status("waits").state == "unknown"
    assert guests.resume("waits") == "xen-state-unknown"
    assert guests.in_dom0(domain) == "running"
    guests.xen.run("xl", "pause", "waits")
    assert domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
    assert guests.in_dom0(domain) == "paused"
    guests.xen.run("xl", "unpause", "waits")
    domain.suspend()
    assert guests.status("waits").state == "paused"
    assert guests.resume("waits") == "xen-guest-paused"


def test_guest_that_works(guests: Guests) -> None:
    """A guest whose CPU time goes on is seen to run, also through another host."""
    guests.start("works", "pv", "later", "preserve")
    assert guests.status("works").state in ("running", "preserved")  # it crashes a few seconds later
    assert guests.status("Domain-0").state == "running"


def test_restart_of_libvirt(guests: Guests) -> None:
    """After a restart of its daemon libvirt may say that a crashed guest runs; we never do."""
    for number in range(2):
        domain = guests.start(f"kept{number}", "pv", "crash", "preserve")
        until([libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED], domain)
    guests.xen.restart_libvirtd()
    connection = libvirt.open(guests.xen.uri)
    for number in range(2):
        domain = connection.lookupByName(f"kept{number}")
        assert guests.status(f"kept{number}").state in ("preserved", "unknown")
        assert guests.in_dom0(domain) == "preserved"


def test_dump(guests: Guests) -> None:
    """While libvirt dumps a crashed guest, that is its state, and since when."""
    domain = guests.start("dumped", "pv", "crash", "coredump-destroy")
    while not domain.jobInfo()[0]:
        assert domain.isActive(), "the dump was faster than the test"
    found = guests.status("dumped")
    assert found.state in ("dumping", "crashed")  # dumped meanwhile
    assert (found.since is not None) == (found.state == "dumping")
    while domain.isActive():
        time.sleep(0.05)
    assert guests.status("dumped").state == "crashed"


def test_commands(guests: Guests) -> None:
    """The commands say what is the case on Xen; what has nothing to ask names what has."""
    guests.start("waits", "pv", "wait")
    shown = guests.onpanic("status", "--connect", guests.xen.uri, "--domain", "waits")
    assert shown.stdout.startswith("waits: unknown: whether the guest runs is not known: its CPUs do nothing")
    assert "(what its <on_crash> amounts to)" in shown.stdout
    refused = guests.onpanic("resume", "--connect", guests.xen.uri, "--domain", "waits")
    assert (refused.returncode, "refused: xen-state-unknown:" in refused.stderr) == (1, True), refused
    probed = guests.onpanic("probe", "--connect", guests.xen.uri, "--domain", "waits")
    assert probed.returncode == 2
    assert "Xen driver has no QEMU monitor" in probed.stderr
    assert f"onpanic probe --connect {guests.xen.uri} asks the Xen host" in probed.stderr
    why = guests.onpanic("why", "--connect", guests.xen.uri, "--domain", "waits")
    assert why.returncode == 1
    assert "neither the memory of a Xen guest" in why.stdout
