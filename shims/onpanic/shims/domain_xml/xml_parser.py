"""Parsing XML safely: no DTD and so no entities, no network, a limited length, 256 levels of elements."""

from functools import cache

from lxml import etree

from onpanic.core.errors import DocumentError
from onpanic.shims.domain_xml.elements import Element

__all__ = ("LIMIT", "check_length", "decoded", "encoded", "parse_document", "parse_xml")

#: Bytes; libvirt's remote protocol accepts no longer string (its ``REMOTE_STRING_MAX``).
LIMIT = 4 * 2**20

_HINT = "it must be XML as virsh prints it"


def parse_document(data: bytes, encoding: str | None = None) -> Element:
    """Parse an XML document that must not have a DOCTYPE, and return its root element.

    :param data: What `encoded` returned.
    :param encoding: The document's encoding; None to use the one that it declares.
    :raise DocumentError: When the document is not well-formed, or has a DOCTYPE.
    """
    try:
        root = parse_xml(data, encoding)
    except DocumentError as error:
        raise (_doctype_error() if b"<!DOCTYPE" in data else error) from error.__cause__
    if root.getroottree().docinfo.internalDTD is not None:
        raise _doctype_error()
    return root


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


def encoded(source: str | bytes) -> bytes:
    """Return a document as bytes.

    :param source: The document; a string becomes UTF-8, whatever it declares.
    :raise DocumentError: When it cannot be XML.
    """
    try:
        data = source.encode("utf-8") if isinstance(source, str) else bytes(source)
    except UnicodeEncodeError as error:
        raise DocumentError(f"not XML: {error.reason}", _HINT) from error
    if b"\0" in data:
        raise DocumentError("not XML: it has NUL bytes (is it UTF-16? libvirt needs UTF-8)", _HINT)
    return data


def decoded(data: bytes, encoding: str) -> str:
    """Decode a document as libxml2 did, provided that encoding it again gives the same bytes.

    :raise DocumentError: When it does not, or Python lacks the encoding.
    """
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
