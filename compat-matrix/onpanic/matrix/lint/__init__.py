"""What no sound matrix has: one rule a file, each with what it looks for and a function.

A rule looks at the matrix, or at one record with its name.  Adding a rule is adding a file
and naming it here.
"""

from collections.abc import Callable, Iterator

import msgspec

from onpanic.probe.record import CapabilityRecord

from ..model import Matrix
from . import (
    alias_names_another_machine,
    contradictory_records,
    decision_without_facts,
    doubled_machine,
    misnamed_record,
    overlapping_ranges,
    weaker_evidence,
)

__all__ = ("MATRIX_RULES", "RECORD_RULES", "Problem", "lint_matrix", "lint_record")


class Problem(msgspec.Struct, frozen=True, order=True):
    """Something that a rule found.

    :param rule: The rule's name.
    :param where: Names of the records.
    :param what: What is wrong, in one line.
    """

    rule: str
    where: str
    what: str


#: Rules about one record: its name and the record in, what is wrong out.
RECORD_RULES: dict[str, Callable[[str, CapabilityRecord], Iterator[str]]] = {
    "alias-names-another-machine": alias_names_another_machine.check,
    "decision-without-facts": decision_without_facts.check,
    "doubled-machine": doubled_machine.check,
    "misnamed-record": misnamed_record.check,
}

#: Rules about the whole: names of records with what is wrong.
MATRIX_RULES: dict[str, Callable[[Matrix], Iterator[tuple[str, str]]]] = {
    "contradictory-records": contradictory_records.check,
    "overlapping-ranges": overlapping_ranges.check,
    "weaker-evidence": weaker_evidence.check,
}


def lint_record(name: str, record: CapabilityRecord) -> list[Problem]:
    """Return what is wrong with one record."""
    return [Problem(rule, name, what) for rule, check in RECORD_RULES.items() for what in check(name, record)]


def lint_matrix(matrix: Matrix) -> list[Problem]:
    """Return what is wrong with records beside each other, in order."""
    found = {Problem(rule, *pair) for rule, check in MATRIX_RULES.items() for pair in check(matrix)}
    return sorted(found)
