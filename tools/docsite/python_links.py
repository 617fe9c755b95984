"""Links between the public Python packages, and signatures as a reader of them needs them.

This is an extension of Sphinx.
"""

from functools import cache
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

from docsite.api_pages import public_names
from docsite.schema_pages import type_pages

__all__ = ("setup",)


def setup(app: Sphinx) -> dict[str, bool]:
    """Link names that Sphinx does not find, and tidy up signatures and lists of parameters."""
    app.connect("missing-reference", _link)
    app.connect("autodoc-process-signature", _readable)
    app.connect("doctree-read", _with_dashes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


@cache
def _targets() -> dict[str, str]:
    """Return the full name of each public name."""
    return {name: f"{package}.{name}" for package, names in public_names().items() for name in names}


def _link(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """Return a link to a name of another package, to the owner of an attribute, or to a type's members."""
    if node.get("refdomain") != "py":
        return None
    parts = node["reftarget"].lstrip(".").split(".")
    for name in parts[:-3:-1]:
        found = env.domains.python_domain.objects.get(_targets().get(name, ""))
        if found and (name == parts[-1] or name[0].isupper()):
            return make_refnode(app.builder, node["refdoc"], found.docname, found.node_id, content)
    page, _, anchor = type_pages().get(parts[-1], "").partition(".md#")
    return make_refnode(app.builder, node["refdoc"], page, anchor, content) if page else None


def _with_dashes(_app: Sphinx, doctree: nodes.document) -> None:
    """Write the dash behind a parameter as what it is: `smartquotes` would do so, and change options, too."""
    for text in list(doctree.findall(nodes.Text)):
        if text == " -- ":
            text.parent.replace(text, nodes.Text(" \N{EN DASH} "))


def _readable(
    _app: Sphinx,
    _what: str,
    _name: str,
    _object: Any,
    _options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Return a signature with ``...`` for each default that a call makes; none for a protocol."""
    if signature == "(*args, **kwargs)":
        return None, returns
    return signature and signature.replace("<factory>", "..."), returns
