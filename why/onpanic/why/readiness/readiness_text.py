"""Readiness as text, for a terminal."""

from onpanic.why.readiness.readiness_result import Readiness

__all__ = ("readiness_lines",)


def readiness_lines(readiness: Readiness) -> list[str]:
    """Return readiness as lines of text.  None of them has a control character."""
    answers = {answer.answer for answer in readiness.answers if answer.matters}
    system = "A guest" if readiness.guest == "unknown" else f"Linux {readiness.release}".rstrip()
    where = f" ({readiness.architecture})" if readiness.architecture else ""
    if readiness.fails:
        verdict = "a panic would not be reported, or could not be read"
    elif "unknown" in answers:
        verdict = "nothing speaks against it that a panic is reported and can be read"
    else:
        verdict = "a panic would be reported, and could be read"
    lines = [f"{system}{where}: {verdict}"]
    for answer in readiness.answers:
        lines.append(f"  {answer.name:10} {answer.answer:8} {answer.how}")
        if answer.remedy:
            lines.append(f"  {'':19} {answer.remedy}")
    if settings := readiness.settings:
        shown = ", ".join(f"{name} is {value}" for name, value in settings.items())
        lines.append(f"  {'settings':19} {shown}")
    return lines
