"""The lines of a kernel's log, as ``dmesg`` prints them."""

from collections.abc import Iterable

from onpanic.why.kernel_log.log_record import LogRecord

__all__ = ("log_lines", "safe_text")

_MAX_LINE = 4096  # characters


def log_lines(records: Iterable[LogRecord]) -> list[str]:
    """Return the lines of records, each with the time of its record.

    Every character that a terminal would interpret is replaced, as all of it comes from the guest.
    """
    lines = []
    for record in records:
        time = f"[{record.nanoseconds // 1_000_000_000:5}.{record.nanoseconds // 1000 % 1_000_000:06}] "
        lines += [safe_text(line, time) for line in record.text.split(b"\n")]
    return lines


def safe_text(content: bytes, before: str = "") -> str:
    """Return a line of a guest's text: tabs become blanks, and what is not printable becomes ``?``.

    :param content: Text that should be UTF-8.
    :param before: What is put before it, which decides how wide its tabs are.
    """
    text = (before + content[: 4 * _MAX_LINE].decode("utf-8", "replace")[:_MAX_LINE]).expandtabs()
    return "".join(c if c.isprintable() else "?" for c in text)
