"""What is seen and done, a line each: for people and journald, and as JSON.

A line goes to everybody who wants lines: the log, the hook, the metrics.  Text is in
logfmt, ``name=value`` with what has spaces in quotes, and begins with the word that says
what it is.  Under systemd it begins with the priority instead of the time, as journald
keeps the time itself (sd-daemon(3)).
"""

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from onpanic.probe.foreign import printable

__all__ = ("Line", "Printer", "Sink", "as_json", "as_text", "members", "now")

Level = Literal["info", "notice", "warning", "error"]

_READING = 2.0  # seconds that a reader has for what is left

# sd-daemon(3), after syslog(3)
_PRIORITIES = {"info": 6, "notice": 5, "warning": 4, "error": 3}


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that was seen or done.

    :param event: What it is: ``watching``, ``standby``, ``connected``, ``disconnected``, ``policy``,
        ``panicked``, ``crashloaded``, ``internal-error``, ``action``, ``progress``, ``over``,
        ``problem``, ``reloaded``, ``stopping``.
    :param level: How much attention it wants.
    :param at: UTC, RFC 3339.
    :param domain: The guest's name.
    :param uuid: The guest's UUID.
    :param policy: The guest's policy, in XML.
    :param action: What was done: a `Step`, or the action that the policy names.
    :param outcome: ``done``, ``failed``, ``dry-run``, ``delayed``, ``start-limit-hit``, ``kept``.
    :param by: Who did it, where it was not the watcher: ``libvirt``.
    :param seconds: How long it took.
    :param coredump: The file that the memory went to.
    :param done: Bytes that were dumped.
    :param total: Bytes that there are to dump.
    :param detail: What else there is to say, the other side's own words included.
    """

    event: str
    level: Level = "info"
    at: str = ""
    domain: str = ""
    uuid: str = ""
    policy: str = ""
    action: str = ""
    outcome: str = ""
    by: str = ""
    seconds: float | None = None
    coredump: str = ""
    done: int | None = None
    total: int | None = None
    detail: str = ""


#: Somebody who wants lines.
Sink = Callable[[Line], None]


def now() -> str:
    """Return the time as a line has it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def members(line: Line) -> dict[str, Any]:
    """Return what a line has to say, by name, in order; what it does not say is left out."""
    found = {name: getattr(line, name) for name in line.__struct_fields__}
    return {name: value for name, value in found.items() if value not in ("", None)}


def as_text(line: Line, *, journald: bool = False) -> str:
    """Return a line as text.

    :param journald: True to begin with the priority, and not with the time.
    """
    words = members(line)
    event, level, at = words.pop("event"), words.pop("level"), words.pop("at", "")
    said = " ".join([event, *(f"{name}={_value(value)}" for name, value in words.items())])
    return f"<{_PRIORITIES[level]}>{said}" if journald else f"{at} {level:7} {said}"


def as_json(line: Line) -> str:
    """Return a line as one JSON object."""
    return json.dumps(members(line))


class Printer:
    """Prints lines on stdout, at once; a `Sink`.  Nobody waits for a reader who does not read.

    :param form: How.
    """

    def __init__(self, form: Literal["text", "json"]) -> None:
        self._form = form
        self._journald = "JOURNAL_STREAM" in os.environ
        self._lines: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._print, name="lines", daemon=True)
        self._thread.start()

    def __call__(self, line: Line) -> None:
        """Print a line."""
        self._lines.put(line)

    def close(self) -> None:
        """Return when all is printed, or nobody reads it.

        :raise OSError: When it cannot be printed.
        """
        self._lines.put(None)
        self._thread.join(_READING)
        if self._error:
            raise self._error

    def _show(self, line: Line) -> None:
        text = as_json(line) if self._form == "json" else as_text(line, journald=self._journald)
        print(text, file=sys.stdout, flush=True)  # noqa: T201

    def _print(self) -> None:
        lost = 0
        for line in iter(self._lines.get, None):
            try:
                if lost:
                    words = f"{lost} lines could not be written"
                    self._show(Line("problem", "error", at=now(), detail=words))
                    lost = 0
                self._show(line)
            except BrokenPipeError as error:  # what nobody can see is better done by another one
                self._error = error
                os.kill(os.getpid(), signal.SIGTERM)
                return
            except OSError:  # a full disk, most likely; guests come first
                lost += 1


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    text = printable(str(value))
    plain = text and not any(c in text for c in ' "=\\')
    return text if plain else json.dumps(text, ensure_ascii=False)
