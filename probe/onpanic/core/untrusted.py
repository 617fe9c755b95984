"""Text from outside (an emulator, a guest, a file), made safe to print and to store."""

import re
from typing import Any

__all__ = ("last_lines", "printable", "wellformed")

# Lines that builds write to stderr whether they start or not, and that explain nothing; up to QEMU 8.1 boards
# with a codec try the host's sound
_NOISE = (
    *("GLib-WARNING", "I/O thread spun", "Could not open option rom", "is deprecated", "warning: "),
    *("ALSA lib", "alsa: ", "audio: Failed to create voice", "module audio-"),
)
# As every program begins an error, and no hint
_ERROR = re.compile(r"\S+: ")


def printable(text: str, limit: int = 0) -> str:
    """Return a text as one line, with every character that a terminal would interpret removed.

    :param limit: Characters after which the line is cut; 0 for no limit.
    """
    kept = text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(kept.split())
    return line if not limit or len(line) <= limit else f"{line[:limit]}..."


def last_lines(stderr: str) -> str:
    """Return the last two meaningful lines of an emulator's stderr, as one printable line.

    The error comes first if these are only hints that follow it.
    """
    every = (printable(line, 200) for line in stderr.splitlines() if not any(n in line for n in _NOISE))
    lines = [line for line in every if line]
    errors = [index for index, line in enumerate(lines) if _ERROR.match(line)]
    error = [lines[errors[-1]]] if errors and errors[-1] < len(lines) - 2 else []
    return "; ".join([*error, *lines[-2:]])


def wellformed(value: Any) -> Any:
    """Return a JSON value whose strings can be encoded as UTF-8: lone surrogates are replaced."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if isinstance(value, list | tuple):
        return [wellformed(item) for item in value]
    if isinstance(value, dict):
        return {wellformed(name): wellformed(item) for name, item in value.items()}
    return value
