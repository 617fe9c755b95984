"""Documents are read safely, and an edit changes nothing else."""

from collections.abc import Callable
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from onpanic.core.errors import DocumentError
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.xml_parser import LIMIT

Operation = Literal["remove", "replace", "insert_before", "insert_after", "append"]

MARK = "<p:mark/>"


def edited(source: str | bytes, path: str, operation: Operation, xml: str = MARK) -> str | bytes:
    document = Document(source)
    element = document.root if path == "." else document.root.find(path)
    assert element is not None
    edit: Callable[..., None] = getattr(document, operation)
    edit(element, *([] if operation == "remove" else [xml]))
    return document.edited()


# Where an edit goes, and how it is laid out


@pytest.mark.parametrize(
    ("before", "operation", "after"),
    [
        ("<domain>\n  <a/>\n</domain>", "remove", "<domain>\n</domain>"),
        ("<domain>\n  <a/>\n</domain>", "replace", "<domain>\n  <b>\n    <c/>\n  </b>\n</domain>"),
        (
            "<domain>\n  <a/>\n</domain>",
            "insert_before",
            "<domain>\n  <b>\n    <c/>\n  </b>\n  <a/>\n</domain>",
        ),
        (
            "<domain>\n  <a/>\n</domain>",
            "insert_after",
            "<domain>\n  <a/>\n  <b>\n    <c/>\n  </b>\n</domain>",
        ),
        (
            "<domain>\n  <a/>\n</domain>",
            "append",
            "<domain>\n  <a>\n    <b>\n      <c/>\n    </b>\n  </a>\n</domain>",
        ),
        # Tabs, Windows, a parent with a space or attributes in its only tag, one that is empty
        (
            "<domain>\n\t<a/>\n</domain>",
            "insert_after",
            "<domain>\n\t<a/>\n\t<b>\n\t  <c/>\n\t</b>\n</domain>",
        ),
        ("<domain>\r\n <a/>\r\n</domain>", "remove", "<domain>\r\n</domain>"),
        (
            "<domain>\r\n <a/>\r\n</domain>",
            "replace",
            "<domain>\r\n <b>\r\n   <c/>\r\n </b>\r\n</domain>",
        ),
        (
            '<domain>\n<a x=">" />\n</domain>',
            "append",
            '<domain>\n<a x=">" >\n  <b>\n    <c/>\n  </b>\n</a>\n</domain>',
        ),
        (
            "<domain>\n<a></a>\n</domain>",
            "append",
            "<domain>\n<a>\n  <b>\n    <c/>\n  </b>\n</a>\n</domain>",
        ),
        (
            "<domain>\n<a>\n</a>\n</domain>",
            "append",
            "<domain>\n<a>\n  <b>\n    <c/>\n  </b>\n</a>\n</domain>",
        ),
        ("<domain>\r <a/>\r</domain>", "insert_after", "<domain>\r <a/>\r <b>\r   <c/>\r </b>\r</domain>"),
        # No line breaks
        ("<domain><a/></domain>", "remove", "<domain></domain>"),
        ("<domain><a/></domain>", "replace", "<domain><b><c/></b></domain>"),
        ("<domain><a/></domain>", "insert_before", "<domain><b><c/></b><a/></domain>"),
        ("<domain><a/></domain>", "insert_after", "<domain><a/><b><c/></b></domain>"),
        ("<domain><a/></domain>", "append", "<domain><a><b><c/></b></a></domain>"),
        # Not alone on its line
        ("<domain>\n  <a/> <!-- why -->\n</domain>", "remove", "<domain>\n   <!-- why -->\n</domain>"),
        ("<domain>\n\u00a0<a/>\n</domain>", "remove", "<domain>\n\u00a0\n</domain>"),
        ("<domain>\n  <x/><a/>\n</domain>", "remove", "<domain>\n  <x/>\n</domain>"),
        ("<domain>\n  <x/><a/>\n</domain>", "insert_after", "<domain>\n  <x/><a/><b><c/></b>\n</domain>"),
    ],
)
def test_an_edit_is_laid_out_like_its_place(before: str, operation: Operation, after: str) -> None:
    xml = "<b>\n  <c/>\n</b>"
    assert edited(before, "a", operation, xml) == after
    assert edited(before.encode(), "a", operation, xml) == after.encode()


@pytest.mark.parametrize(
    "decoy",
    [
        "<!-- <a/> -->",
        "<!-- <![CDATA[ --><!-- ]]> -->",
        "<![CDATA[<a></a>]]>",
        "<![CDATA[<!--]]>",
        "<?pi <a/>?>",
        "<?a?>",
        "<x y='&lt;a/>' z=\"'/>\"/>",
        "<x>\n<a1/><a-a/><a.b/><a:a xmlns:a='urn:a'/></x>",
        "<x xmlns='urn:x'><y/></x>",
        "<a\u1680/>",  # a letter to XML, though white space elsewhere
        "&#60;a/&#62;",
        "]]&gt; > ' \"",
    ],
)
@pytest.mark.parametrize("tag", ["<a/>", "<a\n/>", "<a b='/>'>c</a >", "<a><a/><a></a></a>"])
def test_what_only_looks_like_the_element_is_left_alone(decoy: str, tag: str) -> None:
    text = f"<!-- <a/> --><?a <a/>?><domain>{decoy}{tag}{decoy}</domain><!-- <a/> -->"
    assert edited(text, "a", "replace") == text.replace(f"{decoy}{tag}{decoy}", f"{decoy}{MARK}{decoy}")


def test_the_same_name_in_another_namespace_is_another_element() -> None:
    """The namespace may be declared with a prefix or as the default."""
    text = "<domain xmlns:p='urn:p'><p:a/><x xmlns='urn:p'><a/></x><a>1</a><p:a>2</p:a></domain>"
    assert edited(text, "a", "remove") == text.replace("<a>1</a>", "")
    assert edited(text, "{urn:p}a", "remove") == text.replace("<p:a/>", "")
    assert edited(text, ".//{urn:p}x/{urn:p}a", "remove") == text.replace("<a/>", "")


def test_several_edits_are_all_made() -> None:
    document = Document("<domain>\n  <a/>\n  <b/>\n</domain>\n")
    a, b = document.root
    document.append(document.root, "<z/>")
    document.remove(b)
    document.insert_after(a, "<y/>")
    document.insert_before(a, "<x/>")
    assert document.edited() == "<domain>\n  <x/>\n  <a/>\n  <y/>\n  <z/>\n</domain>\n"


def test_without_an_edit_it_is_the_source_itself() -> None:
    source = b"<domain >\r <a  b = '1'/></domain  >"
    document = Document(source)
    document.replace(document.root[0], "<a  b = '1'/>")
    assert document.edited() is source


# Any document

DECOYS = st.sampled_from(
    [
        *("", "", " ", "\n  ", "\r\n\t", "\r", "text", "é > \"'", "&lt;a/&gt;", "\u00a0\n"),
        *("<!-- <a> -->", "<![CDATA[</a><a>]]>", "<?pi <a> ?>", "<?a?>", "<!--'-->", '<![CDATA["]]>'),
    ]
)
NAMES = st.sampled_from(["a", "a", "p:a", "b", "ab", "a.b"])
ATTRIBUTES = st.sampled_from(
    ["", "", " ", " a='1'", " x='&lt;a/>'", '\n\tx = "\'>"', " p:a='/>'", " xmlns='urn:q'", " xmlns=''"]
)


@st.composite
def element(draw: st.DrawFn, inside: st.SearchStrategy[str]) -> str:
    name, attributes = draw(NAMES), draw(ATTRIBUTES)
    if draw(st.booleans()):
        return f"<{name}{attributes}/>"
    parts = draw(st.lists(st.one_of(DECOYS, inside), max_size=4))
    return f"<{name}{attributes}>{''.join(parts)}</{name}{draw(st.sampled_from(['', ' ']))}>"


@st.composite
def documents(draw: st.DrawFn) -> str:
    elements = st.recursive(element(st.just("")), element, max_leaves=6)
    parts = draw(st.lists(st.one_of(DECOYS, elements), max_size=5))
    head = draw(st.sampled_from(["", "<?xml version='1.0'?>\n", "<!-- <a/> -->", "<?a <a/>?>\r\n"]))
    tail = draw(st.sampled_from(["", "\n", "\r\n<!-- <a/> -->", "<?a <a/>?>"]))
    return f"{head}<domain xmlns:p='urn:p'>{''.join(parts)}<a/></domain>{tail}"


def shape(root: etree._Element) -> str:
    """Return a document without white space and comments, in canonical form.

    A comment after an element on the same line belongs to it, so an insertion goes behind the comment.
    """
    etree.strip_tags(root, etree.Comment, etree.ProcessingInstruction)
    return "".join(etree.tostring(root, method="c14n").decode().split())


@given(
    documents(),
    st.integers(0),
    st.sampled_from(["remove", "replace", "insert_before", "insert_after", "append"]),
)
def test_an_edit_of_the_text_is_that_edit_of_the_tree(text: str, number: int, operation: Operation) -> None:
    """An edit of the text is the same edit of the tree, and changes nothing on either side of it."""
    document = Document(text)
    places = [found for found in document.root.iter(etree.Element) if found is not document.root]
    number %= len(places)
    getattr(document, operation)(places[number], *([] if operation == "remove" else [MARK]))
    result = document.edited()
    assert isinstance(result, str)
    root = etree.fromstring(text.encode())
    _edit_tree([found for found in root.iter(etree.Element) if found is not root][number], operation)
    wanted = shape(root)
    if operation == "remove":
        wanted = wanted.replace("<p:mark></p:mark>", "")
    assert shape(etree.fromstring(result.encode())) == wanted
    before, mark, after = result.partition(MARK)
    if mark and not (operation == "append" and document.span(places[number]).self_closing):
        assert text.startswith(before.rstrip())
        assert text.endswith(after.lstrip())


def _edit_tree(place: etree._Element, operation: Operation) -> None:
    mark = etree.Element("{urn:p}mark", nsmap={"p": "urn:p"})
    if operation == "insert_before":
        place.addprevious(mark)
    elif operation == "insert_after":
        place.addnext(mark)
        mark.tail, place.tail = place.tail, None
    elif operation == "append":
        place.append(mark)
    else:
        place.addprevious(mark)
        mark.tail = place.tail
        parent = place.getparent()
        assert parent is not None
        parent.remove(place)


@given(documents(), st.integers(0), st.sampled_from(["insert_before", "insert_after", "append"]))
def test_an_insertion_can_be_undone_exactly(text: str, number: int, operation: Operation) -> None:
    """Removing what was inserted restores every byte of any document."""
    document = Document(text)
    places = [found for found in document.root.iter(etree.Element) if found is not document.root]
    place = places[number % len(places)]
    content = document.content_of(place)
    getattr(document, operation)(place, "<p:mark>\n  <p:x/>\n</p:mark>")
    changed = Document(document.edited())
    mark = next(changed.root.iter("{urn:p}mark"))
    parent = mark.getparent()
    assert parent is not None
    if operation == "append" and not content:
        changed.clear(parent, self_closing=content is None)
    else:
        changed.remove(mark, inserted=True)
    assert changed.edited() == text


# Encodings


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ("", "utf-8"),
        ("", "utf-8-sig"),
        ("<?xml version='1.0' encoding='UTF-8'?>\n", "utf-8"),
        ("<?xml version='1.0' encoding='utf-8'?>\n", "utf-8-sig"),
        ("<?xml version='1.0' encoding='ISO-8859-1'?>\n", "latin-1"),
        ("<?xml version='1.0' encoding='windows-1252'?>\n", "cp1252"),
        ("<?xml version='1.0' encoding='koi8-r'?>\n", "koi8-r"),
        ("<?xml version='1.0' encoding='GB18030'?>\n", "gb18030"),
        ("<?xml version='1.0' encoding='Shift_JIS'?>\n", "shift_jis"),
    ],
)
def test_bytes_stay_in_their_encoding(head: str, encoding: str) -> None:
    letter = {"koi8-r": "ы", "shift_jis": "ソ", "gb18030": "\U0001f600"}.get(encoding, "é")
    text = f"{head}<domain><title>{letter}</title>{{}}</domain>"
    source = text.format("<a/>").encode(encoding)
    assert edited(source, "a", "replace") == text.format(MARK).encode(encoding)


def test_what_the_encoding_lacks_is_written_as_a_reference() -> None:
    source = "<?xml version='1.0' encoding='ISO-8859-1'?><domain>\u00e9<a/></domain>".encode("latin-1")
    result = edited(source, "a", "replace", "<b>\u20ac</b>")
    assert result == source.replace(b"<a/>", b"<b>&#8364;</b>")


def test_text_is_text_whatever_encoding_it_declares() -> None:
    text = "<?xml version='1.0' encoding='{}'?><domain>\u20ac{}</domain>"
    for declared in ("ISO-8859-1", "UTF-16", "us-ascii"):
        assert edited(text.format(declared, "<a/>"), "a", "replace") == text.format(declared, MARK)


# What is not read


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("", "not well-formed"),
        (b"", "not well-formed"),
        ("   \n", "not well-formed"),
        ("virsh: no such domain", "not well-formed"),
        ("<domain>", "not well-formed"),
        ("<domain/>x", "not well-formed"),
        ("<domain>&nbsp;</domain>", "not well-formed"),
        ("<p:domain/>", "not well-formed"),
        (b"<domain>\xff</domain>", "not well-formed"),
        ("<domain>\x01</domain>", "not well-formed"),
        ("<domain>\udc80</domain>", "not XML"),
        ("<domain>\0</domain>", "NUL"),
        ("<domain/>".encode("utf-16"), "UTF-16"),
        (b"<?xml version='1.0' encoding='UTF-16'?><domain/>", "not well-formed"),
        (b"<?xml version='1.0' encoding='klingon'?><domain/>", "ncoding"),
        (b"<?xml version='1.0' encoding='us-ascii'?><domain>\xc3\xa9</domain>", "not well-formed"),
        ("<network/>", "<network>, not <domain>"),
        ("<domain xmlns='urn:x'/>", "not <domain>"),
        ("<!DOCTYPE domain><domain/>", "DOCTYPE"),
        ("<!DOCTYPE domain SYSTEM 'file:///etc/passwd'><domain/>", "DOCTYPE"),
        ("<!DOCTYPE domain [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain>&x;</domain>", "DOCTYPE"),
        ("<!DOCTYPE d [<!ENTITY % x SYSTEM 'http://localhost:9/'> %x;]><domain/>", "DOCTYPE"),
        ("<!DOCTYPE domain [<!ATTLIST domain type CDATA 'kvm'>]><domain/>", "DOCTYPE"),
        ("<domain>" + "<a>" * 100_000 + "</a>" * 100_000 + "</domain>", "depth"),
        ("<domain>" + " " * LIMIT + "</domain>", "longer than 4 MiB"),
    ],
    ids=lambda value: repr(value[:40]),
)
def test_what_is_no_domain_is_an_error_with_a_hint(source: str | bytes, said: str) -> None:
    with pytest.raises(DocumentError, match=said) as caught:
        Document(source)
    assert caught.value.hint
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("character", ["x", "\u00e9", "\u20ac", "\U0001f600"])
def test_the_limit_counts_the_bytes_of_utf_8(character: str) -> None:
    """The limit is libvirt's REMOTE_STRING_MAX; a document of exactly that length is read."""
    room = LIMIT - len("<domain></domain>")
    size = len(character.encode())
    text = character * (room // size) + "x" * (room % size)
    longest = f"<domain>{text}</domain>"
    assert len(longest.encode()) == LIMIT
    for source in (longest, longest.encode()):
        assert Document(source).edited() is source
    for source in (longest + "\n", longest.encode() + b"\n"):
        with pytest.raises(DocumentError, match="longer than 4 MiB"):
            Document(source)


def test_an_edit_that_makes_a_document_too_long_is_an_error() -> None:
    """libvirt would refuse the result."""
    longest = "<domain><a/>{}</domain>".format("x" * (LIMIT - len("<domain><a/></domain>")))
    for source in (longest, longest.encode()):
        document = Document(source)
        document.replace(document.root[0], "<abc/>")
        with pytest.raises(DocumentError, match="longer than 4 MiB"):
            document.edited()


@pytest.mark.parametrize("place", ["<domain>{}</domain>", "<domain x='{}'/>"])
def test_entities_never_grow(place: str) -> None:
    entities = "".join(f"<!ENTITY e{n} '{f'&e{n - 1};' * 10}'>" for n in range(1, 12))
    with pytest.raises(DocumentError):
        Document(f"<!DOCTYPE domain [<!ENTITY e0 'ha'>{entities}]>{place.format('&e11;')}")


@given(st.one_of(st.binary(), st.text(), documents().map(lambda text: text[: len(text) // 2])))
def test_nonsense_is_an_error_and_nothing_else(source: str | bytes) -> None:
    with pytest.raises(DocumentError):
        Document(source)


def test_an_element_that_ends_on_a_line_of_its_own() -> None:
    """What is inserted beside it is indented like its start tag, not like its end tag."""
    document = Document("<domain>\n  <devices><disk>\n</disk></devices>\n</domain>")
    document.append(document.root, "<a/>")
    assert document.edited() == "<domain>\n  <devices><disk>\n</disk></devices>\n  <a/>\n</domain>"


def test_time_grows_with_the_length_only() -> None:
    """Finding the end of an element with 100,000 nested ones of the same name takes linear time."""
    inside = "<metadata/>" * 100_000
    document = Document(f"<domain><metadata>{inside}</metadata></domain>")
    assert document.span(document.root[0]).end == len(document.text) - len("</domain>")
