"""Parsing XML safely: no DTD and so no entities, no network, a limited length, 256 levels of elements."""

from functools import cache

from lxml import etree

from onpanic.core.errors import DocumentError
from onpanic.shims.domain_xml.elements import Element

__all__ = ("LIMIT", "check_length", "parse_domain", "parse_xml")

#: Bytes; libvirt's remote protocol accepts no longer string (its ``REMOTE_STRING_MAX``).
LIMIT = 4 * 2**20

_HINT = "it must be XML as virsh prints it"


def parse_domain(source: str | bytes) -> tuple[Element, str, str]:
    """Parse a domain's XML.

    :param source: The document.  Bytes are decoded as the document declares; a declaration in a
        string is ignored.
    :return: The element ``<domain>``, the document as text, and the encoding that turns this text into
        the source's bytes.
    :raise DocumentError: When the document is not well-formed, too long, not a domain, or has a DOCTYPE.
    """
    data = _encode(source)
    try:
        root = parse_xml(data, None if isinstance(source, bytes) else "utf-8")
    except DocumentError as error:
        raise (_doctype_error() if b"<!DOCTYPE" in data else error) from error.__cause__
    information = root.getroottree().docinfo
    if information.internalDTD is not None:
        raise _doctype_error()
    if root.tag != "domain":
        raise DocumentError(f"the document's element is <{root.tag!s}>, not <domain>", _HINT)
    encoding = information.encoding or "utf-8"
    return root, source if isinstance(source, str) else _decode(data, encoding), encoding


def parse_xml(data: bytes, encoding: str | None = None) -> Element:
    """Parse any XML document and return its root element.

    :param encoding: The document's encoding; None to use the one that it declares.
    :raise DocumentError: When the document is not well-formed.
    """
    try:
        return etree.fromstring(data, _parser(encoding))
    except etree.XMLSyntaxError as error:
        raise DocumentError(f"not well-formed XML: {error.msg or 'it is empty'}", _HINT) from error


def check_length(data: str | bytes) -> None:
    """Check that a document fits into libvirt's remote protocol.

    :param data: The document; a string is sent as UTF-8.
    :raise DocumentError: When it is longer than `LIMIT`.
    """
    length = len(data)
    if length * 4 > LIMIT and isinstance(data, str) and length <= LIMIT:
        length = len(data.encode("utf-8", "surrogatepass"))
    if length > LIMIT:
        raise DocumentError(f"the document is longer than {LIMIT >> 20} MiB, libvirt's own limit", _HINT)


def _encode(source: str | bytes) -> bytes:
    check_length(source)
    try:
        data = source.encode("utf-8") if isinstance(source, str) else bytes(source)
    except UnicodeEncodeError as error:
        raise DocumentError(f"not XML: {error.reason}", _HINT) from error
    if b"\0" in data:
        raise DocumentError("not XML: it has NUL bytes (is it UTF-16? libvirt needs UTF-8)", _HINT)
    return data


def _decode(data: bytes, encoding: str) -> str:
    """Decode a document as libxml2 did, provided that encoding it again gives the same bytes."""
    try:
        text = data.decode(encoding)
        # UTF-8 has one encoding of each text; others may not
        if encoding in ("utf-8", "UTF-8") or text.encode(encoding) == data:
            return text
    except (LookupError, UnicodeError):
        pass
    raise DocumentError(f"the encoding {encoding} is not supported", "convert the document to UTF-8")


def _doctype_error() -> DocumentError:
    return DocumentError("the document has a DOCTYPE, which no domain has", "remove the DOCTYPE")


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
