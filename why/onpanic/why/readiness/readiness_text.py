"""Readiness as text, for a terminal."""

from onpanic.why.readiness.readiness_result import Readiness

__all__ = ("readiness_lines",)


#: What must be right for a panic to be reported, and for it to be read; what is said of each answer.
_PARTS = (
    (
        ("notifier", "driver", "kdump"),
        {"yes": "would be reported", "no": "would not be reported", "unknown": "may be reported"},
    ),
    (
        ("memory", "note", "kernel", "log"),
        {"yes": "could be read", "no": "could not be read", "unknown": "may be readable"},
    ),
)


def readiness_lines(readiness: Readiness) -> list[str]:
    """Return readiness as lines of text.  None of them has a control character."""
    name = f"{readiness.guest.capitalize()} {readiness.release}".rstrip()
    system = "A guest" if readiness.guest == "unknown" else name
    where = f" ({readiness.architecture})" if readiness.architecture else ""
    verdicts = [said[_worst(readiness, names)] for names, said in _PARTS]
    lines = [f"{system}{where}: a panic {', and '.join(verdicts)}"]
    for answer in readiness.answers:
        lines.append(f"  {answer.name:10} {answer.answer:8} {answer.how}")
        if answer.remedy:
            lines.append(f"  {'':19} {answer.remedy}")
    if settings := readiness.settings:
        shown = ", ".join(f"{name} is {value}" for name, value in settings.items())
        lines.append(f"  {'settings':19} {shown}")
    return lines


def _worst(readiness: Readiness, names: tuple[str, ...]) -> str:
    answers = {answer.answer for answer in readiness.answers if answer.name in names and answer.matters}
    return next((answer for answer in ("no", "unknown") if answer in answers), "yes")
