"""What all supervisors of a watcher share."""

import asyncio
import time
from collections.abc import Callable

from onpanic.watch.reporting.lines import Sink
from onpanic.watch.rules.reconcile_settings import ReconcileSettings
from onpanic.watch.rules.restart_limit import RestartLimit
from onpanic.watch.rules.settings import Settings
from onpanic.watch.supervision.journal import Journal

__all__ = ("WatchContext",)


def _boot_clock() -> float:
    """Return the seconds since the host has booted, also while it was suspended (clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class WatchContext:
    """What all supervisors of a watcher share.

    :param journal: Keeps the incidents.
    :param settings: The current settings; a reload replaces them.
    :param sink: Takes log lines.
    :param dry_run: Whether steps are only logged.
    :param restart_delay: Seconds that the second restart of a guest within the interval waits.
    :param poll: See `ReconcileSettings`, as for `patience`.
    :param clock: Returns seconds since the host has booted.  All durations are measured with it, so that
        a change of the wall-clock time changes none.
    :param wall_clock: Returns seconds since the epoch, for names of files.
    :ivar dumps: Limits the dumps that run at the same time.
    """

    def __init__(
        self,
        journal: Journal,
        settings: Settings,
        sink: Sink,
        *,
        dry_run: bool = False,
        restart_delay: float = 1.0,
        poll: float = 0.05,
        patience: float = 60.0,
        clock: Callable[[], float] = _boot_clock,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.journal = journal
        self.settings = settings
        self.sink = sink
        self.dry_run = dry_run
        self.poll = poll
        self.patience = patience
        self.clock = clock
        self.wall_clock = wall_clock
        self.dumps = asyncio.Semaphore(settings.dumps)
        self._restart_delay = restart_delay

    @property
    def reconcile_settings(self) -> ReconcileSettings:
        """What the next action depends on."""
        settings = self.settings
        return ReconcileSettings(
            restart_limit=RestartLimit(settings.start_limit, settings.start_interval, self._restart_delay),
            grace=settings.grace,
            dry_run=self.dry_run,
            explains=self.settings.why_timeout > 0,
            poll=self.poll,
            patience=self.patience,
        )
