"""What all supervisors of a watcher share."""

import asyncio
import time
from collections.abc import Callable

from onpanic.watch.reporting.lines import Sink
from onpanic.watch.rules.restart_limit import RestartLimit
from onpanic.watch.rules.settings import Settings
from onpanic.watch.supervision.journal import Journal

__all__ = ("WatchContext",)


class WatchContext:
    """What all supervisors of a watcher share.

    :param journal: Keeps the incidents.
    :param settings: The current settings; a reload replaces them.
    :param sink: Takes log lines.
    :param dry_run: Whether steps are only logged.
    :param restart_delay: Seconds that the second restart of a guest within the interval waits.
    :param poll: Seconds between reads of a guest's state while libvirt is expected to act on it; later reads
        wait longer.
    :param patience: Seconds that a guest may take to pass through a state, for example to shut down.
    :param clock: Returns seconds since the epoch.
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
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.journal = journal
        self.settings = settings
        self.sink = sink
        self.dry_run = dry_run
        self.poll = poll
        self.patience = patience
        self.clock = clock
        self.dumps = asyncio.Semaphore(settings.dumps)
        self._restart_delay = restart_delay

    @property
    def restart_limit(self) -> RestartLimit:
        """The restart limit of the current settings."""
        return RestartLimit(self.settings.start_limit, self.settings.start_interval, self._restart_delay)
