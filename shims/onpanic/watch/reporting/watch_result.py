"""What a watcher has left undone when it returns."""

from collections.abc import Iterable

import msgspec

from onpanic.watch.reporting.lines import Line
from onpanic.watch.rules.incident import Incident

__all__ = ("FailureRecorder", "WatchResult")


class WatchResult(msgspec.Struct, frozen=True):
    """What a watcher has left undone when it returns.

    :param failed: The names of guests of which an action failed, or that are not as their policy asks; a
        line of this watcher, or of an earlier one, says why.
    :param unreachable: What could not be asked: the addresses of monitors, the URI of a libvirt that was
        lost, or the names of domains.
    """

    failed: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()


class FailureRecorder:
    """Records of which guests an action failed.  A `Sink`."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def __call__(self, line: Line) -> None:
        """Look at a line."""
        if line.event == "action" and line.level == "error":
            self._names.add(line.domain)

    def result(self, incidents: Iterable[Incident], unreachable: Iterable[str]) -> WatchResult:
        """Return the result.

        :param incidents: The incidents in the journal.
        :param unreachable: See `WatchResult`.
        """
        left = [one.name for one in incidents if not one.resolved and (one.error or not one.finished)]
        return WatchResult(tuple(sorted({*self._names, *left})), tuple(unreachable))
