"""A guest that panics again and again: a start limit with back-off, as systemd has for services.

As with ``StartLimitBurst=`` and ``StartLimitIntervalSec=`` (systemd.unit(5)) so many restarts
are allowed in so much time; then the guest is left as it is, for somebody to look at.  The
first is at once; each further one waits twice as long as the one before, as with
``RestartSteps=`` (systemd.service(5)).
"""

from collections.abc import Sequence

__all__ = ("due", "recent")

_FIRST_DELAY = 1.0  # seconds
_LONGEST_DELAY = 60.0


def recent(restarts: Sequence[float], now: float, interval: float) -> list[float]:
    """Return the restarts that count still.

    :param restarts: When they were, in seconds since the epoch.
    :param interval: Seconds.
    """
    return [at for at in restarts if now - interval < at <= now]


def due(restarts: Sequence[float], now: float, *, limit: int, interval: float) -> float | None:
    """Return when a guest may be restarted, in seconds since the epoch; None if not any more.

    :param restarts: When it was restarted before.
    :param limit: Restarts that are allowed in an interval; 0 for any number, as in systemd.
    :param interval: Seconds.
    """
    counted = len(recent(restarts, now, interval))
    if limit and counted >= limit:
        return None
    return now + (min(_FIRST_DELAY * 2 ** (counted - 1), _LONGEST_DELAY) if counted else 0)
