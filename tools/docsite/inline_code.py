"""Names and options in a sentence or a table: where a line may end in them.

This is an extension of Sphinx, which writes each word of such a name into an element of its own.
"""

import re
from typing import Any

from sphinx.application import Sphinx

__all__ = ("setup",)

_OPTION = re.compile(r'<span class="pre">(?=-)')
#: The name of a test would make the other columns of its table narrow.
_LONG_NAME = re.compile(r'(?<=<span class="pre">)\w{25,}(?=</span>)')


def setup(app: Sphinx) -> dict[str, Any]:
    """Change the text of each page before it is written."""
    app.connect("html-page-context", _change)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _change(_app: Sphinx, _name: str, _template: str, context: dict[str, Any], _tree: object) -> None:
    """Keep each option on one line, whose dashes would end it, and let long names break at underscores."""
    if "body" in context:
        text = _OPTION.sub('<span class="pre option-name">', context["body"])
        context["body"] = _LONG_NAME.sub(lambda found: found[0].replace("_", "_<wbr>"), text)
