"""Results for Fedora's tmt, for a test with ``result: custom``.

The output is written to ``$TMT_TEST_DATA/results.yaml``; it is JSON, which is also YAML.
"""

from collections.abc import Sequence

import msgspec

from onpanic.check.formats.cases import test_points
from onpanic.check.report import Report
from onpanic.check.tags import Severity
from onpanic.core.untrusted import printable

__all__ = ("printed",)


def printed(reports: Sequence[Report], fail_on: Severity) -> str:
    """Return the reports as a list of results, one for each emulator and tag."""
    results = [
        {
            "name": f"{_path(report.name or report.emulator)}/{case.name}",
            "result": case.outcome,
            "note": list(case.notes),
        }
        for report in reports
        for case in test_points(report, fail_on)
    ]
    return msgspec.json.format(msgspec.json.encode(results), indent=2).decode() + "\n"


def _path(name: str) -> str:
    return "/" + printable(name).strip("/").replace(" ", "_")
