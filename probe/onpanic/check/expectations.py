"""Expected findings, each with a reason: a small file that maintainers review.

::

    [[expect]]
    tag = "guest-visible-change"
    machines = ["pc-*", "q35"]
    evidence = "*0x03, and now 0x07"
    reason = "QEMU 9.1 offers GUEST_PVSHUTDOWN on every machine type; migration is not supported across it"

An entry with ``notifier = "pvpanic"`` is about that notifier only; without it, about any.

It is TOML, so that it can have comments.  An entry that matches nothing any more is itself a finding, so
that the file stays short.
"""

import tomllib
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

import msgspec

from onpanic.check.findings import Finding
from onpanic.check.tags import TAGS
from onpanic.core.errors import ExpectationError
from onpanic.probe.emulator.notifier_models import NOTIFIER_MODELS

__all__ = ("Expectation", "Expected", "parsed", "separated", "stale")


class Expectation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of the file.

    :param tag: The finding's tag.
    :param reason: Why it is accepted; for the next reviewer.
    :param machines: Shell patterns of machine types; None for any.
    :param evidence: A shell pattern of the finding's evidence, so that no other finding matches.
    :param emulator: A shell pattern of the emulator's command or name.
    :param notifier: A shell pattern of the notifier's model, which only findings about a notifier have.
    """

    tag: str
    reason: str
    machines: tuple[str, ...] | None = None
    evidence: str = "*"
    emulator: str = "*"
    notifier: str = "*"

    @property
    def patterns(self) -> tuple[str, ...]:
        """Shell patterns of machine types."""
        return ("*",) if self.machines is None else self.machines

    def fits(self, finding: Finding) -> bool:
        """Return whether a finding matches, whatever the machine type."""
        return (
            finding.tag == self.tag
            and fnmatchcase(finding.evidence, self.evidence)
            and fnmatchcase(finding.notifier, self.notifier)
        )

    def is_of(self, emulator: str, name: str) -> bool:
        """Return whether the entry is about an emulator, by its command or its name."""
        return fnmatchcase(emulator, self.emulator) or fnmatchcase(name, self.emulator)

    def was_judged(self, notifiers: Collection[str]) -> bool:
        """Return whether findings of this entry can be among those about some notifiers."""
        return self.notifier == "*" or any(fnmatchcase(model, self.notifier) for model in notifiers)


class Expected(msgspec.Struct, frozen=True):
    """A finding that was expected, with the reason that the file gives."""

    finding: Finding
    reason: str


class _ExpectationFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    expect: list[Expectation] = []


def parsed(text: str, name: str) -> tuple[Expectation, ...]:
    """Read an expectation file.

    :param text: The file's contents.
    :param name: The file's name, for errors.
    :raise ExpectationError: When it is not such a file, names an unknown tag, or gives no reason.
    """
    try:
        entries = msgspec.convert(tomllib.loads(text), _ExpectationFile).expect
    except (ValueError, msgspec.ValidationError, RecursionError) as error:  # ValueError: also of long numbers
        raise ExpectationError(
            f"{name}: not an expectation file: {error}", "it has [[expect]] entries with tag and reason"
        ) from error
    for entry in entries:
        if entry.tag not in TAGS:
            raise ExpectationError(f"{name}: no such tag: {entry.tag}", "onpanic explain lists them all")
        if entry.machines == ():
            raise ExpectationError(f"{name}: no machine types for {entry.tag}", "remove the entry")
        if not any(fnmatchcase(model, entry.notifier) for model in NOTIFIER_MODELS):
            known = ", ".join(NOTIFIER_MODELS)
            raise ExpectationError(f"{name}: no such notifier: {entry.notifier}", f"use one of {known}")
        if not entry.reason.strip():
            raise ExpectationError(f"{name}: no reason for {entry.tag}", "state why it is accepted")
    return tuple(entries)


def separated(
    findings: Sequence[Finding], expectations: Sequence[Expectation]
) -> tuple[list[Finding], list[Expected]]:
    """Separate findings into those that are not expected and those that are.

    Each machine type of a finding is expected or not by itself.

    :param expectations: The entries that are about the emulator.
    """
    left: list[Finding] = []
    expected: list[Expected] = []
    for finding in findings:
        machines: dict[str, Expectation] = {}
        for entry in expectations:
            for machine in finding.machines or ("",):
                if entry.fits(finding) and any(fnmatchcase(machine, p) for p in entry.patterns):
                    machines.setdefault(machine, entry)
        for entry in dict.fromkeys(machines.values()):
            names = tuple(machine for machine, by in machines.items() if by is entry and machine)
            expected.append(Expected(msgspec.structs.replace(finding, machines=names), entry.reason))
        rest = tuple(machine for machine in finding.machines if machine not in machines)
        if rest or not machines:
            left.append(msgspec.structs.replace(finding, machines=rest))
    return left, expected


def stale(
    entry: Expectation, findings: Sequence[Finding], machines: Collection[str], *, complete: bool
) -> list[Finding]:
    """Return a finding for each pattern of an entry that matches nothing any more.

    :param findings: What was found on the emulators that the entry is about.
    :param machines: The machine types that were checked.
    :param complete: Whether those are all; if not, a pattern that matches none of them is not reported.
    """
    found = [finding for finding in findings if entry.fits(finding)]
    on = {machine for finding in found for machine in finding.machines or ("",)}
    tag = TAGS["stale-expectation"]
    return [
        Finding(tag.code, tag.severity, (), _described(entry, pattern))
        for pattern in entry.patterns
        if not any(fnmatchcase(machine, pattern) for machine in on)
        and (complete or any(fnmatchcase(machine, pattern) for machine in machines))
    ]


def _described(entry: Expectation, pattern: str) -> str:
    of = f" of the {entry.notifier} notifier" if entry.notifier != "*" else ""
    where = f" on {pattern}" if entry.machines else ""
    return f"{entry.tag}{of}{where} is expected, and was not found"
