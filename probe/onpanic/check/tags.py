"""Every finding that a check can have: what it looks at, and how bad it is.

A tag's reason and remedy are in the catalogue of `onpanic.probe`, as those of every other
code: a finding that is also why a policy is refused has one explanation.  Adding a tag is
adding a line here, its words there, and a row to its test.

Rules written as methods of one class each were considered and left: all but three of
them ask if one fact has one answer, which a line of data says.
"""

from typing import Literal

import msgspec

from onpanic.probe.catalogue import CATALOGUE, Entry

__all__ = ("EVENT_MASKS", "SEVERITIES", "TAGS", "Answer", "Severity", "Tag")

Severity = Literal["error", "warning", "info"]
Answer = Literal["yes", "no", ""]

#: From worst to least; what ``--fail-on`` names.
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

#: The event bits that QEMU offers from a release on, as it was released: what a machine type that
#: is named after the release has to offer for ever, or guests see another device after a migration.
#: Observed on 4.2, 5.2, 7.2, 8.2, 10.0 and 11.1; machine types before 5.2 keep the first bit only.
EVENT_MASKS: tuple[tuple[tuple[int, int], int], ...] = (((9, 1), 0x07), ((5, 2), 0x03), ((0, 0), 0x01))


class Tag(msgspec.Struct, frozen=True):
    """A kind of finding.

    :param code: Its name, as in the catalogue.
    :param severity: How bad it is.
    :param fact: The fact that tells; empty for a tag with a rule of its own.
    :param answer: The fact's answer that makes it a finding.
    """

    code: str
    severity: Severity
    fact: str = ""
    answer: Answer = ""

    @property
    def entry(self) -> Entry:
        """The catalogue's words."""
        return CATALOGUE[self.code]


_TAGS = (
    Tag("builtin-panic-device", "error", "builtin-pvpanic", "yes"),
    Tag("cont-refused-after-panic", "error", "cont-after-panic", "no"),
    Tag("panic-not-reported", "error", "panic-reported", "no"),
    Tag("panic-does-not-stop-guest", "error", "panic-stops-guest", "no"),
    Tag("panic-device-missing", "warning", "pvpanic-attachable", "no"),
    Tag("panic-device-hidden-from-acpi", "warning", "acpi-exposes-pvpanic", "no"),
    # With a rule of their own
    Tag("probe-inconclusive", "error"),
    Tag("event-mask-differs-for-machine-type", "warning"),
    Tag("panic-action-not-settable", "info"),
    Tag("machine-type-does-not-start", "info"),  # an error where it was named, or is the default
    # Of an expectation file
    Tag("stale-expectation", "warning"),
    # Against an older build
    Tag("guest-visible-change", "error"),
    Tag("behaviour-lost", "error"),
    Tag("machine-type-gone", "warning"),
    Tag("machine-type-new", "info"),
    Tag("evidence-lost", "warning"),
    Tag("behaviour-gained", "info"),
)

#: Tags by code.
TAGS: dict[str, Tag] = {tag.code: tag for tag in _TAGS}
