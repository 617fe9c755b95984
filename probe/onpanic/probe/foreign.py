"""Text from elsewhere, made safe: to print, and to write down."""

from typing import Any

__all__ = ("last_words", "printable", "wellformed")

# stderr that old builds write on every start and that explains nothing
_NOISE = ("GLib-WARNING", "I/O thread spun", "Could not open option rom", "is deprecated", "warning: ")


def last_words(stderr: str) -> str:
    """Return the last lines of an emulator's stderr that say something, as one printable line."""
    lines = [printable(line, 200) for line in stderr.splitlines() if not any(n in line for n in _NOISE)]
    return "; ".join([line for line in lines if line][-2:])


def printable(text: str, limit: int = 0) -> str:
    """Return a text as one line without anything that a terminal would obey.

    :param limit: Characters after which it is cut; 0 for none.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if not limit or len(line) <= limit else f"{line[:limit]}..."


def wellformed(value: Any) -> Any:
    """Return a JSON value whose strings UTF-8 can hold: lone surrogates are replaced."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if isinstance(value, list | tuple):
        return [wellformed(item) for item in value]
    if isinstance(value, dict):
        return {wellformed(name): wellformed(item) for name, item in value.items()}
    return value
