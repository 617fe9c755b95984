"""What all cases share: the journal, the settings, who is told, and how many dumps go on at once."""

import asyncio
from collections.abc import Callable

from .journal import Journal
from .limits import due, recent
from .report import Line
from .settings import Settings

__all__ = ("Office",)


class Office:
    """What all cases share.

    :param journal: What was done already.
    :param settings: How to act; replaced as a whole by a reload.
    :param say: Takes lines.
    :param dry_run: Only say what would be done.
    """

    def __init__(
        self, journal: Journal, settings: Settings, say: Callable[[Line], None], *, dry_run: bool = False
    ) -> None:
        self.journal = journal
        self.settings = settings
        self.say = say
        self.dry_run = dry_run
        self.dumps = asyncio.Semaphore(settings.dumps)

    def due(self, restarts: list[float], at: float) -> float | None:
        """Return when a guest may be restarted, None if not any more."""
        settings = self.settings
        return due(restarts, at, limit=settings.start_limit, interval=settings.start_interval)

    def recent(self, restarts: list[float], at: float) -> list[float]:
        """Return the restarts that count still."""
        return recent(restarts, at, self.settings.start_interval)
