"""A picture in the making: boxes, texts and arrows."""

from xml.sax.saxutils import escape

from pictures.svg_file import MONO, MONO_WIDTH, SANS, svg_file

__all__ = ("Drawing",)

_STYLE = f"""\
text{{font:16px {SANS};fill:var(--text);white-space:pre}}
.mono{{font-family:{MONO};font-size:15px}}
.bold{{font-weight:600}}
.dim{{fill:var(--dim)}}
.line{{fill:none;stroke:var(--dim);stroke-width:1.5}}
.thin{{stroke:var(--rim)}}
"""


class Drawing:
    """A picture in the making.

    :param width: Its width in pixels; a phone shows it narrower, and text accordingly smaller.
    :param title: What it shows, in a few words.
    :param description: All that it says, for those who do not see it.
    """

    #: The width of a monospace character.
    CELL = 15 * MONO_WIDTH

    def __init__(self, width: int, title: str, description: str) -> None:
        self.width = width
        self._title = title
        self._description = description
        self._parts: list[str] = []

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        colour: str,
        *,
        rim: str = "",
        dashed: bool = False,
    ) -> None:
        """Draw a rectangle with round corners.

        :param colour: The name of its colour.
        :param rim: The colour of its rim; empty for none.
        """
        stroke = f' stroke="var(--{rim})"' if rim else ""
        dashes = ' stroke-dasharray="5 3"' if dashed else ""
        place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="7"'
        self._parts.append(f'<rect {place} fill="var(--{colour})"{stroke}{dashes}/>')

    def text(self, x: float, y: float, text: str, classes: str = "") -> None:
        """Write a text that begins at x, with its baseline at y."""
        named = f' class="{classes}"' if classes else ""
        self._parts.append(f'<text x="{x:g}" y="{y:g}"{named}>{escape(text)}</text>')

    def mono(self, x: float, y: float, text: str, classes: str = "") -> float:
        """Write a text in the monospace font; return its width."""
        width = len(text) * self.CELL
        named = f"mono {classes}".strip()
        length = f'textLength="{width:g}" lengthAdjust="spacingAndGlyphs"'
        self._parts.append(f'<text x="{x:g}" y="{y:g}" class="{named}" {length}>{escape(text)}</text>')
        return width

    def line(self, x: float, y: float, width: float, classes: str = "line") -> None:
        """Draw a horizontal line."""
        self._parts.append(f'<path class="{classes}" d="M{x:g} {y:g}h{width:g}"/>')

    def arrow(self, x: float, y: float, dx: float, dy: float) -> None:
        """Draw an arrow from a point, to the right or down."""
        head = "m-4-5 5 5-5 5" if dx else "m-5-4 5 5 5-5"
        self._parts.append(f'<path class="line" d="M{x:g} {y:g}l{dx:g} {dy:g}{head}"/>')

    def finished(self, height: float) -> str:
        """Return the picture.

        :param height: Its height.
        """
        return svg_file(self.width, height, self._title, self._description, _STYLE, self._parts)
