"""A domain's XML: reading it safely, and editing it so that the rest of the document stays as it was.

This is the only package that uses lxml.

:raise MissingExtraError: On import, when lxml is not installed.
"""

from onpanic.core.errors import MissingExtraError
from onpanic.core.untrusted import printable

try:
    import lxml.etree  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingExtraError("lxml", "xml") from error
except ImportError as error:  # installed, but built for another interpreter or libxml2
    raise MissingExtraError("lxml", "xml", printable(str(error), 200)) from error
