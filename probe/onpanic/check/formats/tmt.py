"""Results for Fedora's tmt, of a test that says ``result: custom``.

What is printed is for ``$TMT_TEST_DATA/results.yaml``; JSON is YAML.
"""

from collections.abc import Sequence

import msgspec

from onpanic.check.report import Report
from onpanic.check.tags import Severity

from .cases import cases, names

__all__ = ("printed",)


def printed(reports: Sequence[Report], fail_on: Severity) -> str:
    """Return the reports as a list of results, one for each emulator and tag."""
    results = [
        {"name": f"{_path(name)}/{case.name}", "result": case.outcome, "note": list(case.notes)}
        for name, report in zip(names(reports), reports, strict=True)
        for case in cases(report, fail_on)
    ]
    return msgspec.json.format(msgspec.json.encode(results), indent=2).decode() + "\n"


def _path(name: str) -> str:
    return "/" + name.strip("/").replace(" ", "_")
