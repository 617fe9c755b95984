"""How a run ended: the result, its exit status, and its text."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from onpanic.why.words.last_words import LastWords
from onpanic.why.words.text_report import report_lines

__all__ = ("LOOP_STATUS", "PANIC_STATUS", "TIMEOUT_STATUS", "RunOutcome", "RunResult", "result_lines")

#: The exit status of a run whose guest panicked.
PANIC_STATUS = 86
#: The exit status of a run whose guest resets itself again and again.
LOOP_STATUS = 87
#: The exit status of a run that took too long, as of timeout(1).
TIMEOUT_STATUS = 124

RunOutcome = Literal["ended", "panicked", "crashloaded", "hung", "reset-loop", "timeout"]

_STATUS: Mapping[RunOutcome, int] = {
    "panicked": PANIC_STATUS,
    "crashloaded": PANIC_STATUS,
    "hung": PANIC_STATUS,
    "reset-loop": LOOP_STATUS,
    "timeout": TIMEOUT_STATUS,
}


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended.

    :param schema_version: The version of this document's format.
    :param outcome: ``ended`` if QEMU ended by itself; ``panicked``; ``crashloaded`` if the guest panicked,
        and its crash kernel took over; ``hung`` if it panicked, and nothing reported that until the time was
        over; ``reset-loop`` if it resets itself again and again; ``timeout`` if the time was over.
    :param emulator_status: QEMU's exit status, as a shell has it.
    :param seconds: How long QEMU ran.
    :param resets: How often the guest has reset itself.
    :param event: The members of QEMU's event about the panic; None if no event reported one.
    :param words: What the guest said last; None if it was not read.
    :param dump: The file with the guest's memory; empty if there is none.
    :param notes: What could not be done and why, a sentence each.
    """

    schema_version: Literal[1] = 1
    outcome: RunOutcome
    emulator_status: int
    seconds: float
    resets: int = 0
    event: dict[str, Any] | None = None
    words: LastWords | None = None
    dump: str = ""
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> int:
        """The exit status of the run: QEMU's own, unless it was ended here."""
        return _STATUS.get(self.outcome, self.emulator_status)


def result_lines(result: RunResult, lines: int) -> list[str]:
    """Return the text about a run; none if there is nothing to say.

    :param lines: How many lines of the guest's log are shown at most.
    """
    said = [_headline(result)] if result.outcome != "ended" else []
    said += [f"note: {note}" for note in result.notes]
    said += [f"the guest's memory is in {result.dump}"] if result.dump else []
    said = [f"onpanic: {line}" for line in said]
    if result.words is not None and result.outcome != "ended":
        said += report_lines(result.words, lines)
    return said


def _headline(result: RunResult) -> str:
    after = f"after {result.seconds:.1f} s"
    match result.outcome:
        case "panicked" if result.event is None:
            return f"the guest panicked {after}; nothing reported that, but it resets itself after a panic"
        case "crashloaded":
            return f"the guest panicked, and its crash kernel took over; it ended {after}"
        case "hung":
            return f"the guest hangs in its own panic, which nothing has reported; it was ended {after}"
        case "reset-loop":
            return f"the guest resets itself in a loop: {result.resets} times, and was ended {after}"
        case "timeout":
            read = result.words is not None and result.words.lines
            found = "its log has no panic" if read else "its log could not be read"
            return f"the guest was ended {after}, as --timeout says; {found}"
    return f"the guest panicked {after}"
