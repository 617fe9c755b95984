"""An SVG file that needs nothing from elsewhere: no font, no script, no style sheet.

It has a background of its own, in light and dark: the page around it may be dark where the system is light.
"""

from collections.abc import Iterable
from xml.sax.saxutils import escape

__all__ = ("MONO", "MONO_WIDTH", "SANS", "svg_file")

SANS = 'system-ui,-apple-system,"Segoe UI","Noto Sans","DejaVu Sans",sans-serif'
MONO = 'ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono","Liberation Mono",monospace'
#: The width of a monospace character, for a size of 1; no usual font has a greater one.
MONO_WIDTH = 0.6

# In light and in dark.  The contrast of text with what is behind it is at least 4.5
_COLOURS = {
    "panel": ("#ffffff", "#161b22"),
    "rim": ("#c4ccd6", "#3d4651"),
    "box": ("#f2f5f8", "#212831"),
    "text": ("#1c2128", "#e6ebf1"),
    "dim": ("#545d68", "#a3aebb"),
    "blue": ("#dcebff", "#153a66"),
    "violet": ("#ebe2ff", "#40306e"),
    "green": ("#d8f3dd", "#17462a"),
    "red": ("#ffe2de", "#5c221d"),
    "grey": ("#e3e7ec", "#383f49"),
    "green-text": ("#116329", "#6fdd8b"),
    "red-text": ("#a40e26", "#ff9492"),
    "yellow-text": ("#7d4e00", "#eac55f"),
}


def svg_file(
    width: float, height: float, title: str, description: str, style: str, parts: Iterable[str]
) -> str:
    """Return an SVG file.

    :param width: The width in pixels; a phone shows it narrower, and text accordingly smaller.
    :param height: The height in pixels.
    :param title: What it shows, in a few words.
    :param description: All that it says, for those who do not see it.
    :param style: Its style sheet; the colours are variables.
    :param parts: Its elements, which are drawn on a panel.
    """
    light, dark = (
        "".join(f"--{name}:{shades[index]};" for name, shades in _COLOURS.items()) for index in (0, 1)
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}"',
        f'viewBox="0 0 {width:g} {height:g}" role="img" aria-labelledby="title description">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="description">{escape(description)}</desc>',
        f"<style>\nsvg{{{light}}}\n@media (prefers-color-scheme:dark){{svg{{{dark}}}}}\n{style}</style>",
        f'<rect x=".5" y=".5" width="{width - 1:g}" height="{height - 1:g}" rx="10"',
        'fill="var(--panel)" stroke="var(--rim)"/>',
        *parts,
        "</svg>",
        "",
    ]
    return "\n".join(lines)
