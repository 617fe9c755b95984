"""Last words as text, for a terminal, a log or a file."""

from onpanic.why.words.last_words import LastWords

__all__ = ("report_lines",)

_SURE = 3  # entries of which the kernel is sure; with fewer, those that it found on the stack tell more
_TRACE = 8  # lines of the trace that are shown; the lines of the log have the rest


def _heading(words: LastWords) -> str:
    """Return the most important in one line: which kernel, and what it panicked with."""
    system = " ".join(part for part in (words.guest.capitalize(), words.release) if part)
    name = "A guest" if words.guest == "unknown" else system
    where = f" ({words.architecture})" if words.architecture else ""
    if words.panicked:
        return f"{name}{where} panicked: {words.reason or 'it does not say why'}"
    return f"{name}{where}: {'its log has no panic' if words.lines else 'nothing can be read'}"


def report_lines(words: LastWords, lines: int | None = 40) -> list[str]:
    """Return last words as lines of text.  None of them has a control character.

    :param words: What a guest said last.
    :param lines: How many lines of the log are shown, the last ones; None for all.
    """
    report = [_heading(words)]
    rows = [("kind", words.kind), ("cause", words.cause), *words.details.items()]
    report += [f"  {name:8} {value}" for name, value in rows if value]
    trace = [entry for entry in words.trace if not entry.startswith("? ")]  # the kernel is not sure of those
    trace = trace if len(trace) >= _SURE else list(words.trace)
    for number, entry in enumerate(trace[:_TRACE]):
        report.append(f"  {'trace' if number == 0 else '':8} {entry}")
    if len(trace) > _TRACE:
        report.append(f"  {'':8} and {len(trace) - _TRACE} more")
    if words.torn:
        report.append(f"  {'torn':8} the guest ran while it was read: lines may be missing or garbled")
    report += [f"  {'note':8} {note}" for note in words.notes]
    shown = words.last_lines(lines)
    if shown:
        which = "all" if len(shown) == len(words.lines) else f"the last {len(shown)} of"
        report += ["", f"{which} {len(words.lines)} lines of its log:", *shown]
    return report
