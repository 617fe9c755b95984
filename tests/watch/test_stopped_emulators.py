"""Domains of a real libvirt whose QEMU does not answer, so that libvirt's calls for them hang."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from onpanic.probe import CapabilityRecord, probe

from . import panicking_guests as guests
from .conftest import WatchProcess
from .test_domains import Domains

pytestmark = [pytest.mark.libvirt, pytest.mark.emulators]

POLICY = "<on_panic>rename-restart</on_panic>"
STOPPED = 6  # guests


@pytest.fixture
def watched(libvirt: Any, uri: str, domcaps_emulator: str) -> Iterator[Domains]:
    """Domains of a libvirt, which are removed at the end."""
    record: CapabilityRecord = probe(domcaps_emulator, machines=["pc"])
    found = Domains(libvirt, uri, record)
    yield found
    found.end()


def emulator_of(domains: Domains, domain: Any) -> int:
    """Return the PID of a domain's QEMU."""
    return int((domains.folder / f"qemu/run/{domain.name()}.pid").read_text())


def test_emulators_that_are_stopped(watched: Domains, watch: Callable[..., WatchProcess]) -> None:
    """The watcher handles another guest's panic meanwhile, and theirs once they run again."""

    def start(number: int) -> Any:
        return watched.start(POLICY, guests.waits(), name=f"guest{number}")

    with ThreadPoolExecutor(2) as pool:
        stopped = list(pool.map(start, range(STOPPED)))
    healthy = watched.start(POLICY, guests.waits())
    emulators = [emulator_of(watched, domain) for domain in stopped]
    for domain, emulator in zip(stopped, emulators, strict=True):
        domain.suspend()  # so that only QEMU knows whether the guest has panicked
        os.kill(emulator, signal.SIGSTOP)
    watcher = watch("--connect", watched.uri)
    watcher.until("watching")
    watched.panic(healthy)
    watcher.until("action", domain="guest-restart-1", action="start", outcome="done")
    assert len(watcher.logged("action")) == 3
    for emulator in emulators:
        os.kill(emulator, signal.SIGCONT)
    stopped[0].resume()
    watched.panic(stopped[0])
    watcher.until("action", domain="guest0-restart-1", action="start", outcome="done")
    assert watcher.stop() == 0
    assert len(watcher.logged("action")) == 6


def test_a_reading_that_hangs(watched: Domains, watch: Callable[..., WatchProcess]) -> None:
    """It is not known why the guest panicked, and its policy is carried out without that."""
    one = watched.start("<on_panic>pause</on_panic>", guests.waits())
    watched.panic(one)
    guests.until(lambda: one.state() == [6, 1])
    emulator = emulator_of(watched, one)
    os.kill(emulator, signal.SIGSTOP)
    watcher = watch("--connect", watched.uri, "--why-timeout", "0.5")
    # libvirt's thread and the watcher each have a deadline; on a busy host the second may come first
    late = ("libvirt did not begin a dump in time", "libvirt did not answer within 1 s")
    assert watcher.until("why")["detail"] in [f"not known: {reason}" for reason in late]
    watcher.until("action", action="pause", outcome="kept")
    os.kill(emulator, signal.SIGCONT)
    assert watcher.stop() == 0
