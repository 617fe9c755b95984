"""What the site makes of the index: links to its sections, and tables of contents of them."""

import re

__all__ = ("index_with_contents",)

_SECTION = re.compile(r"^## (.*)$", re.MULTILINE)
_ITEM = re.compile(r"^\* \[([^\]]*)\]\(([^)#\s]+)\.md\)", re.MULTILINE)
_FIRST_PARAGRAPH = re.compile(r"\s*([^*\s].*?)\n\n", re.DOTALL)
#: A section that is about the project, and not part of its documentation.
_NOT_LINKED = "Project"
#: Sphinx's own page of options and names, in the section that readers look things up in.
_FURTHER = {"Reference": ["genindex"]}


def index_with_contents(text: str) -> str:
    """Return the index with links to its sections, and a table of contents for each that lists pages.

    :param text: The index, with the links of the site.
    """
    start, *rest = _SECTION.split(text)
    sections = [(head, body) for head, body in zip(rest[::2], rest[1::2], strict=True) if _ITEM.search(body)]
    links = "".join(_link(head, body) for head, body in sections if head != _NOT_LINKED)
    tables = "".join(_table(head, _ITEM.findall(body)) for head, body in sections)
    head = f"---\nhide-toc: true\n---\n\n{start}```{{container}} section-links\n\n{links}```\n\n"
    return f"{head}{text.removeprefix(start)}{tables}"


def _link(head: str, body: str) -> str:
    anchor = re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-")
    sentence = _FIRST_PARAGRAPH.match(body)
    return f"* [{head}](#{anchor})\n\n  {' '.join(sentence[1].split()) if sentence else ''}\n"


def _table(head: str, pages: list[tuple[str, str]]) -> str:
    """Return the pages under the names that the index has for them, which are shorter than their titles."""
    names = "\n".join([*(f"{name} <{page}>" for name, page in pages), *_FURTHER.get(head, [])])
    return f"\n```{{toctree}}\n:hidden:\n:caption: {head}\n\n{names}\n```\n"
