"""The tree in the sidebar.

This is an extension of Sphinx.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from sphinx.application import Sphinx

from docsite.site_layout import FILES

__all__ = ("setup",)


def setup(app: Sphinx) -> dict[str, Any]:
    """Make the tree before the theme takes it."""
    app.connect("html-page-context", _Trees().use, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class _Trees:
    """Makes trees.

    Pages of files at one depth share theirs: none of them is in it, and making one takes longer than a page.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int, str], str] = {}

    def use(self, _app: Sphinx, name: str, _template: str, context: dict[str, Any], _tree: object) -> None:
        make = partial(_accessible, context["toctree"])
        if name.startswith(f"{FILES}/"):
            make = partial(self._shared, name.count("/"), make)
        context["toctree"] = make

    def _shared(self, depth: int, make: Callable[..., str], **options: object) -> str:
        key = (depth, repr(options))
        if key not in self._kept:
            self._kept[key] = make(**options)
        return self._kept[key]


def _accessible(make: Callable[..., str], **options: object) -> str:
    """Return a tree whose captions say of which level they are; Sphinx says only that they are headings."""
    return make(**options).replace(' role="heading">', ' role="heading" aria-level="2">')
