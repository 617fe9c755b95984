"""Findings that are known, and why they may be: a small reviewed file.

::

    [[expect]]
    tag = "panic-device-missing"
    machines = ["x-remote", "isapc*"]
    reason = "nobody runs guests on these"

TOML, as a maintainer reviews it and comments on it.  An entry that nothing answers to any
more is itself a finding, so that the file stays as short as it can be.
"""

import tomllib
from fnmatch import fnmatchcase

import msgspec

from onpanic.probe.errors import OnpanicError

from .findings import Finding
from .tags import TAGS

__all__ = ("Expectation", "ExpectationError", "Expected", "parsed", "sorted_out")


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
    :param emulator: The emulator's command or the last part of its path, as a shell matches it.
    """

    tag: str
    reason: str
    machines: tuple[str, ...] = ()
    emulator: str = "*"


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
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ExpectationError(
            f"{name}: not an expectation file: {error}", "it has [[expect]] entries with tag and reason"
        ) from error
    for entry in entries:
        if entry.tag not in TAGS:
            raise ExpectationError(f"{name}: no such tag: {entry.tag}", "onpanic explain lists them all")
        if not entry.reason.strip():
            raise ExpectationError(f"{name}: no reason for {entry.tag}", "say why it may be")
    return tuple(entries)


def sorted_out(
    findings: list[Finding], expectations: tuple[Expectation, ...], emulator: str
) -> tuple[list[Finding], list[Expected]]:
    """Part findings into those that nobody expected and those that somebody did.

    Of a finding that holds for several machine types, each is expected or not by itself.

    :param emulator: The emulator's command.
    :return: What is left to look at, stale entries among it, and what was expected.
    """
    left, expected, used = [], [], set()
    mine = [entry for entry in expectations if _is_of(entry, emulator)]
    for finding in findings:
        machines: dict[str, Expectation] = {}
        for entry in mine:
            if entry.tag != finding.tag:
                continue
            for machine in finding.machines or ("",):
                patterns = [p for p in entry.machines or ("*",) if fnmatchcase(machine, p)]
                if patterns:
                    machines.setdefault(machine, entry)
                    used |= {(id(entry), pattern) for pattern in patterns}
        for entry in dict.fromkeys(machines.values()):
            names = tuple(machine for machine, by in machines.items() if by is entry and machine)
            expected.append(Expected(msgspec.structs.replace(finding, machines=names), entry.reason))
        rest = tuple(machine for machine in finding.machines if machine not in machines)
        if rest or not machines:
            left.append(msgspec.structs.replace(finding, machines=rest))
    stale = [
        Finding("stale-expectation", TAGS["stale-expectation"].severity, (), _described(entry, pattern))
        for entry in mine
        for pattern in entry.machines or ("*",)
        if (id(entry), pattern) not in used
    ]
    return sorted(left + stale, key=lambda one: one.rank), expected


def _is_of(entry: Expectation, emulator: str) -> bool:
    return fnmatchcase(emulator, entry.emulator) or fnmatchcase(emulator.rpartition("/")[2], entry.emulator)


def _described(entry: Expectation, pattern: str) -> str:
    where = f" on {pattern}" if entry.machines else ""
    return f"{entry.tag}{where} is expected, and was not found"
