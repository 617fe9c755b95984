"""Finding the domain in what users have: several documents in one file, a status file, a snapshot.

A `Document` is one ``<domain>`` and nothing else.  ``virt-install --print-xml`` prints two of them for an
installation, the files in ``/run/libvirt/qemu`` are ``<domstatus>``, and ``virsh snapshot-dumpxml`` prints
``<domainsnapshot>``.  `domain_in` returns one domain of these as a document of its own.

The time is linear in the length of what is read, and so is the memory.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from onpanic.core.errors import DocumentError, UsageError
from onpanic.core.untrusted import printable
from onpanic.shims.domain_xml.document_kinds import CONTAINERS, not_a_domain
from onpanic.shims.domain_xml.elements import Element, child, text_of
from onpanic.shims.domain_xml.positions import Positions, element_span, tag_end
from onpanic.shims.domain_xml.xml_parser import LIMIT, check_length, decoded, encoded, parse_document

__all__ = ("FILE_LIMIT", "domain_in", "parse_domain")

Text = TypeVar("Text", str, bytes)

#: Bytes that a file with several documents, or with a document around a domain, may have.
FILE_LIMIT = 4 * LIMIT

_MOST_DOCUMENTS = 64
_MOST_NAMED = 8
_CHOOSE = (
    "choose one with --document N, in Python with onpanic.shims.domain_in(xml, N)"
    " (virt-install prints the domain for the installation first, the one to keep last)"
)

# A name, which may be empty; the rest of a line; white space
_NAME = re.compile(r"[^\s/>]*")
_LINE_END = re.compile(r"[ \t]*(?:\r\n?|\n)?")
_SPACE = re.compile(r"[ \t\r\n]*")

# The ends of comments, CDATA sections and processing instructions, by their starts
_SPECIAL = {"<!--": "-->", "<![CDATA[": "]]>", "<?": "?>"}


class _Part(NamedTuple):
    """A document in a file.

    :param start: The offset of its first character.
    :param end: That of the first character after it.
    :param tag: The name of its root element, as the document writes it.
    """

    start: int
    end: int
    tag: str


class _Domain(NamedTuple):
    """A domain that was found.

    :param name: The text of its ``<name>``; empty if it cannot be read.
    :param xml: The domain as a document, of the same type as what it was found in.
    """

    name: str
    xml: str | bytes


def parse_domain(source: str | bytes) -> tuple[Element, str, str]:
    """Parse a domain's XML.

    :param source: The document.  Bytes are decoded as the document declares; a declaration in a
        string is ignored.
    :return: The element ``<domain>``, the document as text, and the encoding that turns this text into
        the source's bytes.
    :raise DocumentError: When the document is not well-formed, too long, not a domain, or has a DOCTYPE.
    """
    check_length(source)
    try:
        root = _root(source)
    except DocumentError as error:
        several = _several(source)
        raise (error if several is None else several) from error.__cause__
    if root.tag != "domain":
        raise not_a_domain(str(root.tag), has_domain=_inner(root) is not None)
    encoding = _encoding(root)
    return root, source if isinstance(source, str) else decoded(source, encoding), encoding


def domain_in(source: Text, number: int | None = None) -> Text:
    """Return the domain in a file: one of several documents, or the one in a status file or a snapshot.

    ::

        xml = domain_in(Path("printed-by-virt-install.xml").read_bytes(), 2)

    A source that is one document with the root element ``<domain>`` is returned as it is.  So is one that is
    not well-formed; `to_libvirt` and `from_libvirt` say why.  The domain in a snapshot is the one of the
    moment when it was taken, not its ``<inactiveDomain>``.

    :param source: The file's content.
    :param number: Which of its domains, counted from 1; None for the only one.
    :raise DocumentError: When there is no such domain, or there are several and no number.
    :raise UsageError: When the number is less than 1.
    """
    if number is not None and number < 1:
        raise UsageError(f"there is no document {number}", "the first one is 1")
    if len(source) > FILE_LIMIT:
        raise DocumentError(f"it is longer than {FILE_LIMIT >> 20} MiB", "leave fewer documents in the file")
    try:
        root = _root(source)
    except DocumentError:
        parts = _parts(source)
        if len(parts) < 2:
            return source
        domains = _domains(source, parts)
        tag = parts[0].tag
    else:
        if root.tag == "domain" and number in (None, 1):
            return source
        domains = [found] if (found := _domain(source, root)) else []
        tag = str(root.tag)
    if not domains:
        raise not_a_domain(tag)
    if number is None and len(domains) > 1:
        raise _choose(domains)
    if number is not None and number > len(domains):
        raise _choose(domains, f"there is no document {number}: ")
    chosen: Text = domains[(number or 1) - 1].xml  # type: ignore[assignment]
    return chosen


def _root(source: str | bytes) -> Element:
    """Parse one document and return its root element.

    :raise DocumentError: When the document is not well-formed, or has a DOCTYPE.
    """
    return parse_document(encoded(source), None if isinstance(source, bytes) else "utf-8")


def _encoding(root: Element) -> str:
    return root.getroottree().docinfo.encoding or "utf-8"


# Documents around a domain


def _inner(root: Element) -> Element | None:
    """Return the domain in a document that is known to have one; None if this is another document."""
    return child(root, "domain") if root.tag in CONTAINERS else None


def _domain(source: str | bytes, root: Element) -> _Domain | None:
    """Return the domain that a document is or has in it; None if it has none.

    :param source: The document.
    :param root: Its root element.
    """
    domain = root if root.tag == "domain" else _inner(root)
    if domain is None:
        return None
    name = text_of(child(domain, "name"))
    return _Domain(name, source if domain is root else _as_document(source, root, domain))


def _as_document(source: str | bytes, root: Element, domain: Element) -> str | bytes:
    """Return the text of an element as a document of its own, in the encoding of the source.

    Declarations of namespaces outside the element that it may need are added to its start tag.
    """
    encoding = _encoding(root)
    text = source if isinstance(source, str) else decoded(source, encoding)
    span = element_span(root, Positions(text), domain)
    tag, rest = text[span.start : span.inner], text[span.inner : span.end]
    missing = [
        f" xmlns:{prefix}='{uri}'"
        for prefix, uri in root.nsmap.items()
        if prefix and "'" not in uri and "&" not in uri and f"xmlns:{prefix}" not in tag
    ]
    head = len("<domain")
    xml = f"{tag[:head]}{''.join(missing)}{tag[head:]}{rest}\n"
    if isinstance(source, str):
        return xml
    declaration = "" if encoding.lower() == "utf-8" else f"<?xml version='1.0' encoding='{encoding}'?>\n"
    return f"{declaration}{xml}".encode(encoding)


# Several documents


def _several(source: str | bytes) -> DocumentError | None:
    """Return the error about a source with several domains; None if it has not several."""
    domains = _domains(source, _parts(source))
    return _choose(domains) if len(domains) > 1 else None


def _choose(domains: list[_Domain], problem: str = "") -> DocumentError:
    """Return the error that lists domains and says how to choose one."""
    one = len(domains) == 1
    names = [f"{n} is {printable(d.name, 60) or 'without a name'}" for n, d in enumerate(domains, start=1)]
    more = [f"{len(names) - _MOST_NAMED} more"] if len(names) > _MOST_NAMED else []
    listed = ", ".join([*names[:_MOST_NAMED], *more])
    count = "there is 1 domain" if one else f"there are {len(domains)} domains"
    return DocumentError(f"{problem}{count} in it: {listed}", _CHOOSE)


def _domains(source: str | bytes, parts: list[_Part]) -> list[_Domain]:
    """Return the domains among documents, also those that cannot be parsed."""
    found: list[_Domain] = []
    for start, end, tag in parts:
        part = source[start:end]
        try:
            domain = _domain(part, _root(part))
        except DocumentError:
            domain = _Domain("", part) if tag == "domain" else None
        if domain is not None:
            found.append(domain)
    return found


def _parts(source: str | bytes) -> list[_Part]:
    """Split a source into documents, by its tags alone.

    White space and comments between two documents belong to the second one, where its declaration may be.

    :raise DocumentError: When there are too many.
    """
    text = source if isinstance(source, str) else source.decode("latin-1")  # a character for each byte
    found: list[_Part] = []
    start = depth = 0
    root = ""
    for position, end in _tags(text):
        closes = text[position + 1] == "/"
        if not depth and not closes:
            root = _NAME.match(text, position + 1)[0]  # type: ignore[index]
        depth += -1 if closes else text[end - 2] != "/"
        if depth < 0:
            break
        if depth == 0:
            if len(found) == _MOST_DOCUMENTS:
                raise DocumentError(f"it holds more than {_MOST_DOCUMENTS} documents", "leave fewer of them")
            end = _LINE_END.match(text, end).end()  # type: ignore[union-attr]  # noqa: PLW2901
            found.append(_Part(start, end, root))
            start = _SPACE.match(text, end).end()  # type: ignore[union-attr]
    if depth > 0:  # its end is missing
        found.append(_Part(start, len(text), root))
    elif found:  # what comes after the last one
        found[-1] = found[-1]._replace(end=len(text))
    return found


def _tags(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each tag starts and ends, up to one that has no end."""
    end = 0
    while (start := text.find("<", end)) >= 0:
        for opening, closing in _SPECIAL.items():
            if text.startswith(opening, start):
                end = text.find(closing, start + len(opening))
                if end < 0:
                    return
                break
        else:
            end = tag_end(text, start)
            if end < 0:
                return
            if text[start + 1] != "!":  # a DOCTYPE
                yield start, end
