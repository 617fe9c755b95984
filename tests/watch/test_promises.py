"""Every promise is kept: real guests panic under policies, and end as these say.

By default each pair of values of the cases occurs once, on the host's libvirt and on the newest one, and
each policy once for the models of other architectures.  With ``ONPANIC_PROMISES=pairs`` the pairs are on
every libvirt; with ``ONPANIC_PROMISES=all`` the full product is, six minutes for each model and libvirt
(``-k host`` chooses one, ``-k pseries`` a model).
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from onpanic.probe import CapabilityRecord, probe
from onpanic.probe.emulator.notifier_models import NotifierModel
from onpanic.shims import Libvirt, RefusedError

from ..running.emulators import FULL_SUITE
from ..running.libvirtd import EVERY, HOST_AND_NEWEST
from . import panicking_guests as guests
from .conftest import LogLine, WatchProcess
from .nmi_guests import nmi_guest
from .promised_domain import Host, Promise
from .promised_guests import ALL, WATCHERS, Case, cases_of, end_of, pairwise

PROMISES = os.environ.get("ONPANIC_PROMISES", "")

pytestmark = [
    pytest.mark.libvirt,
    pytest.mark.emulators,
    pytest.mark.libvirts(*(EVERY if PROMISES else HOST_AND_NEWEST)),
]

Watch = Callable[..., WatchProcess]

PARALLEL = 10
BATCH = 48  # guests at the same time


@pytest.fixture(scope="module")
def record(domcaps_emulator: str) -> CapabilityRecord:
    return probe(domcaps_emulator, machines=["pc"])


@pytest.fixture(scope="module")
def hosts(libvirt: Any, libvirtd: Callable[[], AbstractContextManager[str]]) -> Iterator[list[Host]]:
    """Return three libvirts: one to migrate from, one to migrate to, and one that may be restarted."""
    with ExitStack() as stack:
        yield [Host(libvirt, stack.enter_context(libvirtd()), stack) for _ in range(3)]


def batches(chosen: Sequence[Case]) -> list[Any]:
    """Return parameters: a watcher and cases that have it."""
    found = []
    for watcher in WATCHERS:
        cases = [case for case in chosen if case.watcher == watcher]
        for start in range(0, len(cases), BATCH):
            batch = cases[start : start + BATCH]
            found.append(pytest.param(watcher, batch, id=f"{watcher}-{start // BATCH}"))
    return found


def each(promises: list[Promise], work: Callable[[Promise], object]) -> None:
    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(work, promises))


@pytest.mark.parametrize(("watcher", "cases"), batches(ALL if PROMISES == "all" else pairwise(ALL)))
def test_every_guest_ends_as_its_policy_says(
    watcher: str, cases: list[Case], hosts: list[Host], record: CapabilityRecord, watch: Watch, tmp_path: Path
) -> None:
    """With a watcher, with one that comes later, and without one, as far as libvirt alone can."""
    if record.facts["pvpanic-pci-type"].answer == "no":
        lacking = [case for case in cases if case.model == "pvpanic"]
        for case in lacking:
            with pytest.raises(RefusedError, match="panic-device-missing"):
                Promise(case, hosts[0], record)
        cases = [case for case in cases if case not in lacking]
    check(watcher, cases, hosts, record, watch, tmp_path)


@pytest.mark.libvirts(FULL_SUITE)
@pytest.mark.parametrize("model", ["pseries", "s390"])
@pytest.mark.parametrize("watcher", WATCHERS if PROMISES == "all" else ["before"])
def test_every_guest_of_another_architecture_ends_as_its_policy_says(
    watcher: str,
    model: NotifierModel,
    hosts: list[Host],
    debian_emulator: Callable[..., list[str]],
    watch: Watch,
    tmp_path: Path,
) -> None:
    """Where every machine has a notifier."""
    guest = nmi_guest(model)
    record = probe(debian_emulator(FULL_SUITE, guest.emulator), machines=[guest.machine])
    every = cases_of(watchers=[watcher], models=[model])
    found = every if PROMISES == "all" else pairwise([case for case in every if case.kind == "plain"])
    for start in range(0, len(found), BATCH):
        lines = check(watcher, found[start : start + BATCH], hosts, record, watch, tmp_path)
        advice = {line["detail"] for line in lines if line["event"] == "why"}
        assert [detail for detail in advice if "<vmcoreinfo" in detail] == []  # they cannot have it


def check(
    watcher: str, cases: list[Case], hosts: list[Host], record: CapabilityRecord, watch: Watch, state: Path
) -> list[LogLine]:
    """Let guests panic, all at the same time, check how they end, and return what the watchers have logged.

    :param watcher: When the watchers are there; the same for all guests.
    """
    here, there, restartable = hosts
    for host in hosts:
        host.again()
    libvirt = Libvirt.of_connection(here.connection)
    promises = [
        Promise(case, restartable if case.kind == "libvirt-restarted" else here, record) for case in cases
    ]

    def of(kind: str) -> list[Promise]:
        return [promise for promise in promises if promise.case.kind == kind]

    def start_watchers() -> list[WatchProcess]:
        found = []
        for number, host in enumerate(hosts):
            folder = str(state / f"{number}")
            found.append(watch("--connect", host.uri, "--state-dir", folder, "--start-limit", "0"))
        for one in found:
            one.until("watching")
        return found

    def wait_for(reached: Callable[[Promise], bool], of: list[Promise]) -> None:
        deadline = time.monotonic() + guests.DEADLINE
        left = of
        while left := [promise for promise in left if not reached(promise)]:
            assert time.monotonic() < deadline, {promise.name: promise.end() for promise in left}
            time.sleep(0.05)

    def as_promised(promise: Promise) -> bool:
        return promise.end() == end_of(promise.case, libvirt)

    watchers: list[WatchProcess] = []
    with ExitStack() as stack:
        stack.callback(lambda: each(promises, Promise.clean_up))
        if watcher == "before":
            watchers = start_watchers()
        each(promises, Promise.start)
        each(of("saved-before"), Promise.save_and_restore)
        each(of("migrated-before"), lambda promise: promise.migrate(there))
        restarts = of("libvirt-restarted")
        others = [promise for promise in promises if promise not in restarts]
        each(others, Promise.panic)
        if restarts:
            restartable.restart(lambda: each(restarts, Promise.panic))
        if watcher == "before":
            wait_for(as_promised, [p for p in promises if p.case.kind in ("saved-after", "migrated-after")])
        else:
            wait_for(Promise.settled, others)
        each(of("saved-after"), Promise.save_and_restore)
        each(of("migrated-after"), lambda promise: promise.migrate(there))
        if watcher == "after":
            watchers = start_watchers()
        wait_for(as_promised, promises)
        for one in watchers:
            assert one.stop() == 0
        wrong = {promise.name: promise.end() for promise in promises if not as_promised(promise)}
        assert wrong == {}
        lines = [line for one in watchers for line in one.lines]
        failed = [line for line in lines if line.get("outcome") == "failed"]
        assert failed == []
        problems = [line["detail"] for line in lines if line["event"] == "problem"]
        assert [detail for detail in problems if "Failed to connect" not in detail] == []
        return lines
