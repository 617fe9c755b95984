"""The lines of a kernel's log, as ``dmesg`` prints them."""

from collections.abc import Sequence

from onpanic.why.kernel_log.log_record import LogRecord

__all__ = ("log_lines", "safe_text")

_MAX_LINE = 4096  # characters
_MAX_LINES = 1 << 17


def log_lines(records: Sequence[LogRecord]) -> list[str]:
    """Return the lines of records, each with the time of its record; the last 131,072 if there are more.

    Every character that a terminal would interpret is replaced, as all of it comes from the guest.
    """
    lines: list[str] = []
    for record in reversed(records):
        seconds, rest = divmod(record.nanoseconds, 1_000_000_000)
        time = f"[{seconds:5}.{rest // 1000:06}] "
        texts = record.text.split(b"\n", _MAX_LINES)
        lines += [safe_text(text, time) for text in reversed(texts[len(lines) - _MAX_LINES :])]
        if len(lines) >= _MAX_LINES:
            break
    return lines[::-1]


def safe_text(content: bytes, before: str = "") -> str:
    """Return a line of a guest's text: tabs become blanks, and what is not printable becomes ``?``.

    :param content: Text that should be UTF-8.
    :param before: What is put before it, which decides how wide its tabs are.
    """
    text = (before + content[: 4 * _MAX_LINE].decode("utf-8", "replace")[:_MAX_LINE]).expandtabs()
    return "".join(c if c.isprintable() else "?" for c in text)
