"""Access to libvirt: its Python module, connections, domains, and calls that may never return.

Everything that talks to libvirt goes through this module, so that errors have the same wording
everywhere, and libvirt is imported only when it is used.
"""

import asyncio
import errno
import json
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

from onpanic.core.errors import MissingExtraError, SourceError
from onpanic.core.untrusted import printable

__all__ = (
    "MUST_RUN",
    "CallThread",
    "call_with_timeout",
    "deregister_monitor_events",
    "find_domain",
    "hint_about",
    "libvirt_module",
    "monitor_command",
    "open_connection",
    "register_monitor_events",
    "run_event_loop",
    "silence_libvirt",
    "unblock_events",
)

Result = TypeVar("Result")

# libvirt's VIR_ERR_OPERATION_DENIED, its error for what a read-only connection may not do
_OPERATION_DENIED = 29
# libvirt's VIR_ERR_SYSTEM_ERROR, and its values of errno if no daemon listens at a socket
_SYSTEM_ERROR = 38
_NOT_LISTENING = (errno.ENOENT, errno.ECONNREFUSED)

# Characters of a UUID as virsh takes it
_UUID_LENGTH = 36

#: The hint of an error about a domain whose monitor cannot be used.
MUST_RUN = "the domain must be a running QEMU domain"


def libvirt_module(extra: str = "libvirt") -> Any:
    """Return libvirt's Python module.

    The application's error handler stays as it is, see `silence_libvirt`.

    :param extra: The extra that the caller needs, and that the error names.
    :raise MissingExtraError: When it is not installed.
    """
    try:
        import libvirt
        import libvirt_qemu  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError("libvirt-python", extra) from error
    except ImportError as error:  # installed, but built for another interpreter or libvirt
        raise MissingExtraError("libvirt-python", extra, printable(str(error), 200)) from error
    return libvirt


def silence_libvirt(extra: str = "libvirt") -> None:
    """Keep libvirt from printing errors on stderr.

    For commands only: libvirt has one error handler a process, and a library must not replace
    the application's.  Every error is also raised.

    :param extra: See `libvirt_module`.
    :raise MissingExtraError: When libvirt's Python module is not installed.
    """
    libvirt_module(extra).registerErrorHandler(lambda *_: None, None)


def open_connection(uri: str | None, *, read_only: bool = False) -> Any:
    """Open a connection, a `libvirt.virConnect`.  Blocks for as long as libvirt does.

    :param uri: libvirt's connection URI; None for its default.
    :param read_only: Open one that can change nothing, which every user of a host may do.
    :raise MissingExtraError: When libvirt's Python module is not installed.
    :raise SourceError: When the URI is invalid, or libvirt refuses.
    """
    libvirt = libvirt_module()
    try:
        (uri or "").encode()
        parts = urlsplit(uri or "")
    except ValueError as error:  # a surrogate or an unclosed bracket
        shown = f"{printable(uri or '')}: not a libvirt URI"
        raise SourceError(f"{shown}: {printable(str(error))}", "for example qemu:///system") from error
    try:
        if parts.path == "/embed":
            run_event_loop()
        return libvirt.openReadOnly(uri) if read_only else libvirt.open(uri)
    except libvirt.libvirtError as error:
        hint = "name another connection with --connect URI"
        if error.get_error_code() == _SYSTEM_ERROR and error.get_int1() in _NOT_LISTENING:
            driver = parts.scheme.partition("+")[0] or "qemu"
            hint = f"start libvirtd or virt{driver}d, or {hint}"
        raise SourceError(f"libvirt: {printable(str(error))}", hint) from error


def run_event_loop() -> None:
    """Run libvirt's event loop in a thread.  Call it before opening a connection that receives events.

    Without it no event arrives, and a driver that runs in this process (``qemu:///embed``) does not work.
    Further calls do nothing.
    """
    _start_event_loop(libvirt_module())


@cache
def _start_event_loop(libvirt: Any) -> None:
    libvirt.virEventRegisterDefaultImpl()

    def run() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=run, name="libvirt events", daemon=True).start()


def find_domain(connection: Any, name: str, hint: str = MUST_RUN) -> Any:
    """Return a domain, a `libvirt.virDomain`, looked up in the order that ``virsh`` uses.

    :param connection: A `libvirt.virConnect`.
    :param name: The domain's id, name or UUID.
    :param hint: What to do if there is no such domain.
    :raise SourceError: When there is none; the message is libvirt's about a name.
    """
    libvirt = libvirt_module()
    lookups: list[tuple[Callable[[Any], Any], Any]] = []
    if name.isascii() and name.isdigit() and len(name) < 10:
        lookups.append((connection.lookupByID, int(name)))
    if len(name) == _UUID_LENGTH:
        lookups.append((connection.lookupByUUIDString, name))
    for lookup, key in lookups:
        with suppress(libvirt.libvirtError):
            return lookup(key)
    try:
        return connection.lookupByName(name)
    except libvirt.libvirtError as error:
        raise SourceError(f"domain {printable(name, 100)}: {printable(str(error))}", hint) from error


def monitor_command(domain: Any, message: dict[str, Any]) -> dict[str, Any]:
    """Send a QMP command to a domain's QEMU and return the answer, which may be an error.

    libvirt marks the domain as tainted (``custom-monitor``).

    :param domain: A `libvirt.virDomain`.
    :param message: The command, with ``execute`` and maybe ``arguments``.
    :raise libvirt.libvirtError: When there is no answer.
    """
    import libvirt_qemu

    answer: dict[str, Any] = json.loads(libvirt_qemu.qemuMonitorCommand(domain, json.dumps(message), 0))
    return answer


def unblock_events(connection: Any) -> None:
    """Have libvirt send events again if it has stopped to.  Call it before registering for events.

    If an event is queued while the last of all receivers deregisters or disconnects, it may stay in
    libvirt's queue.  A timer sends the queue, which only an event sets that finds the queue empty, so
    whoever registers next receives nothing.  The end of the last registration empties the queue.
    (Observed with libvirt 7.0, 9.0 and 11.3; virObjectEventStateQueueRemote in object_event.c.)

    :param connection: A `libvirt.virConnect`.
    :raise libvirt.libvirtError: When libvirt refuses.
    """
    lifecycle = libvirt_module().VIR_DOMAIN_EVENT_ID_LIFECYCLE
    number = connection.domainEventRegisterAny(None, lifecycle, lambda *_: None, None)
    connection.domainEventDeregisterAny(number)


def register_monitor_events(
    connection: Any, pattern: str, callback: Callable[[Any, str, str | None], None]
) -> int:
    """Receive QEMU's own events of all domains of a connection.  Does not taint the domains.

    :param connection: A `libvirt.virConnect`.
    :param pattern: A regular expression that matches the names of the events.
    :param callback: Called in libvirt's thread with the `libvirt.virDomain`, the event's name and its
        data as JSON.
    :return: What `deregister_monitor_events` takes.
    :raise libvirt.libvirtError: When libvirt refuses.
    """
    import libvirt_qemu

    def receive(
        _connection: Any, domain: Any, event: str, _seconds: int, _micros: int, details: str, _opaque: Any
    ) -> None:
        callback(domain, event, details)

    flags = libvirt_qemu.VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_REGEX
    return int(libvirt_qemu.qemuMonitorEventRegister(connection, None, pattern, receive, None, flags))


def deregister_monitor_events(connection: Any, number: int) -> None:
    """Stop receiving QEMU's events.

    :param number: What `register_monitor_events` returned.
    :raise libvirt.libvirtError: When libvirt refuses.
    """
    import libvirt_qemu

    libvirt_qemu.qemuMonitorEventDeregister(connection, number)


def hint_about(error: Any, otherwise: str) -> str:
    """Return what to do about an error: another hint if it comes from a read-only connection.

    :param error: A `libvirt.libvirtError`.
    """
    denied = error.get_error_code() == _OPERATION_DENIED
    return "connect for reading and writing, not read-only" if denied else otherwise


def call_with_timeout(seconds: float | None, function: Callable[[], Result]) -> Result:
    """Call a function in a separate thread and return what it returns.

    :param seconds: How long to wait; None to wait forever.
    :param function: Calls libvirt, which may block forever.
    :raise SourceError: When it does not return in time, or raises a ``libvirtError``.
    """
    thread = CallThread()
    try:
        result: Result = thread.submit(function).result(seconds)
    except TimeoutError as error:
        raise SourceError(
            "libvirt did not answer in time", "allow more time with --timeout SECONDS"
        ) from error
    except Exception as error:
        if type(error).__name__ == "libvirtError":  # the module may not be installed
            hint = hint_about(error, "try the same with virsh")
            raise SourceError(f"libvirt: {printable(str(error))}", hint) from error
        raise
    finally:
        thread.finish(lambda: None)
    return result


class CallThread:
    """A thread that makes calls, one after the other, which may never return.

    It is a daemon thread: a call that hangs does not keep the process from exiting.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="libvirt call", daemon=True).start()

    async def call(self, function: Callable[[], Any]) -> Any:
        """Call a function after all earlier calls, and return what it returns."""
        return await asyncio.wrap_future(self.submit(function))

    def submit(self, function: Callable[[], Any]) -> "Future[Any]":
        """Queue a call behind all earlier ones, and return at once."""
        future: Future[Any] = Future()
        self._calls.put((future, function))
        return future

    def finish(self, last: Callable[[], Any]) -> None:
        """End the thread after one last call, as soon as all earlier ones have returned."""
        self._calls.put((Future(), last))
        self._calls.put(None)

    def _run(self) -> None:
        for future, function in iter(self._calls.get, None):
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except Exception as error:  # noqa: BLE001
                    future.set_exception(error)
            del future, function  # else they are kept until the next call
