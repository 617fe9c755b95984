"""The exit status and the text of a run."""

import json
from pathlib import Path

import msgspec
import pytest

from onpanic.run.run_result import RunOutcome, RunResult, result_lines
from onpanic.why.words.last_words import LastWords

from ..schemas import undescribed

SCHEMA = Path(__file__).parent.parent.parent / "why/onpanic/run/run_result.schema.json"
WORDS = LastWords(source="monitor", panicked=True, reason="sysrq", lines=tuple(f"line {n}" for n in range(9)))


def result(outcome: RunOutcome, status: int = 3) -> RunResult:
    return RunResult(
        outcome=outcome, emulator_status=status, seconds=1.5, event={}, words=WORDS, notes=("a note",)
    )


@pytest.mark.parametrize(
    ("outcome", "status"),
    [("ended", 3), ("panicked", 86), ("crashloaded", 86), ("hung", 86), ("reset-loop", 87), ("timeout", 124)],
)
def test_each_outcome_has_its_status(outcome: RunOutcome, status: int) -> None:
    assert result(outcome).status == status


def test_the_text_has_the_last_lines() -> None:
    said = result_lines(result("panicked"), 2)
    assert said[:2] == ["onpanic: the guest panicked after 1.5 s", "onpanic: note: a note"]
    assert said[-2:] == ["line 7", "line 8"]


def test_nothing_is_said_of_a_guest_that_has_ended() -> None:
    assert result_lines(RunResult(outcome="ended", emulator_status=1, seconds=2.0), 40) == []


def test_the_outcomes_are_told_apart() -> None:
    outcomes: list[RunOutcome] = ["panicked", "crashloaded", "hung", "reset-loop", "timeout"]
    said = {result_lines(result(outcome), 0)[0] for outcome in outcomes}
    unreported = msgspec.structs.replace(result("panicked"), event=None)
    said.add(result_lines(unreported, 0)[0])
    assert len(said) == 6


def test_a_log_that_was_not_read_has_no_answer() -> None:
    unread = msgspec.structs.replace(result("timeout"), words=None)
    assert "its log has no panic" in result_lines(result("timeout"), 0)[0]
    assert "its log could not be read" in result_lines(unread, 0)[0]


def test_the_schema_that_ships_is_current() -> None:
    """`make schema` writes it."""
    current = json.loads(msgspec.json.encode(msgspec.json.schema(RunResult)))
    assert undescribed(json.loads(SCHEMA.read_text())) == undescribed(current)
