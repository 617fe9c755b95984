"""What the site makes of the index: doors, and tables of contents. No list of pages is written twice."""

import re

__all__ = ("index_with_contents",)

_SECTION = re.compile(r"^## (.*)$", re.MULTILINE)
_ITEM = re.compile(r"^\* \[[^\]]*\]\(([^)#\s]+)\.md\)", re.MULTILINE)
_FIRST_PARAGRAPH = re.compile(r"\s*([^*\s].*?)\n\n", re.DOTALL)
#: A section that is about the project, and no door to its documentation.
_NO_DOOR = "Project"
#: Sphinx's own page of options and names, in the section that readers look things up in.
_FURTHER = {"Reference": ["genindex"]}


def index_with_contents(text: str) -> str:
    """Return the index with links to its sections, and a table of contents for each that lists pages.

    :param text: The index, with the links of the site.
    """
    start, *rest = _SECTION.split(text)
    sections = [(head, body) for head, body in zip(rest[::2], rest[1::2], strict=True) if _ITEM.search(body)]
    doors = "".join(_door(head, body) for head, body in sections if head != _NO_DOOR)
    tables = "".join(_table(head, _ITEM.findall(body)) for head, body in sections)
    head = f"---\nhide-toc: true\n---\n\n{start}```{{container}} doors\n\n{doors}```\n\n"
    return f"{head}{text.removeprefix(start)}{tables}"


def _door(head: str, body: str) -> str:
    anchor = re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-")
    sentence = _FIRST_PARAGRAPH.match(body)
    return f"* [{head}](#{anchor})\n\n  {' '.join(sentence[1].split()) if sentence else ''}\n"


def _table(head: str, pages: list[str]) -> str:
    names = "\n".join([*pages, *_FURTHER.get(head, [])])
    return f"\n```{{toctree}}\n:hidden:\n:caption: {head}\n\n{names}\n```\n"
