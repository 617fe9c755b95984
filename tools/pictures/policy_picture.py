"""The picture of what happens when a guest panics, policy by policy."""

import textwrap
from pathlib import Path

from onpanic.probe import Policy
from onpanic.probe.api import record_from
from onpanic.probe.conversation import recording
from onpanic.probe.decision.catalogue import CATALOGUE
from onpanic.probe.decision.rules import refusal_of_policy
from pictures.drawing import Drawing
from pictures.panic_outcomes import POLICIES, Outcome, outcome

__all__ = ("policy_picture",)

_RECORDING = Path(__file__).parent.parent.parent / "tests/recordings/qemu-1.7.0.jsonl"
_WIDTH = 480
_LEFT = 16
# Where the columns begin: libvirt, the watcher, the guest
_COLUMNS = (16, 203, 330)
_WIDTHS = (160, 88, 134)
_PILL = 26  # height
_OLD, _NEW = "9.0.0", "12.6.0"
_ENDS = {"healthy": ("runs", "green"), "off": ("is off", "grey"), "panicked": ("stays stopped", "red")}


class _Row:
    """One policy: what happens without a coredump, and with one where the policy may have it."""

    def __init__(
        self, value: str, about: str = "", libvirt: str = _OLD, *, has_notifier: bool = True
    ) -> None:
        self.value = value
        self.about = about
        self.plain = outcome(Policy(value), libvirt, has_notifier=has_notifier)
        self.dumped: Outcome | None = None
        if refusal_of_policy(Policy(value, coredump=True), "qemu") is None:
            self.dumped = outcome(Policy(value, coredump=True), libvirt, has_notifier=has_notifier)

    @property
    def libvirt(self) -> list[tuple[str, bool]]:
        """The values of ``<on_crash>``, each with whether it is the one for a coredump."""
        found = [(self.plain.on_crash, False)] if self.plain.on_crash else []
        if self.dumped and self.dumped.on_crash and self.dumped.on_crash != self.plain.on_crash:
            found.append((self.dumped.on_crash, True))
        return found

    @property
    def watch(self) -> list[tuple[str, bool]]:
        """The steps, each with whether it is taken for a coredump only."""
        steps = self.dumped.steps if self.dumped else self.plain.steps
        return [(step, step not in self.plain.steps) for step in steps]

    @property
    def end(self) -> tuple[str, str]:
        """The guest's condition afterwards, in words, and its colour."""
        words, colour = _ENDS[self.plain.condition]
        return words + (", renamed" if self.plain.renamed else ""), colour

    def spoken(self) -> str:
        """Return the row in words."""

        def series(words: list[tuple[str, bool]]) -> str:
            return (
                ", ".join(f"{word} (with coredump='yes')" if dumps else word for word, dumps in words)
                or "nothing"
            )

        title = f"{self.value} ({self.about})" if self.about else self.value
        acts = f"libvirt's <on_crash>: {series(self.libvirt)}; steps of onpanic watch: {series(self.watch)}"
        return f"{title}: {acts}; then the guest {self.end[0]}."


def policy_picture() -> str:
    """Return the picture."""
    rows = [
        _Row("ignore", "nothing reports the panic", has_notifier=False),
        _Row("ignore", "with a panic notifier"),
        _Row("ignore", "the same, from libvirt 12.6 on", _NEW),
        *(_Row(value) for value in POLICIES if value != "ignore"),
    ]
    refusal = refusal_of_policy(Policy("crash"), "qemu")
    assert refusal is not None
    refused = CATALOGUE[refusal.code]
    steps = _before()
    spoken = [
        *steps,
        *(row.spoken() for row in rows),
        f"crash: on QEMU refused: {refused.code}: {refused.reason}.",
    ]
    drawing = Drawing(_WIDTH, "What happens when a guest panics, by policy", " ".join(spoken))
    y = _draw_before(drawing, steps)
    y = _draw_heads(drawing, y)
    for row in rows:
        y = _draw_row(drawing, row, y)
    drawing.line(_LEFT, y, _WIDTH - 2 * _LEFT, "thin")
    drawing.mono(_LEFT, y + 24, "crash", "bold")
    y += 6
    lines = [f"refused: {refused.code}", *textwrap.wrap(refused.reason, 48)]
    height = 22 * len(lines) + 14
    drawing.box(_LEFT, y + 28, _WIDTH - 2 * _LEFT, height, "red")
    for index, line in enumerate(lines):
        (drawing.text if index else drawing.mono)(_LEFT + 10, y + 51 + 22 * index, line)
    return drawing.finished(y + 28 + height + 16)


def _before() -> list[str]:
    """Return what happens under every policy, as a QEMU did it that was recorded."""
    found = recording.load(_RECORDING)
    record = record_from(found.conversations, found.command, found.seconds, recorded=True)
    facts = record.machine("pc").facts
    return [
        "The guest panics: its kernel writes to the notifier",
        f"QEMU reports it: {facts['panic-reported'].detail.rpartition(': ')[2]}",
        f"QEMU stops the guest: {facts['panic-stops-guest'].detail.rpartition(': ')[2]}",
    ]


def _draw_before(drawing: Drawing, steps: list[str]) -> float:
    y = 16.0
    for step in steps:
        words, _, value = step.partition(": ")
        drawing.box(_LEFT, y, _WIDTH - 2 * _LEFT, 50, "box")
        drawing.text(_LEFT + 12, y + 21, words, "bold")
        if value.startswith("its"):
            drawing.text(_LEFT + 12, y + 41, value, "dim")
        else:
            drawing.mono(_LEFT + 12, y + 41, value)
        drawing.arrow(_WIDTH / 2, y + 52, 0, 13)
        y += 68
    return y


def _draw_heads(drawing: Drawing, y: float) -> float:
    heads = (("libvirt", "<on_crash>"), ("watch", "steps"), ("guest", "then"))
    for x, width, (head, about) in zip(_COLUMNS, _WIDTHS, heads, strict=True):
        drawing.text(x, y + 18, head, "bold")
        drawing.mono(x, y + 38, about, "dim")
        drawing.line(x, y + 48, width)
    drawing.box(_LEFT + 0.5, y + 60.5, 34, 18, "panel", rim="dim", dashed=True)
    drawing.text(_LEFT + 44, y + 75, "with coredump='yes'", "dim")
    return y + 91


def _draw_row(drawing: Drawing, row: _Row, y: float) -> float:
    drawing.line(_LEFT, y, _WIDTH - 2 * _LEFT, "thin")
    width = drawing.mono(_LEFT, y + 24, row.value, "bold")
    drawing.text(_LEFT + width + 12, y + 24, row.about, "dim")
    top = y + 34
    bottoms = [top + _PILL]
    for x, words, colour in ((_COLUMNS[0], row.libvirt, "blue"), (_COLUMNS[1], row.watch, "violet")):
        at = top
        for word, dashed in words:
            _draw_pill(drawing, x, at, word, colour, dashed=dashed)
            at += _PILL + 6
        if not words:
            drawing.text(x + 8, top + 18, "nothing", "dim")
        bottoms.append(at - 6)
    end, colour = row.end
    drawing.box(_COLUMNS[2], top, _WIDTHS[2], _PILL, colour)
    drawing.text(_COLUMNS[2] + 10, top + 18, end)
    for x in _COLUMNS[1:]:
        drawing.arrow(x - 18, top + _PILL / 2, 12, 0)
    return max(bottoms) + 12


def _draw_pill(drawing: Drawing, x: float, y: float, word: str, colour: str, *, dashed: bool) -> None:
    width = len(word) * drawing.CELL + 16
    drawing.box(x + 0.5, y, width, _PILL, colour, rim="dim" if dashed else colour, dashed=dashed)
    drawing.mono(x + 8, y + 18, word)
