"""Messages on stderr, and JSON on stdout.

Loaded by every command, so it imports what it needs where it needs it.
"""

import sys

__all__ = ("complain", "print_error", "print_json", "print_note")


def complain(message: str, hint: str = "") -> None:
    """Print on stderr what failed and what to do about it, one line each, after what stdout has so far.

    :param message: One line, which may hold anything.
    :param hint: One line; empty for none.
    """
    from onpanic.core.untrusted import printable

    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError:  # reported when the command ends, which flushes it again
        pass
    print_error(f"onpanic: {printable(message)}")
    if hint:
        print_error(f"onpanic: hint: {printable(hint)}")


def print_note(message: str, remedy: str = "") -> None:
    """Print on stderr something that is not an error, and what to do about it, one line each."""
    from onpanic.core.untrusted import printable

    print_error(f"onpanic: note: {printable(message)}")
    if remedy:
        print_error(f"onpanic: note:   {printable(remedy)}")


def print_error(line: str) -> None:
    """Print a line on stderr, if that is possible: there is nowhere to report that it is not."""
    if sys.stderr:  # print() takes None for stdout
        try:
            print(line, file=sys.stderr, flush=True)
        except OSError:
            pass


def print_json(data: bytes) -> None:
    """Print a JSON document on a line of its own, escaped to ASCII if stdout cannot encode it.

    :param data: The document, in UTF-8.
    """
    text = data.decode()
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        import json

        text = json.dumps(json.loads(text))
    print(text)
