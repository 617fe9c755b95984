"""Colours and progress bars, for terminals only.

Progress bars require rich, the extra ``terminal``; without it none are shown.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from onpanic.probe.asking.plan import Progress
from onpanic.probe.emulator.command_line import program_name
from onpanic.probe.record.screen import Style

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

__all__ = ("ColourStyle", "collection_progress", "progress_bars", "style_for")


class ColourStyle(Style):
    """Colours for answers, which the text names as well."""

    _CODES = {"yes": "32", "no": "31", "unknown": "33", "title": "1", "dim": "2"}  # noqa: RUF012
    _CODES |= {"pause": "32", "run": "31", "poweroff": "31", "exit": "31"}

    def paint(self, text: str, kind: str) -> str:
        """Return a text in the colour of its kind."""
        return f"\033[{self._CODES[kind]}m{text}\033[0m"


def style_for(stream: TextIO | None) -> Style:
    """Return the style for a stream: colours on a terminal, unless NO_COLOR is set (no-color.org)."""
    wanted = stream is not None and stream.isatty() and not os.environ.get("NO_COLOR")
    return ColourStyle() if wanted else Style()


@contextmanager
def progress_bars(commands: Sequence[Sequence[str]]) -> Iterator[Callable[[Sequence[str]], Progress]]:
    """Show a progress bar for each emulator on stderr; they are removed at the end.

    Yields a function from an emulator's command to its `Progress`.
    """
    bars = _bars("{task.description}")
    if bars is None:
        yield lambda _command: lambda _done, _total: None
        return
    with bars:
        tasks = {tuple(command): bars.add_task(program_name(command), total=None) for command in commands}

        def of(command: Sequence[str]) -> Progress:
            return lambda done, total: bars.update(tasks[tuple(command)], completed=done, total=total)

        yield of


@contextmanager
def collection_progress(total: int) -> Iterator[Callable[[int], None]]:
    """Show on stderr how many emulators of a collection are done, the rate, and the remaining time.

    :param total: How many emulators there are.

    Yields a function that is called with the number of machine types of each emulator as it is done.
    """
    bars = _bars("emulators", "{task.fields[rate]}")
    if bars is None:
        yield lambda _machines: None
        return
    start, machines = time.monotonic(), 0
    with bars:
        task = bars.add_task("", total=total, rate="")

        def advance(more: int) -> None:
            nonlocal machines
            machines += more
            each = machines / max(time.monotonic() - start, 0.1)
            bars.update(task, advance=1, rate=f"{each:.1f} machine types/s")

        yield advance


def _bars(before: str, after: str = "") -> "Bars | None":
    """Return rich's progress bars with a text on each side; None if rich is not installed."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        return None
    middle = (BarColumn(), MofNCompleteColumn(), *([TextColumn(after)] if after else []))
    columns = (TextColumn(before), *middle, TimeRemainingColumn())
    return Progress(*columns, console=Console(file=sys.stderr), transient=True)
