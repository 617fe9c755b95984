"""A file of findings that are known, and why."""

from pathlib import Path

import pytest

from onpanic.check.expectations import ExpectationError, parsed, sorted_out
from onpanic.check.findings import Finding

HEAD = '[[expect]]\ntag = "panic-device-missing"\nreason = "no bus"\n'
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
    rest, known = sorted_out(FOUND, parsed(entry, "file"), "/usr/bin/qemu-system-x86_64")
    assert [one.machines for one in rest if one.tag != "stale-expectation"] == left
    assert [one.finding.machines for one in known] == expected
    evidence = [one.evidence for one in rest if one.tag == "stale-expectation"]
    assert len(evidence) == len(stale)
    assert all(words in one for words, one in zip(stale, evidence, strict=True))


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
    ],
)
def test_a_file_that_is_none(text: str, message: str) -> None:
    with pytest.raises(ExpectationError) as caught:
        parsed(text, "known.toml")
    assert caught.value.message.startswith("known.toml: ")
    assert message in caught.value.message


def test_the_file_of_the_sample_is_one() -> None:
    sample = Path(__file__).parent.parent.parent / "docs/samples/autopkgtest/debian/tests/known.toml"
    assert parsed(sample.read_text(), "known.toml")
