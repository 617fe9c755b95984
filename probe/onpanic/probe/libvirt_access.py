"""libvirt, reached: its Python module, a connection, a domain, and calls that may never return.

Everything that talks to libvirt comes through here, so that each failure is said in the
same words, and the module is loaded only where a user asks for libvirt.
"""

import asyncio
import json
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

from .errors import SourceError
from .foreign import printable

__all__ = (
    "RUNNING",
    "Aside",
    "connect",
    "deaf_monitor",
    "find",
    "hear_monitor",
    "module",
    "monitor_command",
    "serve_events",
    "within",
)

Result = TypeVar("Result")

#: What to do where a domain cannot be asked.
RUNNING = "it has to be a running QEMU domain"


def module() -> Any:
    """Return libvirt's Python module, which says nothing on stderr.

    :raise SourceError: When it is not installed.
    """
    try:
        import libvirt
        import libvirt_qemu  # noqa: F401
    except ImportError as error:
        raise SourceError(
            f"libvirt's Python module is not there: {printable(str(error))}",
            "install python3-libvirt, or onpanic with the extra: pip install 'onpanic[libvirt]'",
        ) from error
    libvirt.registerErrorHandler(lambda *_: None, None)  # errors are raised as well
    return libvirt


def connect(uri: str | None) -> Any:
    """Return a connection, a `libvirt.virConnect`.  Blocks for as long as libvirt does.

    :param uri: libvirt's connection URI; None for its default.
    :raise SourceError: When there is no libvirt, or it refuses.
    """
    libvirt = module()
    try:
        if uri and urlsplit(uri).path == "/embed":
            serve_events()
        return libvirt.open(uri)
    except libvirt.libvirtError as error:
        raise SourceError(
            f"libvirt: {printable(str(error))}", "name another connection with --connect URI"
        ) from error


@cache
def serve_events() -> None:
    """Run libvirt's event loop, without which no event comes, and its driver does not run in this process.

    It has to run before a connection is opened that shall tell of events.
    """
    libvirt = module()
    libvirt.virEventRegisterDefaultImpl()

    def serve() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=serve, name="libvirt events", daemon=True).start()


def find(connection: Any, name: str, hint: str = RUNNING) -> Any:
    """Return a domain, a `libvirt.virDomain`, looked up as ``virsh`` does.

    :param name: The domain's name, UUID or id.
    :param hint: What to do where there is none.
    :raise SourceError: When there is none; what is said of a name is what is said of all.
    """
    libvirt = module()
    lookups: list[tuple[Callable[[Any], Any], Any]] = [
        (connection.lookupByName, name),
        (connection.lookupByUUIDString, name),
    ]
    if name.isascii() and name.isdigit() and len(name) < 10:
        lookups.insert(0, (connection.lookupByID, int(name)))
    errors = []
    for lookup, key in lookups:
        try:
            return lookup(key)
        except libvirt.libvirtError as error:
            errors.append(error)
    raise SourceError(f"domain {printable(name, 100)}: {printable(str(errors[-2]))}", hint) from errors[-2]


def monitor_command(domain: Any, message: dict[str, Any]) -> dict[str, Any]:
    """Return what a domain's QEMU answers, errors included; libvirt marks the domain as tainted for it.

    :param domain: A `libvirt.virDomain`.
    :param message: A QMP command.
    :raise libvirt.libvirtError: When there is no answer.
    """
    import libvirt_qemu

    answer: dict[str, Any] = json.loads(libvirt_qemu.qemuMonitorCommand(domain, json.dumps(message), 0))
    return answer


def hear_monitor(connection: Any, pattern: str, heard: Callable[[Any, str, str | None], None]) -> int:
    """Listen to what QEMU tells of all domains of a connection; that does not mark them as tainted.

    Returns the number that `deaf_monitor` takes.

    :param connection: A `libvirt.virConnect`.
    :param pattern: A regular expression for the names of QEMU's events.
    :param heard: Called in libvirt's thread with a `libvirt.virDomain`, the event's name and its
        members in JSON.
    :raise libvirt.libvirtError: When libvirt refuses.
    """
    import libvirt_qemu

    def hear(
        _connection: Any, domain: Any, event: str, _seconds: int, _micros: int, details: str, _opaque: Any
    ) -> None:
        heard(domain, event, details)

    flags = libvirt_qemu.VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_REGEX
    return int(libvirt_qemu.qemuMonitorEventRegister(connection, None, pattern, hear, None, flags))


def deaf_monitor(connection: Any, number: int) -> None:
    """Listen no more.

    :param number: What `hear_monitor` has returned.
    :raise libvirt.libvirtError: When libvirt refuses.
    """
    import libvirt_qemu

    libvirt_qemu.qemuMonitorEventDeregister(connection, number)


def within(seconds: float | None, function: Callable[[], Result]) -> Result:
    """Return what a function returns that is called in a thread of its own.

    :param seconds: After which it is given up, whatever it is doing; None for never.
    :param function: What calls libvirt, which blocks for as long as it likes.
    :raise SourceError: When it does not return in time, or raises what libvirt raises.
    """
    aside = Aside()
    try:
        found: Result = aside.begin(function).result(seconds)
    except TimeoutError as error:
        raise SourceError(
            "libvirt did not answer in time", "give it longer with --timeout SECONDS"
        ) from error
    except Exception as error:
        if type(error).__name__ == "libvirtError":  # its module may not be there
            raise SourceError(f"libvirt: {printable(str(error))}", "see what virsh says") from error
        raise
    finally:
        aside.end(lambda: None)
    return found


class Aside:
    """One thread for calls that may never return; it keeps no process from ending."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="libvirt", daemon=True).start()

    async def call(self, function: Callable[[], Any]) -> Any:
        """Return what the function returns, after all calls before it."""
        return await asyncio.wrap_future(self.begin(function))

    def begin(self, function: Callable[[], Any]) -> "Future[Any]":
        """Call a function after all calls before it, and do not wait for it."""
        future: Future[Any] = Future()
        self._calls.put((future, function))
        return future

    def end(self, last: Callable[[], Any]) -> None:
        """End the thread, with a last call, as soon as those before have returned."""
        self._calls.put((Future(), last))
        self._calls.put(None)

    def _work(self) -> None:
        for future, function in iter(self._calls.get, None):
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except Exception as error:  # noqa: BLE001
                    future.set_exception(error)
