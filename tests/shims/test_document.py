"""Reading is safe, and an edit changes nothing but what it is about."""

from collections.abc import Callable
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from onpanic.shims.document import LIMIT, Document
from onpanic.shims.errors import DocumentError

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
            '<domain>\n<a x=">">\n  <b>\n    <c/>\n  </b>\n</a>\n</domain>',
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
    """Be it by a prefix, or by a default namespace."""
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
    """Return a document without differences of spelling and white space.

    What stands behind an element on its line belongs to it, so comments are left out.
    """
    etree.strip_tags(root, etree.Comment, etree.ProcessingInstruction)
    return "".join(etree.tostring(root, method="c14n").decode().split())


@given(
    documents(),
    st.integers(0),
    st.sampled_from(["remove", "replace", "insert_before", "insert_after", "append"]),
)
def test_an_edit_of_the_text_is_that_edit_of_the_tree(text: str, number: int, operation: Operation) -> None:
    """Whatever the document looks like; and both sides of the edit are as they were, but for white space."""
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
    if mark and not (operation == "append" and document.span(places[number]).single):
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
        ("<domain/><domain/>", "not well-formed"),
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
    """What is added beside it has its margin, not that of its end."""
    document = Document("<domain>\n  <devices><disk>\n</disk></devices>\n</domain>")
    document.append(document.root, "<a/>")
    assert document.edited() == "<domain>\n  <devices><disk>\n</disk></devices>\n  <a/>\n</domain>"


def test_time_grows_with_the_length_only() -> None:
    """A hundred thousand elements of its own name within one are no more work than as many others."""
    inside = "<metadata/>" * 100_000
    document = Document(f"<domain><metadata>{inside}</metadata></domain>")
    assert document.span(document.root[0]).end == len(document.text) - len("</domain>")
