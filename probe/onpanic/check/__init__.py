"""Whether a QEMU build is fit to be shipped: findings, as a distribution's CI needs them.

::

    from onpanic.check import findings_of
    from onpanic.probe import probe

    for finding in findings_of(probe("qemu-system-x86_64", all_machines=True)):
        print(finding.severity, finding.tag, finding.machines, finding.evidence)

`findings` and `baseline` turn a record into findings, `expectations` takes out those that are
expected, `report` has the result, and `formats` print it.
"""

from onpanic.check.baseline import changes
from onpanic.check.expectations import Expectation, Expected, parsed
from onpanic.check.findings import Asked, Finding, findings_of
from onpanic.check.report import Report, exit_status, report_of, with_stale_entries
from onpanic.check.tags import SEVERITIES, TAGS, Severity, Tag
from onpanic.core.errors import ExpectationError

__all__ = (  # noqa: RUF022
    # Most to least important
    "findings_of",
    "report_of",
    "with_stale_entries",
    "changes",
    "exit_status",
    "parsed",
    "Asked",
    "Finding",
    "Report",
    "Expectation",
    "Expected",
    "Tag",
    "Severity",
    "SEVERITIES",
    "TAGS",
    # Exceptions
    "ExpectationError",
)
