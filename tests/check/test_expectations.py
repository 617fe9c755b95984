"""A file of findings that are known, and why."""

import re
from pathlib import Path
from typing import Any

import pytest

from onpanic.check import Report, report_of, with_stale_entries
from onpanic.check.expectations import parsed, separated
from onpanic.check.findings import Finding
from onpanic.core.errors import ExpectationError
from onpanic.probe.record.capability_record import CapabilityRecord

HEAD = '[[expect]]\ntag = "panic-device-missing"\nreason = "no bus"\n'
EMULATOR = "/usr/bin/qemu-system-x86_64"
MACHINES = ("pc", "q35", "isapc", "x-a", "x-b")
FOUND = [
    Finding("cont-refused-after-panic", "error", ("pc",), "refused"),
    Finding("panic-device-missing", "warning", ("isapc", "x-a", "x-b"), "no bus"),
    Finding("panic-action-not-settable", "info", (), "no set-action"),
]


@pytest.mark.parametrize(
    ("entry", "left", "expected", "stale"),
    [
        (HEAD, [("pc",), ()], [("isapc", "x-a", "x-b")], []),
        (HEAD + 'machines = ["x-*"]', [("pc",), ("isapc",), ()], [("x-a", "x-b")], []),
        (HEAD + 'machines = ["x-a", "q35"]', [("pc",), ("isapc", "x-b"), ()], [("x-a",)], ["on q35 "]),
        (HEAD + 'machines = ["q35"]', [("pc",), ("isapc", "x-a", "x-b"), ()], [], ["on q35 "]),
        (HEAD + 'evidence = "no *"', [("pc",), ()], [("isapc", "x-a", "x-b")], []),
        (
            HEAD + 'evidence = "another"',
            [("pc",), ("isapc", "x-a", "x-b"), ()],
            [],
            ["panic-device-missing is expected"],
        ),
        (HEAD + 'emulator = "qemu-system-arm"', [("pc",), ("isapc", "x-a", "x-b"), ()], [], []),
        (HEAD + 'emulator = "qemu-system-x*"', [("pc",), ()], [("isapc", "x-a", "x-b")], []),
        (HEAD + 'emulator = "/usr/bin/*"', [("pc",), ()], [("isapc", "x-a", "x-b")], []),
        (
            HEAD + 'machines = ["x-a"]\n' + HEAD.replace("no bus", "why") + 'machines = ["x-*"]',
            [("pc",), ("isapc",), ()],
            [("x-a",), ("x-b",)],
            [],
        ),
        (
            '[[expect]]\ntag = "panic-action-not-settable"\nreason = "old"',
            [("pc",), ("isapc", "x-a", "x-b")],
            [()],
            [],
        ),
        (
            '[[expect]]\ntag = "panic-not-reported"\nreason = "x"',
            [("pc",), ("isapc", "x-a", "x-b"), ()],
            [],
            ["panic-not-reported is expected"],
        ),
        ("", [("pc",), ("isapc", "x-a", "x-b"), ()], [], []),
    ],
)
def test_what_is_expected(
    entry: str,
    left: list[tuple[str, ...]],
    expected: list[tuple[str, ...]],
    stale: list[str],
) -> None:
    """A stale entry is itself a finding; of a finding each machine type is expected or not by itself."""
    entries = [one for one in parsed(entry, "file") if one.is_of(EMULATOR, "qemu-system-x86_64")]
    rest, known = separated(FOUND, entries)
    assert [one.machines for one in rest] == left
    assert [one.finding.machines for one in known] == expected
    report = Report(
        EMULATOR, "qemu-system-x86_64", machines=MACHINES, findings=tuple(rest), expected=tuple(known)
    )
    (after,) = with_stale_entries([report], entries, complete=True)
    evidence = [one.evidence for one in after.findings if one.tag == "stale-expectation"]
    assert len(evidence) == len(stale)
    assert all(words in one for words, one in zip(stale, evidence, strict=True))


NOTIFIERS = [
    Finding("panic-not-reported", "error", ("pc", "q35"), "no event", "isa"),
    Finding("panic-not-reported", "warning", ("pc",), "no event", "pvpanic"),
    Finding("builtin-panic-device", "error", ("pc",), "a pvpanic"),
]


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("", ["builtin-panic-device "]),
        ("notifier = '*'", ["builtin-panic-device "]),
        ("notifier = 'isa'", ["panic-not-reported pvpanic", "builtin-panic-device "]),
        ("notifier = 'pv*'", ["panic-not-reported isa", "builtin-panic-device "]),
        (
            "notifier = 'hyperv'",
            ["panic-not-reported isa", "panic-not-reported pvpanic", "builtin-panic-device "],
        ),
    ],
)
def test_an_entry_about_a_notifier(line: str, left: list[str]) -> None:
    """It matches findings about that notifier only; an entry without one matches them all."""
    entries = parsed(f"[[expect]]\ntag = 'panic-not-reported'\nreason = 'x'\n{line}", "file")
    rest, _ = separated(NOTIFIERS, entries)
    assert [f"{one.tag} {one.notifier}" for one in rest] == left


@pytest.mark.parametrize(
    ("notifiers", "stale"),
    [(("isa", "pvpanic", "pseries", "s390"), 0), (("hyperv",), 1), (("isa", "hyperv"), 1), ((), 0)],
)
def test_an_entry_about_a_notifier_that_was_not_judged_is_not_stale(
    notifiers: tuple[Any, ...], stale: int
) -> None:
    """Whoever checks without ``--notifier hyperv`` keeps the entries for it."""
    entries = parsed("[[expect]]\ntag = 'panic-not-reported'\nreason = 'no KVM'\nnotifier = 'hyperv'", "file")
    report = Report(EMULATOR, machines=MACHINES, notifiers=notifiers)
    (after,) = with_stale_entries([report], entries, complete=True)
    assert [one.evidence for one in after.findings] == [
        "panic-not-reported of the hyperv notifier is expected, and was not found"
    ] * stale


def test_what_was_not_looked_at_is_not_stale() -> None:
    """Neither a machine type, nor an emulator, nor one that cannot be checked; one answer is enough."""
    entries = parsed(HEAD + 'machines = ["x-*"]', "file")
    fit = Report("a", "a", machines=("pc",))
    unfit = Report("b", "b", machines=("pc", "x-b"), findings=(FOUND[1],))
    broken = Report("c", "c", problem="it hangs")
    for reports, complete, count in (
        ([fit], True, 1),
        ([fit], False, 0),
        ([fit, unfit], True, 0),
        ([fit, broken], True, 0),
        ([Report("d", "d", machines=("x-c",))], False, 1),
    ):
        after = with_stale_entries(reports, entries, complete=complete)
        tags = [finding.tag for report in after for finding in report.findings]
        assert tags.count("stale-expectation") == count
    other = parsed(HEAD + 'emulator = "qemu-system-arm"', "file")
    assert with_stale_entries([fit], other, complete=True) == [fit]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "not an expectation file"),
        ("[expect]\ntag = 1", "not an expectation file"),
        (
            "[[expect]]\ntag = 1\nreason = 'x'",
            "Expected `str`, got `int` - at `$.expect",
        ),
        ("[[expect]]\ntag = 'panic-not-reported'", "missing required field `reason`"),
        ("[[expect]]\ntag = 'panic-not-reported'\nreason = ' '", "no reason for panic-not-reported"),
        ("[[expect]]\ntag = 'panic-devise-missing'\nreason = 'x'", "no such tag: panic-devise-missing"),
        (HEAD + "machine = 'pc'", "unknown field `machine`"),
        ("[[expected]]", "unknown field `expected`"),
        ("\x00", "not an expectation file"),
        ("x=" + "[" * 3000, "not an expectation file"),
        ("x=" + "1" * 5000, "not an expectation file"),
        (HEAD + "notifier = 'pvpanik'", "no such notifier: pvpanik"),
        (HEAD + "machines = []", "no machine types for panic-device-missing"),
    ],
)
def test_a_file_that_is_none(text: str, message: str) -> None:
    with pytest.raises(ExpectationError) as caught:
        parsed(text, "known.toml")
    assert caught.value.message.startswith("known.toml: ")
    assert message in caught.value.message


def test_the_sample_is_for_two_generations_of_qemu() -> None:
    """As it is for QEMU 7.2; with its second entry for those that offer older machine types a third bit."""
    root = Path(__file__).parent.parent.parent
    text = (root / "docs/samples/autopkgtest/debian/tests/known.toml").read_text("utf-8")
    all_entries = re.sub(r"^# ?(?=\[|\w+ =|$)", "", text, flags=re.MULTILINE)
    older, newer = parsed(text, "older"), parsed(all_entries, "newer")
    assert (len(older), len(newer)) == (1, 2)
    tag = newer[1].tag
    for version, entries in (("7.2", older), ("10.0", newer), ("11.1", newer)):
        (path,) = (root / "compat-matrix/records").glob(f"qemu-system-x86_64-{version}.*Debian*.json")
        record = CapabilityRecord.from_json(path.read_bytes())
        report = report_of(record, "qemu-system-x86_64", expectations=entries)
        assert tag not in {finding.tag for finding in report.findings}
        assert {one.finding.tag for one in report.expected} == {entry.tag for entry in entries}
