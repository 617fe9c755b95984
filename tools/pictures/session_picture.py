"""The picture of a recorded session: it is typed and printed as it was, once, and then stands still.

Whoever has asked for reduced motion sees the last screen only.  Each line of that is one text, which can be
selected.
"""

from collections.abc import Iterator
from itertools import groupby
from xml.sax.saxutils import escape

from pictures.screen_runs import Run, cursor_places, runs_of, transcript
from pictures.svg_file import MONO, MONO_WIDTH, svg_file
from pictures.terminal_session import ROOT, Cast

__all__ = ("CAST", "session_picture")

#: The recording that the picture is made from.
CAST = ROOT / "docs/pictures/session.cast"
_TITLE = "A session in a terminal"
_SIZE, _LINE, _MARGIN = 16, 21, 16  # pixels
_CELL = _SIZE * MONO_WIDTH
_COLOURS = {"green": "g", "red": "r", "brown": "y"}  # the terminal's names, and the classes
_STYLE = f"""\
text{{font:{_SIZE}px {MONO};white-space:pre}}
tspan{{--ink:var(--text);fill:var(--ink)}}
.g{{--ink:var(--green-text)}}.r{{--ink:var(--red-text)}}.y{{--ink:var(--yellow-text)}}.b{{font-weight:600}}
"""
_MOTION = """\
.cursor{fill:var(--dim)}
tspan{animation:appear 1ms step-end backwards}
.passes tspan{fill:none;animation-name:pass;animation-timing-function:linear;animation-fill-mode:none}
@keyframes appear{from{fill:transparent}}
@keyframes pass{from,to{fill:var(--ink)}}
@media (prefers-reduced-motion:reduce){tspan,.cursor{animation:none!important}}
"""


def session_picture(cast: Cast | None = None) -> str:
    """Return the picture of a session, of `CAST` by default."""
    cast = cast or Cast.load(CAST)
    runs, cursor = runs_of(cast), cursor_places(cast)
    width = round(cast.columns * _CELL + 2 * _MARGIN)
    height = cast.rows * _LINE + 2 * _MARGIN
    way = _cursor_style(cursor, cast.printed[-1].at)
    parts = [
        f'<rect class="cursor" x="{_MARGIN}" y="{_MARGIN}" width="{_CELL:g}" height="{_LINE}"/>',
        *_lines([run for run in runs if run.until is not None]),
        *_lines([run for run in runs if run.until is None]),
    ]
    return svg_file(width, height, _TITLE, transcript(cast), _STYLE + way + _MOTION, parts)


def _lines(runs: list[Run]) -> Iterator[str]:
    """Yield a text for each line; what disappears again is not visible without an animation."""
    for row, group in groupby(sorted(runs), key=lambda run: run.row):
        line = list(group)
        passes = ' class="passes"' if line[0].until is not None else ""
        spans = "".join(map(_span, line))
        yield f'<text xml:space="preserve" y="{_MARGIN + row * _LINE + 16}"{passes}>{spans}</text>'


def _span(run: Run) -> str:
    classes = _COLOURS.get(run.look.colour, "") + " b" * run.look.bold
    named = f' class="{classes.strip()}"' if classes else ""
    lasts = "" if run.until is None else f";animation-duration:{run.until - run.since:.2f}s"
    return (
        f'<tspan x="{_MARGIN + run.column * _CELL:g}"{named} style="animation-delay:{run.since:.2f}s{lasts}">'
        f"{escape(run.text)}</tspan>"
    )


def _cursor_style(places: list[tuple[float, int, int]], end: float) -> str:
    """Return the way of the cursor, which stands at its end without an animation."""
    moves = [(at, f"transform:translate({column * _CELL:g}px,{row * _LINE}px)") for at, column, row in places]
    steps = "".join(f"{100 * at / end:.2f}%{{{move}}}" for at, move in moves)
    return f".cursor{{{moves[-1][1]};animation:move {end:.2f}s step-end}}\n@keyframes move{{{steps}}}\n"
