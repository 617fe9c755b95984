"""The picture of the way from an emulator to a decision, and to what is printed, written or done."""

from pictures.drawing import Drawing
from pictures.flow_values import FlowStep, recorded_flow, spoken

__all__ = ("flow_picture",)

_WIDTH = 480
_LEFT = 16
_PAD = 12
_LINE = 21
_GAP = 20  # with the arrow in it


def flow_picture() -> str:
    """Return the picture."""
    build, steps, results = recorded_flow()
    source = f"The values are from a recording of {build}."
    description = f"{source} In this order: {spoken(steps)} What follows: {spoken(results)}"
    drawing = Drawing(_WIDTH, "From an emulator to a decision", description)
    y = 16.0
    for step in steps:
        y = _draw(drawing, step, "box", y)
        drawing.arrow(_WIDTH / 2, y + 3, 0, _GAP - 7)
        y += _GAP
    for step, colour in zip(results, ("green", "blue", "violet"), strict=True):
        y = _draw(drawing, step, colour, y) + 8
    drawing.text(_LEFT, y + 18, source, "dim")
    return drawing.finished(y + 34)


def _draw(drawing: Drawing, step: FlowStep, colour: str, y: float) -> float:
    """Draw a step, and return where it ends."""
    height = 52 + _LINE * len(step.lines)
    drawing.box(_LEFT, y, _WIDTH - 2 * _LEFT, height, colour)
    drawing.text(_LEFT + _PAD, y + 22, step.name, "bold")
    drawing.mono(_LEFT + _PAD, y + 42, step.place, "dim")
    for index, line in enumerate(step.lines):
        drawing.mono(_LEFT + _PAD, y + 64 + _LINE * index, line)
    return y + height
