"""The matrix as ``index.html``: one file that needs no network and no other file.

The page contains the matrix as JSON, and its scripts draw what the reader looks at; with every cell in
its HTML it would be a hundred times larger.  The scripts are concatenated in the order of `_SCRIPTS`:
a page that is opened from a file cannot load ES modules.

Some texts in a matrix come from emulators, and are never interpreted: nothing in the JSON can end
its element, the scripts create elements and no HTML, and the page's content security policy allows
its own style and script only, and no connection.

Rejected: a framework, as there are five tables.
"""

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

import msgspec

from onpanic.core.errors import MissingExtraError
from onpanic.matrix.libvirts.libvirt_table import libvirt_table
from onpanic.matrix.model.matrix import DECIDED, Matrix
from onpanic.matrix.outputs.cells import VALUES
from onpanic.probe.decision.catalogue import CATALOGUE
from onpanic.probe.decision.policy import ON_PANIC

__all__ = ("page",)

# Each uses those before it
_SCRIPTS = (
    "data.js",
    "address.js",
    "answers.js",
    "views.js",
    "line.js",
    "libvirts.js",
    "table.js",
    "summary.js",
    "panel.js",
    "main.js",
)

# Characters that HTML, or JavaScript before ES2019, would interpret inside a JSON string
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def page(matrix: Matrix) -> str:
    """Return the page.  It is the same for the same matrix.

    :raise MissingExtraError: When jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined  # slow to import
        from markupsafe import Markup
    except ImportError as error:
        raise MissingExtraError("jinja2", "matrix") from error

    style = _text("page.css")
    script = f'(() => {{\n"use strict";\n{"".join(map(_text, _SCRIPTS))}}})();\n'
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(_text("page.html.j2")).render(
        style=Markup(style),  # noqa: S704  a file of this package
        script=Markup(script),  # noqa: S704  files of this package
        data=Markup(_json(matrix)),  # noqa: S704  escaped by _json
        style_hash=_hash(style),
        script_hash=_hash(script),
        builds=len(matrix.builds),
        machines=sum(len(build.machines) for build in matrix.builds),
    )


def _text(name: str) -> str:
    return files(__package__).joinpath("page", name).read_text("utf-8")


def _json(matrix: Matrix) -> str:
    """Return the scripts' input as JSON without characters that HTML interprets."""
    refused = [one.refused for one in matrix.profiles] + [one.refused for one in matrix.notifiers]
    codes = sorted({code for values in refused for code in values.values()})
    data = {
        "matrix": msgspec.structs.replace(matrix, libvirts={}),
        "libvirts": libvirt_table(matrix.libvirts),
        "policies": ON_PANIC,
        "values": VALUES,
        "decided": DECIDED,
        "reasons": {code: CATALOGUE[code].reason for code in codes if code in CATALOGUE},
    }
    text = msgspec.json.encode(data).decode()
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text


def _hash(text: str) -> str:
    """Return the source expression of an inline element for a content security policy."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
