"""Options and codes in the search of the site: it leads first to what describes one.

This is an extension of Sphinx.
"""

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

from docsite.site_layout import COMMANDS

__all__ = ("setup",)

_OPTION = re.compile(r"; --?\w")
_CODES = "reference/codes"
_CODE = re.compile(r"[a-z]+(?:-[a-z0-9…]+)+")


def setup(app: Sphinx) -> dict[str, Any]:
    """Make the entries of options main ones, which the search has before pages with the word."""
    app.add_transform(_Options)
    app.add_transform(_Codes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class _Options(SphinxTransform):
    default_priority = 800  # before entries are collected

    def apply(self, **_options: Any) -> None:
        if self.env.docname.startswith(f"{COMMANDS.parent}/"):
            for node in self.document.findall(addnodes.index):
                node["entries"] = [
                    (kind, text, target, "main" if _OPTION.search(text) else main, key)
                    for kind, text, target, main, key in node["entries"]
                ]


class _Codes(SphinxTransform):
    default_priority = 800

    def apply(self, **_options: Any) -> None:
        """Enter each code; the search takes the parts of others for words, which many pages have."""
        if self.env.docname == _CODES:
            for section in list(self.document.findall(nodes.section)):
                code = section[0].astext()
                if _CODE.fullmatch(code):
                    entry = ("single", code, section["ids"][0], "main", None)
                    section.insert(1, addnodes.index(entries=[entry]))
