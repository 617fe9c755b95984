"""Many domains of a played libvirt for ten minutes of played time: what happens to them is random.

Domains panic, come and go, and calls for one in a hundred hang for a while.  A second of played time takes
10 ms.  ``ONPANIC_SOAK=2000`` runs the test with that many domains, in real minutes.
"""

import asyncio
import gc
import os
import random
import resource
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from onpanic.watch import Line, Settings
from onpanic.watch.guests.call_pool import CallLimits
from onpanic.watch.sources.domains import Domains
from onpanic.watch.supervision.context import WatchContext
from onpanic.watch.supervision.journal import Journal

from ..played.libvirt import Hang, PlayedDomain, PlayedLibvirt
from .test_gone_domains import new_objects_only
from .test_played_domains import policy_of, xml

__all__ = ("new_objects_only",)

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]

DOMAINS = int(os.environ.get("ONPANIC_SOAK", "300"))
SCALE = 0.01 if "ONPANIC_SOAK" not in os.environ else 0.1  # real seconds for a second of played time
PLAYED = 600.0  # seconds of played time
PANICS = 2 * DOMAINS
HUNG = max(DOMAINS // 100, 2)
END = 300  # real seconds within which everything is done

# A policy's value: libvirt's <on_crash>, and the last action
POLICIES = {
    "ignore": ("preserve", "continue"),
    "restart": ("restart", "restart"),
    "rename-restart": ("preserve", "start"),
    "destroy": ("destroy", "destroy"),
}


class World:
    """What happens to the domains, and what the watcher must say about it.

    :param played: Their libvirt.
    :param seed: Of what is random.
    :ivar panics: How often each domain has panicked, by UUID.
    :ivar handled: How often the last action of its policy was taken, by UUID.
    :ivar over: For which domains the watcher has found that they run again, by UUID.
    :ivar resumed: How often libvirt was told to resume a domain, by name.
    :ivar known: The domains whose policy the watcher has read, by UUID.
    """

    def __init__(self, played: PlayedLibvirt, seed: int) -> None:
        self.played = played
        self.random = random.Random(seed)
        self.domains: dict[str, tuple[PlayedDomain, str]] = {}
        self.hangs: dict[str, Hang] = {}
        self.panics: Counter[str] = Counter()
        self.handled: Counter[str] = Counter()
        self.over: Counter[str] = Counter()
        self.resumed: Counter[str] = Counter()
        self.known: set[str] = set()
        self.policies: dict[str, str] = {}
        self._numbers = iter(range(10**6))
        for _ in range(DOMAINS):
            self.begin()
        for number in range(HUNG):
            domain = self.begin("ignore")
            call = ("jobStats", "resume")[number % 2]
            self.hangs[domain.uuid] = played.hang(call, domain=domain.name, seconds=None)

    def begin(self, policy: str = "") -> PlayedDomain:
        """Start a domain; one whose policy is to destroy it is transient."""
        policy = policy or self.random.choice((*POLICIES, "ignore"))
        text = xml(policy_of(policy, POLICIES[policy][0]), POLICIES[policy][0], f"g{next(self._numbers)}")
        domain = self.played.add(text, persistent=policy != "destroy")
        self.domains[domain.uuid] = domain, policy
        self.policies[domain.uuid] = policy
        return domain

    def sink(self, line: Line) -> None:
        """Take a line of the watcher."""
        assert line.level != "error", line
        if line.event == "over":
            self.over[line.uuid] += 1
        if line.event == "policy":
            self.known.add(line.uuid)
        policy = self.policies.get(line.uuid)
        if policy and (line.action, line.outcome) == (POLICIES[policy][1], "done"):
            self.handled[line.uuid] += 1

    def settled(self, uuid: str) -> bool:
        """Return whether all panics of a domain have been handled."""
        return self.panics[uuid] == self.handled[uuid]

    def happen(self) -> None:
        """Let something happen; libvirt destroys no domain whose policy nobody could read before."""
        uuid = self.random.choice(list(self.domains))
        domain, policy = self.domains[uuid]
        if uuid in self.hangs or not self.settled(uuid) or domain.gone:
            return
        if policy == "destroy" and uuid not in self.known:
            return
        if policy == "destroy" and self.random.random() < 0.5:
            del self.domains[uuid], self.policies[uuid]
            domain.end()
        else:
            self.panic(uuid)
        if policy == "destroy":
            self.begin("destroy")

    def panic(self, uuid: str) -> None:
        """Let a domain panic; one that is destroyed for it is gone then."""
        self.panics[uuid] += 1
        domain, policy = self.domains[uuid]
        domain.panic()
        if policy == "destroy":
            del self.domains[uuid]

    def forget_calls(self) -> None:
        """Count the calls that were made, and forget them."""
        calls = list(self.played.calls)
        del self.played.calls[: len(calls)]
        self.resumed.update(call.domain for call in calls if call.name == "resume")


def objects() -> Counter[str]:
    """Return how many new objects there are of each of the package's classes."""
    gc.collect()
    kinds = (type(thing) for thing in gc.get_objects())
    return Counter(kind.__qualname__ for kind in kinds if str(kind.__module__).startswith("onpanic."))


def peak_memory() -> int:
    """Return how much memory this process has had at most, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.fixture
def world(played_libvirt: PlayedLibvirt) -> Iterator[World]:
    """Return the domains, whose calls do not hang any more at the end."""
    found = World(played_libvirt, seed=14)
    yield found
    for hang in found.hangs.values():
        hang.release()


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(END):
        while not condition():
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("new_objects_only")
async def test_ten_minutes_of_many_domains(world: World, tmp_path: Path) -> None:
    """Each panic is handled once; guests that hang are handled when they answer; and memory is flat."""
    journal = Journal(tmp_path, print, boot_id="boot")
    assert journal.try_acquire()
    context = WatchContext(
        journal,
        Settings(start_limit=0, start_interval=60 * SCALE),
        world.sink,
        restart_delay=SCALE,
        poll=0.05 * SCALE,
    )
    limits = CallLimits(prompt=0.01, deadline=60 * SCALE)
    domains = Domains(None, context, resync=60 * SCALE, limits=limits)
    running = asyncio.create_task(domains.run())
    try:
        await until(domains.ready.is_set)
        unread = domains.unreachable  # on a busy host
        world.known.update(uuid for uuid, (one, _) in world.domains.items() if one.name not in unread)
        loop, begun = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        hung, early = list(world.hangs), Counter[str]()
        while (played := (loop.time() - begun) / SCALE) < PLAYED:
            number = int(played / PLAYED * HUNG * 1.5)  # each hangs for a third of the time
            for uuid in hung[:number]:
                if not world.panics[uuid]:
                    await asyncio.to_thread(world.panic, uuid)
            for uuid in hung[: max(number - HUNG // 2, 0)]:
                world.hangs[uuid].release()
            await asyncio.to_thread(world.happen)
            world.forget_calls()
            if not early and played > PLAYED / 4:
                early = objects()
                early_memory = peak_memory()
            await asyncio.sleep(PLAYED * SCALE / PANICS / 2)
        for hang in world.hangs.values():
            hang.release()
        uuids = set(world.panics)
        await until(lambda: all(world.settled(uuid) or world.over[uuid] for uuid in uuids))
        await asyncio.to_thread(world.played.wait_delivered)
        await domains.wait_idle()
        await until(lambda: objects()["Supervisor"] == DOMAINS + HUNG)
        late = objects()
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await domains.close()
        journal.close()
    world.forget_calls()
    told = world.handled + world.over
    late_panics, panics = world.over.total(), world.panics.total()
    print(f"{DOMAINS} domains, {HUNG} hung, {panics} panics")
    print(f"{told.total()} handled, {late_panics} of them late")
    print(f"{early.total()} objects and {early_memory >> 10} MiB of memory after a quarter of the time,")
    print(f"{late.total()} and {peak_memory() >> 10} MiB at the end")
    assert told == world.panics
    assert set(world.over) <= set(world.hangs)
    for uuid, (domain, policy) in world.domains.items():
        if policy == "ignore":
            assert world.resumed[domain.name] == world.panics[uuid], domain.name
    assert late.total() <= 1.1 * early.total()
