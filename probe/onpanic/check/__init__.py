"""Is this QEMU fit to be shipped?  Findings, as a distribution's CI wants them.

::

    from onpanic.check import findings_of
    from onpanic.probe import probe

    for finding in findings_of(probe("qemu-system-x86_64", all_machines=True)):
        print(finding.severity, finding.tag, finding.machines, finding.evidence)

Data flows from a record through `findings`, `baseline` and `expectations` to a `report`,
and from there through one of the `formats` to whoever reads it.
"""

from .baseline import changes
from .expectations import Expectation, ExpectationError, Expected, parsed
from .findings import Asked, Finding, findings_of
from .report import Report, exit_status, report_of, with_stale_entries
from .tags import SEVERITIES, TAGS, Severity, Tag

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
