"""A domain's XML: read safely, and edited so that all the rest stays as it was, byte for byte.

lxml parses and is believed in everything; nothing is ever read from the text.  It does
not write, though: serialising would rewrite every line with an attribute, and drop what
stands outside the root.  An edit finds its element's place in the text instead, by
counting start tags of the same name, and replaces just that.  Considered and left: an
expat parser that notes positions (three times slower), and copying white space around
until a serialised tree looks alike (it never quite does).

Safe means: no DTD and so no entities, no network, the size of what libvirt itself takes
over its wire, and libxml2's own bound of 256 levels.
"""

from functools import cache, cached_property

from lxml import etree

from .elements import local_name
from .errors import DocumentError
from .places import Places, Span

__all__ = ("LIMIT", "Document")

#: Bytes; libvirt's remote protocol takes no longer string (``REMOTE_STRING_MAX``).
LIMIT = 4 * 2**20

# What XML takes for white space
_SPACE = " \t\r\n"
_AS_IN = "it has to be what virsh dumpxml prints"


class Document:
    """A domain's XML, with the edits that were asked for.

    :param source: The document; bytes are decoded as it declares, text is taken as it is.
    :ivar root: lxml's element ``<domain>``, which no edit changes.
    :ivar text: The document as text, which no edit changes either.
    :raise DocumentError: When it is not well-formed, not a domain, or not safe to read.
    """

    def __init__(self, source: str | bytes) -> None:
        self.source = source
        data = _encoded(source)
        self.root = _parsed(data, None if isinstance(source, bytes) else "utf-8")
        self._encoding = self.root.getroottree().docinfo.encoding or "utf-8"
        self.text = source if isinstance(source, str) else _decoded(data, self._encoding)
        self._edits: list[tuple[int, int, str]] = []

    def edited(self) -> str | bytes:
        """Return the document after all edits, of the same type as the source; the source itself if none."""
        if not self._edits:
            return self.source
        parts, position = [], 0
        for start, end, text in sorted(self._edits, key=lambda edit: edit[:2]):
            parts += [self.text[position:start], text]
            position = end
        text = "".join([*parts, self.text[position:]])
        return text if isinstance(self.source, str) else text.encode(self._encoding)

    # Edits

    def remove(self, element: etree._Element) -> None:
        """Take an element out, with its line if it has one to itself."""
        span = self.span(element)
        margin, end = self._margin(span.start), self._places.line_end(span.end)
        last = end is not None and not self.text[span.end : end].strip(_SPACE)
        whole = margin and (last or self.text.startswith("</", span.end))
        self._edits.append((span.start - len(margin) if whole else span.start, span.end, ""))

    def empty(self, element: etree._Element) -> None:
        """Take out all that an element holds; its attributes stay."""
        span = self.span(element)
        if not span.single:
            tag = self.text[span.start : span.inner - 1].rstrip(_SPACE)
            self._edits.append((span.start, span.end, f"{tag}/>"))

    def replace(self, element: etree._Element, xml: str) -> None:
        """Put something else in an element's place; nothing happens if it stands there already."""
        span = self.span(element)
        xml = _laid_out(xml, self._margin(span.start))
        if self.text[span.start : span.end] != xml:
            self._edits.append((span.start, span.end, xml))

    def insert_before(self, element: etree._Element, xml: str) -> None:
        """Add something before an element, on a line of its own if the element has one."""
        span = self.span(element)
        margin = self._margin(span.start)
        self._insert(span.start, _laid_out(xml, margin) + margin)

    def insert_after(self, element: etree._Element, xml: str) -> None:
        """Add something behind an element, on a line of its own if no other element is on the element's."""
        span = self.span(element)
        end = self._places.line_end(span.end)
        margin = "" if end is None else self._margin(span.start)
        self._insert(span.end if end is None else end, margin + _laid_out(xml, margin))

    def append(self, parent: etree._Element, xml: str) -> None:
        """Add something at the end of a parent's content."""
        span = self.span(parent)
        blank = self.text[span.inner : span.close]
        content = blank.rstrip(_SPACE)
        if content:
            end = span.inner + len(content)
            last = parent[-1] if len(parent) else None
            # An element may end on a line that begins with something of its own
            begins = self.span(last).start if last is not None and isinstance(last.tag, str) else end
            line = self._places.line_start(begins)
            margin = self._margin(line + len(_leading(self.text[line:end]))) if line >= span.inner else ""
            self._insert(end, margin + _laid_out(xml, margin))
            return
        outer = self._margin(span.start)
        margin = outer and outer + "  "
        text = margin + _laid_out(xml, margin) + outer
        if span.single:
            tag = self.text[span.start : span.end - 2].rstrip()
            self._edits.append((span.start, span.end, f"{tag}>{text}</{_raw_name(parent)}>"))
        elif blank.strip(" \t"):  # a line break, which stays
            self._insert(span.inner, margin + _laid_out(xml, margin))
        else:
            self._edits.append((span.inner, span.close, text))

    # Places

    @cached_property
    def _places(self) -> Places:
        return Places(self.text)

    def span(self, element: etree._Element) -> Span:
        """Return where an element stands: the n-th of its name in the tree is the n-th in the text."""
        name, number = _raw_name(element), 0
        only = self._places.only(name)
        if only:
            return only
        for other in self.root.iter(f"{{*}}{local_name(element)}"):
            if other is element:
                break
            number += other.prefix == element.prefix
        return self._places.span(name, number)

    def _insert(self, position: int, text: str) -> None:
        self._edits.append((position, position, text))

    def _margin(self, start: int) -> str:
        """Return the line break and white space before a position; empty if anything else is on its line."""
        line = start
        while line and self.text[line - 1] in " \t":
            line -= 1
        for line_break in ("\r\n", "\n", "\r"):
            if self.text.endswith(line_break, 0, line):
                return self.text[line - len(line_break) : start]
        return ""


def _laid_out(xml: str, margin: str) -> str:
    """Give lines a margin, or join them if there is none."""
    lines = xml.split("\n")
    return margin.join(lines) if margin else "".join(map(str.strip, lines))


def _encoded(source: str | bytes) -> bytes:
    if len(source) > LIMIT:
        raise DocumentError(f"the document is longer than {LIMIT >> 20} MiB, libvirt's own limit", _AS_IN)
    try:
        data = source.encode() if isinstance(source, str) else bytes(source)
    except UnicodeEncodeError as error:
        raise DocumentError(f"not XML: {error.reason}", _AS_IN) from error
    if b"\0" in data:
        raise DocumentError("not XML: it has NUL bytes (is it UTF-16? libvirt takes UTF-8)", _AS_IN)
    return data


def _parsed(data: bytes, encoding: str | None) -> etree._Element:
    try:
        root = etree.fromstring(data, _parser(encoding))
    except etree.XMLSyntaxError as error:
        if b"<!DOCTYPE" in data:
            raise _doctype() from error
        raise DocumentError(f"not well-formed XML: {error.msg or 'nothing there'}", _AS_IN) from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise _doctype()
    if root.tag != "domain":
        raise DocumentError(f"the document's element is <{root.tag!s}>, not <domain>", _AS_IN)
    return root


def _doctype() -> DocumentError:
    return DocumentError("the document has a DOCTYPE, which no domain has", "take it out")


@cache
def _parser(encoding: str | None) -> etree.XMLParser:
    return etree.XMLParser(
        encoding=encoding,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        strip_cdata=False,
    )


def _decoded(data: bytes, encoding: str) -> str:
    try:
        text = data.decode(encoding)
        if text.encode(encoding) == data:
            return text
    except (LookupError, UnicodeError):
        pass
    raise DocumentError(f"the encoding {encoding} is not supported", "convert the document to UTF-8")


def _raw_name(element: etree._Element) -> str:
    """Return an element's name as it is written."""
    return f"{element.prefix}:{local_name(element)}" if element.prefix else local_name(element)


def _leading(line: str) -> str:
    """Return the white space at the beginning of a line."""
    return line[: len(line) - len(line.lstrip(_SPACE))]
