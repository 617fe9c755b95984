"""Finding elements in the text of a well-formed document.

XML allows no ``<`` in an attribute's value.  So ``<name`` is a start tag everywhere except in
comments, CDATA sections and processing instructions; these are blanked out first.  A search in
the text takes about a microsecond.  A parser that records positions (expat) takes as long as
lxml takes to parse the document.
"""

import re
from typing import NamedTuple

from onpanic.shims.domain_xml.elements import Element, local_name, written_name

__all__ = ("Positions", "Span", "element_span", "tag_end")

# The rest of a tag after its name; quoted values may contain ">"
_TAG_END = re.compile(r"""[^>"']*(?:(?:"[^"]*"|'[^']*')[^>"']*)*>""")
_LINE_END = re.compile(r"[ \t]*([\r\n]|\Z)")
_BLANK_OUT = re.compile(r"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>", re.DOTALL)


class Span(NamedTuple):
    """Where an element is: from `start` to `end`, with its content from `inner` to `close`.

    All four are offsets in characters; `end` is that of the first character after the element.
    """

    start: int
    inner: int
    close: int
    end: int

    @property
    def self_closing(self) -> bool:
        """True for ``<name/>``."""
        return self.inner == self.end


class Positions:
    """Finds the elements of a document in its text.

    :param text: A well-formed document without a DOCTYPE.
    """

    def __init__(self, text: str) -> None:
        self._text = _blank_out(text)

    def only(self, name: str) -> Span | None:
        """Return the span of the only element with a name; None if there may be another one.

        :param name: The name of an element that exists, as the document writes it, with its prefix.
        """
        text = self._text
        start = text.find(f"<{name}")
        if start != text.rfind(f"<{name}"):  # another one, or one with a longer name
            return None
        inner = self._tag_end(start)
        if text[inner - 2] == "/":
            return Span(start, inner, inner, inner)
        close = text.find("</", inner)
        if not text.startswith(name, close + 2):  # it has other elements in it
            close = text.rfind(f"</{name}")
        return Span(start, inner, close, text.index(">", close) + 1)

    def span(self, name: str, number: int) -> Span:
        """Return an element's span.

        :param name: The element's name as the document writes it, with its prefix.
        :param number: How many elements with exactly this name start before the element.
        """
        start = -1
        for _ in range(number + 1):
            start = self._find_tag(f"<{name}", start + 1)
        inner = self._tag_end(start)
        if self._text[inner - 2] == "/":
            return Span(start, inner, inner, inner)
        depth, opening, close = 1, self._find_tag(f"<{name}", inner), self._find_tag(f"</{name}", inner)
        while True:  # both searches continue where they stopped, so the time is linear in the length
            if 0 <= opening < close:
                end = self._tag_end(opening)
                depth += self._text[end - 2] != "/"
                opening = self._find_tag(f"<{name}", end)
            else:
                end = self._tag_end(close)
                depth -= 1
                if depth == 0:
                    return Span(start, inner, close, end)
                close = self._find_tag(f"</{name}", end)

    def line_start(self, position: int) -> int:
        """Return where the line of a position starts; line breaks within a comment do not count."""
        return max(self._text.rfind("\n", 0, position), self._text.rfind("\r", 0, position)) + 1

    def line_end(self, position: int) -> int | None:
        """Return where the line of a position ends; None if anything but white space comes before that.

        A comment counts as white space.
        """
        found = _LINE_END.match(self._text, position)
        return found.start(1) if found else None

    def _find_tag(self, tag: str, position: int) -> int:
        """Return where a tag starts at or after a position, -1 if there is none."""
        while True:
            found = self._text.find(tag, position)
            position = found + len(tag)
            if found < 0 or self._text[position] in " \t\r\n/>":
                return found

    def _tag_end(self, start: int) -> int:
        return tag_end(self._text, start)


def element_span(root: Element, positions: Positions, element: Element) -> Span:
    """Return an element's position: the n-th with its name in the tree is the n-th in the text.

    :param root: The document's root element.
    :param positions: The positions of elements in the document's text.
    :param element: The element.
    """
    name, number = written_name(element), 0
    only = positions.only(name)
    if only:
        return only
    for other in root.iter(f"{{*}}{local_name(element)}"):
        if other is element:
            break
        number += other.prefix == element.prefix
    return positions.span(name, number)


def tag_end(text: str, start: int) -> int:
    """Return where the tag that starts at a position of a text ends; -1 if it does not."""
    found = _TAG_END.match(text, start)
    return found.end() if found else -1


def _blank_out(text: str) -> str:
    """Return the text with comments, CDATA sections and processing instructions replaced, at equal length.

    A CDATA section becomes other text, the rest becomes spaces.
    """
    if "!" not in text and "?" not in text:
        return text
    return _BLANK_OUT.sub(lambda found: ("_" if found[0].startswith("<![") else " ") * len(found[0]), text)
