"""Signatures over several lines, as elements that may be where they are.

This is an extension of Sphinx, which writes a list of definitions without terms into a term.
"""

import re
from typing import Any

from sphinx.application import Sphinx

__all__ = ("setup",)

#: Lists of definitions in the text of a page have a class.
_LINES = re.compile(r"<dl>\n((?:<dd>.*?</dd>\n)+)</dl>", re.DOTALL)


def setup(app: Sphinx) -> dict[str, Any]:
    """Change the text of each page before it is written."""
    app.connect("html-page-context", _change)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _change(_app: Sphinx, _name: str, _template: str, context: dict[str, Any], _tree: object) -> None:
    if "body" in context:
        context["body"] = _LINES.sub(lambda found: _lines(found[1]), context["body"])


def _lines(items: str) -> str:
    return items.replace("<dd>", '<span class="sig-line">').replace("</dd>\n", "</span>\n").rstrip("\n")
