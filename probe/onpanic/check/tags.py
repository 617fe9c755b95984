"""Every tag that a finding can have, with its severity.

The reason and the remedy of a tag are in the catalogue of `onpanic.probe`, like those of every other
code.  A tag that is also the refusal of a policy has one explanation for both.  A fact that a decision
requires needs no entry here: its tag is the refusal, with severity ``error``.

One class with a method for each rule was considered and rejected: most rules compare one fact with
one answer.
"""

from typing import Literal

import msgspec

from onpanic.probe.decision.catalogue import CATALOGUE, Explanation
from onpanic.probe.facts import QUESTIONS

__all__ = ("EVENT_MASKS", "SEVERITIES", "TAGS", "Severity", "Tag")

#: How severe a finding is.
Severity = Literal["error", "warning", "info"]

#: From most to least severe; the values of ``--fail-on``.
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

#: The event bits that QEMU's releases offer, from a release on.  A machine type that is named after a
#: release must offer the same bits in all later releases, or guests see another device after a migration.
#: Observed on 4.2, 5.2, 7.2, 8.2, 10.0 and 11.1; machine types before 5.2 keep the first bit only.
EVENT_MASKS: tuple[tuple[tuple[int, int], int], ...] = (((9, 1), 0x07), ((5, 2), 0x03), ((0, 0), 0x01))


class Tag(msgspec.Struct, frozen=True):
    """A kind of finding.

    :param code: Its name, as in the catalogue.
    :param severity: How severe such a finding is, unless a rule says otherwise.
    """

    code: str
    severity: Severity

    @property
    def entry(self) -> Explanation:
        """The entry of the catalogue."""
        return CATALOGUE[self.code]


_TAGS = (
    # A fact does not have the answer that the decision requires
    Tag("builtin-panic-device", "error"),
    Tag("cont-refused-after-panic", "error"),
    Tag("panic-not-reported", "error"),
    Tag("panic-does-not-stop-guest", "error"),
    Tag("panic-ends-emulator", "error"),
    Tag("panic-device-missing", "warning"),
    # By rules of `findings`
    Tag("panic-device-hidden-from-acpi", "warning"),
    Tag("probe-inconclusive", "error"),
    Tag("event-mask-differs-for-machine-type", "warning"),
    Tag("panic-action-not-settable", "info"),
    Tag("machine-type-does-not-start", "info"),  # an error if the machine type was named, or is the default
    # By `expectations`
    Tag("stale-expectation", "warning"),
    # By `baseline`
    Tag("guest-visible-change", "error"),
    Tag("behaviour-lost", "error"),
    Tag("machine-type-gone", "warning"),
    Tag("machine-type-new", "info"),
    Tag("evidence-lost", "warning"),
    Tag("behaviour-gained", "info"),
)

_REFUSALS = [
    code
    for question in QUESTIONS
    if question.requires
    for code in (question.requires.refusal, *question.requires.refusals.values())
]

#: Tags by code.
TAGS: dict[str, Tag] = {tag.code: tag for tag in _TAGS}
TAGS |= {code: Tag(code, "error") for code in _REFUSALS if code not in TAGS}
