"""The settings and times that the next action for a guest depends on."""

import msgspec

from onpanic.watch.rules.restart_limit import RestartLimit

__all__ = ("ReconcileSettings",)

# How much longer than the shortest the longest wait for libvirt is
_LONGEST_WAIT = 10


class ReconcileSettings(msgspec.Struct, frozen=True):
    """The settings that the next action depends on.

    :param restart_limit: How often a guest is restarted.
    :param grace: Seconds that a guest has to help itself, unless its policy says otherwise; 0 for none.
    :param dry_run: Whether steps are only logged.
    :param poll: Seconds until libvirt, which is expected to act on a guest, is looked at again; later looks
        wait up to ten times as long.
    :param explains: Whether it is read why a guest panicked.
    :param patience: Seconds that a guest may take to pass through a state, for example to shut down.
    """

    restart_limit: RestartLimit
    grace: float = 0.0
    dry_run: bool = False
    explains: bool = False
    poll: float = 0.05
    patience: float = 60.0

    @property
    def reaction(self) -> float:
        """Seconds within which libvirt begins to act, and an event follows the state that it is about."""
        return self.poll * _LONGEST_WAIT

    def pause(self, elapsed: float) -> float:
        """Return the seconds until a guest is looked at again.

        :param elapsed: Seconds for which it has been observed without a change.
        """
        return max(self.poll, min(elapsed / 2, self.reaction))
