"""Steps down lxml's tree, which its own ``find`` takes ten times as long for."""

from collections.abc import Iterator

from lxml import etree

__all__ = ("child", "children", "local_name", "text_of")


def children(element: etree._Element, first: str, *rest: str) -> Iterator[etree._Element]:
    """Yield the elements at the end of a path of tags."""
    if not rest:
        yield from element.iterchildren(first)
        return
    for found in element.iterchildren(first):
        yield from children(found, *rest)


def child(element: etree._Element, *path: str) -> etree._Element | None:
    """Return the first element at the end of a path of tags, None if there is none."""
    return next(element.iterchildren(path[0]) if len(path) == 1 else children(element, *path), None)


def text_of(element: etree._Element | None) -> str:
    """Return an element's own text, comments left out, stripped; empty if there is no element."""
    if element is None:
        return ""
    return ((element.text or "") + "".join(inner.tail or "" for inner in element)).strip()


def local_name(element: etree._Element) -> str:
    """Return an element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]
