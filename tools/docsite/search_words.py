"""Options in the search of the site: it leads first to the command that has one.

This is an extension of Sphinx.
"""

import re
from typing import Any

from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

from docsite.site_layout import COMMANDS

__all__ = ("setup",)

_OPTION = re.compile(r"; --?\w")


def setup(app: Sphinx) -> dict[str, Any]:
    """Make the entries of options main ones, which the search has before pages with the word."""
    app.add_transform(_Options)
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
