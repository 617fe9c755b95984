"""Rules for records, and for records beside each other: what a correct matrix never contains.

`record_rules`   rules about one record
`libvirt_rules`  rules about one record of a libvirt
`matrix_rules`   rules about all of them

To add a rule, write a function there and add it to the table at the end of the module.
"""

import msgspec

from onpanic.matrix.libvirts.libvirt_record import LibvirtRecord
from onpanic.matrix.lint.libvirt_rules import LIBVIRT_RULES
from onpanic.matrix.lint.matrix_rules import MATRIX_RULES
from onpanic.matrix.lint.record_rules import RECORD_RULES
from onpanic.matrix.model.matrix import Matrix
from onpanic.probe.record.capability_record import CapabilityRecord

__all__ = (
    "LIBVIRT_RULES",
    "MATRIX_RULES",
    "RECORD_RULES",
    "Problem",
    "lint_libvirt",
    "lint_matrix",
    "lint_record",
)


class Problem(msgspec.Struct, frozen=True, order=True):
    """A violation of a rule.

    :param rule: The rule's name.
    :param where: Names of the records.
    :param what: What is wrong, in one line.
    """

    rule: str
    where: str
    what: str


def lint_record(name: str, record: CapabilityRecord) -> list[Problem]:
    """Return what is wrong with one record."""
    return [Problem(rule, name, what) for rule, check in RECORD_RULES.items() for what in check(name, record)]


def lint_libvirt(name: str, record: LibvirtRecord) -> list[Problem]:
    """Return what is wrong with one record of a libvirt."""
    return [
        Problem(rule, name, what) for rule, check in LIBVIRT_RULES.items() for what in check(name, record)
    ]


def lint_matrix(matrix: Matrix) -> list[Problem]:
    """Return what is wrong with records beside each other, sorted."""
    found = {Problem(rule, *pair) for rule, check in MATRIX_RULES.items() for pair in check(matrix)}
    return sorted(found)
