"""What a terminal showed, as runs of characters that appear and disappear together."""

from typing import NamedTuple

import pyte

from pictures.terminal_session import Cast

__all__ = ("Look", "Run", "cursor_places", "runs_of", "transcript")

_LARGE = 1000  # columns and rows: no line is longer, and nothing scrolls


class Look(NamedTuple):
    """How a character looks: the terminal's name of its colour, and whether it is bold."""

    colour: str
    bold: bool


class Run(NamedTuple):
    """Characters of a line.

    :param row: The line, from 0.
    :param column: Where they begin, from 0.
    :param text: The characters.
    :param look: Their look.
    :param since: Seconds since the beginning when they appear.
    :param until: When they disappear; None if they stay.
    """

    row: int
    column: int
    text: str
    look: Look
    since: float
    until: float | None


def runs_of(cast: Cast) -> list[Run]:
    """Return all that a session showed, by lines and columns."""
    screen = pyte.Screen(cast.columns, cast.rows)
    stream = pyte.Stream(screen)
    shown: dict[int, dict[int, Run]] = {}
    gone: list[Run] = []
    for at, text in cast.printed:
        stream.feed(text)
        for row in sorted(screen.dirty):
            before, now = shown.get(row, {}), _line(screen, row, at)
            kept = all(
                column in now and (cell.text, cell.look) == (now[column].text, now[column].look)
                for column, cell in before.items()
            )
            if not kept:  # the line is another one, even if some of its characters are the same
                gone += [cell._replace(until=at) for cell in before.values()]
            shown[row] = now | before if kept else now
        screen.dirty.clear()
    stay = [cell for line in shown.values() for cell in line.values()]
    return _joined(sorted([*gone, *stay], key=_time_and_place))


def _line(screen: pyte.Screen, row: int, at: float) -> dict[int, Run]:
    """Return the characters of a line, by column."""
    cells = ((column, screen.buffer[row][column]) for column in range(screen.columns))
    return {
        column: Run(row, column, cell.data, Look(cell.fg, cell.bold), at, None)
        for column, cell in cells
        if cell.data != " "
    }


def _time_and_place(run: Run) -> tuple[int, float, float, int]:
    return run.row, run.since, run.until or 0, run.column


def _joined(cells: list[Run]) -> list[Run]:
    """Return runs instead of single characters; a blank between two characters belongs to them."""
    found: list[Run] = []
    for cell in cells:
        last = found[-1] if found else None
        if last and (last.row, last.look, last.since, last.until) == (cell.row, *cell[3:]):
            gap = cell.column - last.column - len(last.text)
            found[-1] = last._replace(text=last.text + " " * gap + cell.text)
        else:
            found.append(cell)
    return found


def cursor_places(cast: Cast) -> list[tuple[float, int, int]]:
    """Return where the cursor goes: seconds, column and row."""
    screen = pyte.Screen(cast.columns, cast.rows)
    stream = pyte.Stream(screen)
    found = [(0.0, 0, 0)]
    for at, text in cast.printed:
        stream.feed(text)
        place = (screen.cursor.x, screen.cursor.y)
        if place != found[-1][1:]:
            found.append((at, *place))
    return found


def transcript(cast: Cast) -> str:
    """Return what was typed and printed and has stayed, with lines as long as they were printed."""
    screen = pyte.Screen(_LARGE, _LARGE)
    stream = pyte.Stream(screen)
    for _, text in cast.printed:
        stream.feed(text)
    return "\n".join(line.rstrip() for line in screen.display).rstrip() + "\n"
