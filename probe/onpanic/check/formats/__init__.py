"""How reports are printed: a pure function from reports to text for each format."""

from collections.abc import Callable, Sequence

from onpanic.check.report import Report
from onpanic.check.tags import Severity

from . import json, junit, tap, text, tmt

__all__ = ("FORMATS", "Format")

#: Reports, and the severity from which on a finding fails, to what is printed.
Format = Callable[[Sequence[Report], Severity], str]

#: Formats by what ``--format`` calls them.
FORMATS: dict[str, Format] = {
    "text": text.printed,
    "json": json.printed,
    "junit": junit.printed,
    "tap": tap.printed,
    "tmt": tmt.printed,
}
