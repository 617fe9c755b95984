"""The log: one line for each event and action, as text for people and the journal, or as JSON.

Every line goes to all sinks: the log, the hook and the metrics.  As text, a line is the name of
the event and then logfmt: ``name=value``, where a value with spaces is quoted.  In the journal
it starts with its priority instead of the time, which the journal records itself (sd-daemon(3)).
"""

import json
import queue
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from onpanic.core.untrusted import printable
from onpanic.watch.reporting.systemd import is_journal

__all__ = ("Level", "Line", "Printer", "Sink", "as_json", "as_text", "members", "now")

#: ``debug`` lines are for the metrics, and are not printed.
Level = Literal["debug", "info", "notice", "warning", "error"]

_FLUSH_TIMEOUT = 2.0  # seconds for a slow reader to read the last lines

# sd-daemon(3), after syslog(3)
_PRIORITIES = {"debug": 7, "info": 6, "notice": 5, "warning": 4, "error": 3}


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A log line.

    :param event: What happened: ``watching``, ``standby``, ``connected``, ``disconnected``, ``waiting``,
        ``policy``, ``panicked``, ``crashloaded``, ``internal-error``, ``action``, ``limit``, ``progress``,
        ``unresolved``, ``qemu-action``, ``why``, ``over``, ``problem``, ``reloaded``, ``stopping``,
        ``observed``.
    :param level: Its severity.
    :param at: When it happened: UTC, RFC 3339.
    :param domain: The guest's name.
    :param uuid: The guest's UUID.
    :param policy: The guest's policy, in XML.
    :param panic: The type of QEMU's report about a panic: ``hyper-v``, ``s390``, ``tdx``, ``sev``, or what a
        later QEMU adds; empty if it has none.
    :param code: The panic's code in that report, such as ``0xd1`` of Windows.
    :param kind: The kind of the panic, as its reason tells it, see `onpanic.why.LastWords.kind`.
    :param reason: Why the guest panicked; the guest's claim, at most 256 bytes.
    :param action: What was done: the step, or the action that the policy asks for.
    :param outcome: ``done``, ``failed``, ``dry-run``, ``delayed``, ``start-limit-hit``, ``kept``,
        ``lost`` (the guest has ended, against its policy).
    :param by: What did it, if not the watcher: ``libvirt`` or ``QEMU``.
    :param seconds: Its duration.
    :param coredump: The file with the guest's memory.
    :param why: The file with what the guest said last.
    :param done: Bytes dumped so far.
    :param total: Bytes to dump.
    :param detail: Further information, such as libvirt's or QEMU's message.
    """

    event: str
    level: Level = "info"
    at: str = ""
    domain: str = ""
    uuid: str = ""
    policy: str = ""
    panic: str = ""
    code: str = ""
    kind: str = ""
    reason: str = ""
    action: str = ""
    outcome: str = ""
    by: str = ""
    seconds: float | None = None
    coredump: str = ""
    why: str = ""
    done: int | None = None
    total: int | None = None
    detail: str = ""


#: A consumer of lines.  It must neither block nor raise.
Sink = Callable[[Line], None]


def now() -> str:
    """Return the time in the format of `Line.at`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def members(line: Line) -> dict[str, Any]:
    """Return the members of a line that are set, in order."""
    found = {name: getattr(line, name) for name in line.__struct_fields__}
    return {name: value for name, value in found.items() if value not in ("", None)}


def as_text(line: Line, *, journal: bool = False) -> str:
    """Return a line as text.

    :param journal: Whether to start with the priority instead of the time and level.
    """
    found = members(line)
    event, level, at = found.pop("event"), found.pop("level"), found.pop("at", "")
    text = " ".join([event, *(f"{name}={_value(value)}" for name, value in found.items())])
    return f"<{_PRIORITIES[level]}>{text}" if journal else f"{at} {level:7} {text}"


def as_json(line: Line) -> str:
    """Return a line as one JSON object."""
    return json.dumps(members(line))


class Printer:
    """Prints lines on stdout, in a thread, so that a slow reader does not delay the watcher.  A `Sink`.

    :param form: The format.
    :param on_broken_pipe: Called in the thread when nothing reads stdout any more.
    """

    def __init__(
        self, form: Literal["text", "json"], on_broken_pipe: Callable[[], object] = lambda: None
    ) -> None:
        self._form = form
        self._on_broken_pipe = on_broken_pipe
        self._journal = _stdout_is_journal()
        self._lines: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="log lines", daemon=True)
        self._thread.start()

    def __call__(self, line: Line) -> None:
        """Queue a line for printing, unless its level is ``debug``."""
        if line.level != "debug":
            self._lines.put(line)

    def close(self) -> None:
        """Wait until all lines are printed, for two seconds at most.

        :raise BrokenPipeError: When stdout was a pipe that nothing reads any more.
        """
        self._lines.put(None)
        self._thread.join(_FLUSH_TIMEOUT)
        if self._error:
            raise self._error

    def _print(self, line: Line) -> None:
        text = as_json(line) if self._form == "json" else as_text(line, journal=self._journal)
        print(text, file=sys.stdout, flush=True)  # noqa: T201

    def _run(self) -> None:
        lost = 0
        for line in iter(self._lines.get, None):
            try:
                if lost:
                    detail = f"{lost} lines could not be written"
                    self._print(Line("problem", "error", at=now(), detail=detail))
                    lost = 0
                self._print(line)
            except BrokenPipeError as error:
                self._error = error
                self._on_broken_pipe()
                return
            except OSError:  # most likely a full disk; the guests matter more
                lost += 1


def _stdout_is_journal() -> bool:
    try:
        return is_journal(sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):  # not a file, closed, or None
        return False


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    text = printable(str(value))
    plain = text and not any(c in text for c in ' "=\\')
    return text if plain else json.dumps(text, ensure_ascii=False)
