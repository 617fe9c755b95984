"""The restart limit: how often a guest that keeps failing is restarted, and after which back-off.

As with ``StartLimitBurst=`` and ``StartLimitIntervalSec=`` of systemd.unit(5), a number of
restarts is allowed within an interval; after that the guest is left as it is.  The first restart
is immediate.  Each further one waits twice as long as the one before it, up to a maximum, as with
``RestartSteps=`` of systemd.service(5).
"""

from collections.abc import Sequence

import msgspec

__all__ = ("RestartLimit",)

# More would overflow a float, and exceed every maximum
_MOST_DOUBLINGS = 64


class RestartLimit(msgspec.Struct, frozen=True):
    """A restart limit.

    :param burst: Restarts allowed within the interval; 0 for any number.
    :param interval: Seconds.
    :param first_delay: Seconds that the second restart within the interval waits.
    :param max_delay: Seconds that no restart waits longer than.
    """

    burst: int
    interval: float
    first_delay: float = 1.0
    max_delay: float = 60.0

    def recent(self, restarts: Sequence[float], now: float) -> list[float]:
        """Return the restarts within the interval that ends now.

        :param restarts: The times of earlier restarts, in seconds of the boot clock.
        :param now: Seconds of the boot clock.
        """
        return [at for at in restarts if now - self.interval < at <= now]

    def due(self, restarts: Sequence[float], now: float) -> float | None:
        """Return when the guest may be restarted, in seconds of the boot clock; None at the limit.

        The parameters are those of `recent`.
        """
        count = len(self.recent(restarts, now))
        if self.burst and count >= self.burst:
            return None
        doublings = min(count - 1, _MOST_DOUBLINGS)
        return now + (min(self.first_delay * 2**doublings, self.max_delay) if count else 0)
