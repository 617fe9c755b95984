"""Findings that are known, and why they may be: a small reviewed file.

::

    [[expect]]
    tag = "guest-visible-change"
    machines = ["pc-*", "q35"]
    evidence = "*0x03, and now 0x07"
    reason = "QEMU 9.1 offers GUEST_PVSHUTDOWN on every machine type; migration is not supported across it"

TOML, as a maintainer reviews it and comments on it.  An entry that nothing answers to any
more is itself a finding, so that the file stays as short as it can be.
"""

import tomllib
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

import msgspec

from onpanic.probe.errors import OnpanicError

from .findings import Finding
from .tags import TAGS

__all__ = ("Expectation", "ExpectationError", "Expected", "parsed", "sorted_out", "stale")


class ExpectationError(OnpanicError, ValueError):
    """An expectation file is not one.

    For example::

        known.toml: no such tag: panic-devise-missing
    """


class Expectation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of the file.

    :param tag: The finding's tag.
    :param reason: Why it may be; for the next reviewer.
    :param machines: Names of machine types, as a shell matches them; without any, whatever
        the finding holds for.
    :param evidence: What was seen, as a shell matches it, so that nothing else is expected with it.
    :param emulator: The emulator's command or its name, as a shell matches it.
    """

    tag: str
    reason: str
    machines: tuple[str, ...] | None = None
    evidence: str = "*"
    emulator: str = "*"

    @property
    def patterns(self) -> tuple[str, ...]:
        """The names of machine types, as a shell matches them."""
        return ("*",) if self.machines is None else self.machines

    def fits(self, finding: Finding) -> bool:
        """Say if a finding is what it expects, on whatever machine type."""
        return finding.tag == self.tag and fnmatchcase(finding.evidence, self.evidence)

    def is_of(self, emulator: str, name: str) -> bool:
        """Say if it is about an emulator: by its command, or by its name."""
        return fnmatchcase(emulator, self.emulator) or fnmatchcase(name, self.emulator)


class Expected(msgspec.Struct, frozen=True):
    """A finding that was expected, with the reason that the file gives."""

    finding: Finding
    reason: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    expect: list[Expectation] = []


def parsed(text: str, name: str) -> tuple[Expectation, ...]:
    """Read an expectation file.

    :param text: What is in it.
    :param name: Its name, for errors.
    :raise ExpectationError: When it is no such file, names a tag that there is not, or gives no reason.
    """
    try:
        entries = msgspec.convert(tomllib.loads(text), _File).expect
    except (ValueError, RecursionError) as error:  # of tomllib, of msgspec, and of numbers too long
        raise ExpectationError(
            f"{name}: not an expectation file: {error}", "it has [[expect]] entries with tag and reason"
        ) from error
    for entry in entries:
        if entry.tag not in TAGS:
            raise ExpectationError(f"{name}: no such tag: {entry.tag}", "onpanic explain lists them all")
        if entry.machines == ():
            raise ExpectationError(f"{name}: no machine types for {entry.tag}", "take the entry out")
        if not entry.reason.strip():
            raise ExpectationError(f"{name}: no reason for {entry.tag}", "say why it may be")
    return tuple(entries)


def sorted_out(
    findings: Sequence[Finding], expectations: Sequence[Expectation]
) -> tuple[list[Finding], list[Expected]]:
    """Part findings into those that nobody expected and those that somebody did.

    Of a finding that holds for several machine types, each is expected or not by itself.

    :param expectations: Those that are about the emulator.
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
    """Return a finding for each part of an entry that nothing answers to any more.

    :param findings: What was found on the emulators that the entry is about.
    :param machines: The machine types that were looked at.
    :param complete: Those are all; else a machine type that was not looked at is no reason to complain.
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
    where = f" on {pattern}" if entry.machines else ""
    return f"{entry.tag}{where} is expected, and was not found"
