"""What a terminal can do, and a pipe cannot: colours and progress."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from onpanic.probe.launch import name_of
from onpanic.probe.survey import Progress
from onpanic.probe.text import Style

__all__ = ("ColourStyle", "collection_progress", "progress_bars", "style_for")


class ColourStyle(Style):
    """Colours for answers; the words alone say as much."""

    _CODES = {"yes": "32", "no": "31", "unknown": "33", "title": "1", "dim": "2"}  # noqa: RUF012

    def paint(self, text: str, kind: str) -> str:
        """Return a text in the colour of its kind."""
        return f"\033[{self._CODES[kind]}m{text}\033[0m"


def style_for(stream: TextIO) -> Style:
    """Return what fits a stream: colours on a terminal, unless NO_COLOR is set (no-color.org)."""
    return ColourStyle() if stream.isatty() and not os.environ.get("NO_COLOR") else Style()


@contextmanager
def progress_bars(commands: Sequence[Sequence[str]]) -> Iterator[Callable[[Sequence[str]], Progress]]:
    """Show a bar for each emulator, on stderr, gone when it is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(file=sys.stderr), transient=True) as bars:
        tasks = {tuple(command): bars.add_task(name_of(command), total=None) for command in commands}

        def of(command: Sequence[str]) -> Progress:
            return lambda done, total: bars.update(tasks[tuple(command)], completed=done, total=total)

        yield of


@contextmanager
def collection_progress(total: int) -> Iterator[Callable[[int], None]]:
    """Show how many emulators of a collection are done, the rate, and the time that is left, on stderr.

    Yields a function that is told how many machine types each emulator had, as it is done.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn("emulators"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    start, machines = time.monotonic(), 0
    with Bars(*columns, console=Console(file=sys.stderr), transient=True) as bars:
        task = bars.add_task("", total=total, rate="")

        def advance(more: int) -> None:
            nonlocal machines
            machines += more
            each = machines / max(time.monotonic() - start, 0.1)
            bars.update(task, advance=1, rate=f"{each:.1f} machine types/s")

        yield advance
