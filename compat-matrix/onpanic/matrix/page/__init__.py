"""The matrix as ``index.html``: one file that needs no network and no other file.

The page carries the matrix as it is, as JSON, and draws what is looked at: a page with every
cell in its HTML would be a hundred times as large.  Considered and left: a framework (there are
three tables), and ES modules (a page that works from a file cannot load a second one), so that
the scripts are put one behind the other, in the order of `_SCRIPTS`.

Emulators have a say in what is in a matrix.  Their words are text everywhere: nothing in the
JSON can end its element, the scripts make elements and never HTML, and the page allows no other
style or script than its own, and no connection at all.
"""

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

import msgspec

from onpanic.probe.catalogue import CATALOGUE
from onpanic.probe.decision import ON_PANIC

from ..model import Matrix

__all__ = ("page",)

# Each knows those before it
_SCRIPTS = (
    "data.js",
    "address.js",
    "answers.js",
    "views.js",
    "table.js",
    "summary.js",
    "panel.js",
    "main.js",
)

# What HTML, or an old JavaScript, would see in a string of JSON
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def page(matrix: Matrix) -> str:
    """Return the page.  The same matrix gives the same page."""
    from jinja2 import Environment, StrictUndefined  # dear to load
    from markupsafe import Markup

    style = _text("page.css")
    script = f'(() => {{\n"use strict";\n{"".join(map(_text, _SCRIPTS))}}})();\n'
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(_text("page.html.j2")).render(
        style=Markup(style),  # noqa: S704  the files beside this one
        script=Markup(script),  # noqa: S704
        data=Markup(_json(matrix)),  # noqa: S704  escaped there
        style_hash=_hash(style),
        script_hash=_hash(script),
        builds=len(matrix.builds),
        machines=sum(len(build.machines) for build in matrix.builds),
    )


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _json(matrix: Matrix) -> str:
    """Return what the scripts read, as JSON that HTML sees nothing in."""
    codes = sorted({code for profile in matrix.profiles for code in profile.refused.values()})
    data = {
        "matrix": matrix,
        "policies": ON_PANIC,
        "reasons": {code: CATALOGUE[code].reason for code in codes if code in CATALOGUE},
    }
    text = msgspec.json.encode(data).decode()
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text


def _hash(text: str) -> str:
    """Return what a content security policy knows an inline element by."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
