"""Where elements stand in the text of a well-formed document.

A name after ``<`` is a tag everywhere but in comments, CDATA and processing instructions:
XML allows no ``<`` in an attribute's value.  With those three blanked out, plain searches
find tags, and a search costs a microsecond where a parser that notes positions takes as
long as lxml for the whole document.
"""

import re
from typing import NamedTuple

__all__ = ("Places", "Span")

# The rest of a tag after its name: quoted values may hold ">"
_REST = re.compile(r"""[^>"']*(?:(?:"[^"]*"|'[^']*')[^>"']*)*>""")
_LINE = re.compile(r"[ \t]*([\r\n]|\Z)")
_INERT = re.compile(r"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>", re.DOTALL)


class Span(NamedTuple):
    """Where an element stands, half-open: from `start`, content from `inner` to `close`, to `end`."""

    start: int
    inner: int
    close: int
    end: int

    @property
    def single(self) -> bool:
        """True for ``<name/>``."""
        return self.inner == self.end


class Places:
    """The tags of a text.

    :param text: A well-formed document without a DOCTYPE.
    """

    def __init__(self, text: str) -> None:
        self._text = _blanked(text)

    def only(self, name: str) -> Span | None:
        """Return where the only element of a name stands; None if there may be more of it."""
        start = self._text.find(f"<{name}")
        if start != self._text.rfind(f"<{name}"):  # or one whose name is longer
            return None
        inner = self._rest(start)
        if self._text[inner - 2] == "/":
            return Span(start, inner, inner, inner)
        close = self._text.find(f"</{name}", inner)
        return Span(start, inner, close, self._rest(close))

    def span(self, name: str, number: int) -> Span:
        """Return where an element stands.

        :param name: As it is written, prefix and all.
        :param number: How many elements of this very name start before it.
        """
        start = -1
        for _ in range(number + 1):
            start = self._tag(f"<{name}", start + 1)
        inner = self._rest(start)
        if self._text[inner - 2] == "/":
            return Span(start, inner, inner, inner)
        depth, opening, close = 1, self._tag(f"<{name}", inner), self._tag(f"</{name}", inner)
        while True:  # each search goes on from where it was, so that nesting costs no more than length
            if 0 <= opening < close:
                end = self._rest(opening)
                depth += self._text[end - 2] != "/"
                opening = self._tag(f"<{name}", end)
            else:
                end = self._rest(close)
                depth -= 1
                if depth == 0:
                    return Span(start, inner, close, end)
                close = self._tag(f"</{name}", end)

    def line_start(self, position: int) -> int:
        """Return where the line of a position begins; one that breaks within a comment is one line."""
        return max(self._text.rfind("\n", 0, position), self._text.rfind("\r", 0, position)) + 1

    def line_end(self, position: int) -> int | None:
        """Return where the line of a position ends; None if a tag or text comes before that."""
        found = _LINE.match(self._text, position)
        return found.start(1) if found else None

    def _tag(self, tag: str, position: int) -> int:
        """Return where a tag begins at or behind a position, -1 if there is none."""
        while True:
            found = self._text.find(tag, position)
            position = found + len(tag)
            if found < 0 or self._text[position] in " \t\r\n/>":
                return found

    def _rest(self, start: int) -> int:
        """Return where a tag ends."""
        found = _REST.match(self._text, start)
        assert found
        return found.end()


def _blanked(text: str) -> str:
    """Return the text with comments, CDATA and processing instructions made inert, length for length.

    CDATA stays text; the others become white space.
    """
    if "!" not in text and "?" not in text:
        return text
    return _INERT.sub(lambda found: ("_" if found[0].startswith("<![") else " ") * len(found[0]), text)
