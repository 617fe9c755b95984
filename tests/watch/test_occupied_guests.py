"""Guests on which libvirt works without end, for example for another client that has asked a hung QEMU."""

from pathlib import Path

from onpanic.probe.decision.policy import Policy
from onpanic.watch.rules.observation import GuestState
from onpanic.watch.rules.settings import Settings

from .played_guest import Clock, PlayedGuest, Watch


class OccupiedGuest(PlayedGuest):
    """A guest on which libvirt works as long as it is `occupied`; `progress` is that of a dump."""

    occupied = True
    reads = 0
    progress: tuple[int, int] | None = None

    async def read_state(self, *, ask_qemu: bool) -> GuestState:
        self.reads += 1
        state = await super().read_state(ask_qemu=ask_qemu)
        return GuestState(
            state.condition, state.instance, state.cpu_time, busy=self.occupied, dumped=self.progress
        )


async def test_it_is_not_waited_for_without_end(tmp_path: Path) -> None:
    """With --once nothing more is expected of it; otherwise that is logged once, and it is handled later."""
    guest, clock = OccupiedGuest(Policy("destroy"), "panicked"), Clock()
    async with Watch(guest, tmp_path, clock=clock) as watch:
        watch.supervisor.trigger()
        await watch.until(lambda: guest.reads > 2)
        assert not watch.supervisor.stalled
        clock.now += 3600
        await watch.until(lambda: watch.supervisor.stalled)
        await watch.until(lambda: ("waiting",) in watch.events)
        assert watch.supervisor.unknown
        guest.occupied = False
        await watch.idle()
        assert not watch.supervisor.unknown
        assert watch.events == [("panicked",), ("waiting",), ("action", "destroy", "done")]


async def test_a_dump_that_makes_progress_is_waited_for(tmp_path: Path) -> None:
    """It may take hours."""
    guest, clock = OccupiedGuest(Policy("destroy"), "panicked"), Clock()
    guest.progress = (1, 2)
    async with Watch(guest, tmp_path, Settings(progress=0.001), clock=clock) as watch:
        watch.supervisor.trigger()
        await watch.until(lambda: ("progress",) in watch.events)
        clock.now += 3600
        reads = guest.reads
        await watch.until(lambda: guest.reads > reads + 2)
        assert not watch.supervisor.stalled
        guest.occupied = False
        await watch.idle()
        assert ("waiting",) not in watch.events
