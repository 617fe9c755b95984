"""A domain's XML with edits that leave the rest of the document as it was, byte for byte.

lxml parses the document, and all that is known of it comes from lxml's tree.  The document is
not serialised again: that would rewrite every tag with an attribute and drop white space outside
the root element.  Instead an edit finds the element's position in the text, by counting start
tags with the same name, and replaces just that.  Alternatives considered: an expat parser that
records positions (three times slower), and copying white space until a serialised tree looks like
the source (it never quite does).

An insertion can be undone exactly.  What is inserted starts right behind something that is not white
space, so the line break and the indentation before it are known to have been inserted, too.
"""

import re
from functools import cached_property
from operator import itemgetter

from onpanic.shims.domain_xml.domain_sources import parse_domain
from onpanic.shims.domain_xml.elements import XML_SPACE, Element, written_name
from onpanic.shims.domain_xml.positions import Positions, Span, element_span
from onpanic.shims.domain_xml.xml_parser import check_length

__all__ = ("Document",)

# An element is the last one on its line if this follows
_END_OF_LINE = re.compile(r"[ \t]*(?:[\r\n]|\Z|</)")


class Document:
    """A domain's XML, with edits.

    Edits are collected, and made by `edited`; the tree and the text stay as they are.  Two edits must not
    be about the same element.

    :param source: The document.  Bytes are decoded as the document declares.
    :ivar root: lxml's element ``<domain>``.
    :ivar text: The document as text.
    :raise DocumentError: When the document is not well-formed, not a domain, or not safe to read.
    """

    def __init__(self, source: str | bytes) -> None:
        self.source = source
        self.root, self.text, self._encoding = parse_domain(source)
        self._edits: list[tuple[int, int, str]] = []

    def edited(self) -> str | bytes:
        """Return the edited document, of the same type as the source; the source itself without edits.

        :raise DocumentError: When it has become too long for libvirt.
        """
        if not self._edits:
            return self.source
        parts, position = [], 0
        for start, end, text in sorted(self._edits, key=itemgetter(0, 1)):
            parts += [self.text[position:start], text]
            position = end
        text = "".join([*parts, self.text[position:]])
        if isinstance(self.source, str):
            check_length(text)
            return text
        data = text.encode(self._encoding, "xmlcharrefreplace")  # only element text can need it
        check_length(data)
        return data

    # Edits

    def remove(self, element: Element, *, inserted: bool = False) -> None:
        """Remove an element, with its line if nothing else is on it.

        :param inserted: This undoes an insertion: the line break and the indentation before the element are
            removed even if something else is on its line.
        """
        span = self.span(element)
        whole = inserted or _END_OF_LINE.match(self.text, span.end)
        indentation = self._indentation(span.start) if whole else ""
        self._edits.append((span.start - len(indentation), span.end, ""))

    def clear(self, element: Element, *, self_closing: bool) -> None:
        """Remove an element's content; its attributes stay.

        :param self_closing: Leave ``<name/>`` instead of ``<name></name>``.
        """
        span = self.span(element)
        if span.self_closing:
            return
        if self_closing:
            self._edits.append((span.inner - 1, span.end, "/>"))
        else:
            self._edits.append((span.inner, span.close, ""))

    def replace(self, element: Element, xml: str) -> None:
        """Replace an element with other XML; equal XML is no edit."""
        span = self.span(element)
        xml = _indented(xml, self._indentation(span.start))
        if self.text[span.start : span.end] != xml:
            self._edits.append((span.start, span.end, xml))

    def insert_before(self, element: Element, xml: str) -> None:
        """Insert XML before an element, on a line of its own if the element starts a line."""
        span = self.span(element)
        indentation = self._indentation(span.start)
        self._insert(span.start, _indented(xml, indentation) + indentation)

    def insert_after(self, element: Element, xml: str) -> None:
        """Insert XML after an element, on a line of its own if the element is alone on its line."""
        span = self.span(element)
        end = self._positions.line_end(span.end)
        indentation = "" if end is None else self._indentation(span.start)
        self._insert(span.end if end is None else end, indentation + _indented(xml, indentation))

    def append(self, parent: Element, xml: str) -> None:
        """Insert XML at the end of an element's content.

        What the content was before must be known to undo this, see `content_of`.
        """
        span = self.span(parent)
        text = self.text
        end = span.close
        while end > span.inner and text[end - 1] in XML_SPACE:
            end -= 1
        if end > span.inner:
            indentation = self._last_indentation(parent, span, end)
            self._insert(end, indentation + _indented(xml, indentation))
            return
        outer = self._indentation(span.start)
        indentation = outer and outer + "  "
        added = indentation + _indented(xml, indentation)
        if span.self_closing:
            name = written_name(parent)
            self._edits.append((span.end - 2, span.end, f">{added}{outer}</{name}>"))
        else:
            self._insert(span.inner, added if span.inner < span.close else added + outer)

    # Positions

    def content_of(self, element: Element) -> str | None:
        """Return an element's content as it is written; None for a self-closing tag."""
        span = self.span(element)
        return None if span.self_closing else self.text[span.inner : span.close]

    def span(self, element: Element) -> Span:
        """Return an element's position."""
        return element_span(self.root, self._positions, element)

    @cached_property
    def _positions(self) -> Positions:
        return Positions(self.text)

    def _insert(self, position: int, text: str) -> None:
        self._edits.append((position, position, text))

    def _indentation(self, start: int) -> str:
        """Return the line break and the indentation before a position; empty if it does not start a line."""
        text, line = self.text, start
        while line and text[line - 1] in " \t":
            line -= 1
        if not line or text[line - 1] not in "\r\n":
            return ""
        return text[line - (2 if text.endswith("\r\n", 0, line) else 1) : start]

    def _last_indentation(self, parent: Element, span: Span, end: int) -> str:
        """Return the indentation of the line on which the last element of a parent starts.

        :param span: The parent's position.
        :param end: Where the parent's content ends, without white space.
        """
        last = parent[-1] if len(parent) else None
        line = self._first_on_line(end)
        if last is not None and isinstance(last.tag, str):
            name = written_name(last)
            if not self.text.startswith((f"<{name}", f"</{name}"), line):  # its line starts with another tag
                line = self._first_on_line(self.span(last).start)
        return self._indentation(line) if line >= span.inner else ""

    def _first_on_line(self, position: int) -> int:
        """Return the first position on a line that is not white space."""
        line = self._positions.line_start(position)
        while line < position and self.text[line] in XML_SPACE:
            line += 1
        return line


def _indented(xml: str, indentation: str) -> str:
    """Return XML whose lines start with an indentation, or in one line if there is none."""
    if "\n" not in xml:
        return xml
    lines = xml.split("\n")
    return indentation.join(lines) if indentation else "".join([line.strip() for line in lines])
