"""Options in the index of the site, so that the search leads to the command that has them.

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

_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_EVERYWHERE = {"--help"}


def setup(app: Sphinx) -> dict[str, Any]:
    """Add an entry for each option that the page of a command describes."""
    app.add_transform(_Options)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class _Options(SphinxTransform):
    default_priority = 800  # before entries are collected

    def apply(self, **_options: Any) -> None:
        if not self.env.docname.startswith(f"{COMMANDS.parent}/"):
            return
        for term in list(self.document.findall(nodes.term)):
            for option in sorted(set(_OPTION.findall(term.astext())) - _EVERYWHERE):
                target = _id(term, option) or self.document.set_id(term)
                entry = ("single", option, target, "main", None)
                term.insert(0, addnodes.index(entries=[entry]))


def _id(term: nodes.term, option: str) -> str | None:
    """Return the name that a link to the option has, where the page has one."""
    elements = [term, *term.findall(nodes.inline)]
    return next((one["ids"][0] for one in elements if one["ids"] and option in one.astext()), None)
