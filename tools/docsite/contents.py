"""The tables of contents, from the index: no list of pages is written twice."""

import re

__all__ = ("index_with_contents",)

_SECTION = re.compile(r"^## (.*)$", re.MULTILINE)
_ITEM = re.compile(r"^\* \[[^\]]*\]\(([^)#\s]+)\.md\)", re.MULTILINE)


def index_with_contents(text: str) -> str:
    """Return the index with a table of contents for each section that lists pages.

    :param text: The index, with the links of the site.
    """
    heads = _SECTION.split(text)
    tables = [
        f"\n```{{toctree}}\n:hidden:\n:caption: {head}\n\n" + "\n".join(items) + "\n```\n"
        for head, body in zip(heads[1::2], heads[2::2], strict=True)
        if (items := _ITEM.findall(body))
    ]
    return text + "".join(tables)
