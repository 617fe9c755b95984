"""The formats of ``--format``: for each a pure function from reports to text."""

from collections.abc import Callable, Sequence

from onpanic.check.formats import json, junit, tap, text, tmt
from onpanic.check.report import Report
from onpanic.check.tags import Severity

__all__ = ("FORMATS", "Format")

#: Takes reports, and the severity from which a finding fails; returns what is printed.
Format = Callable[[Sequence[Report], Severity], str]

#: Formats by the values of ``--format``.
FORMATS: dict[str, Format] = {
    "text": text.printed,
    "json": json.printed,
    "junit": junit.printed,
    "tap": tap.printed,
    "tmt": tmt.printed,
}
