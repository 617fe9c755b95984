"""What a program sees of the played libvirt: errors, connections and domains, as libvirt-python has them."""

# ruff: noqa: N801, N802, N803, A002

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from .constants import LIBVIRT as C

if TYPE_CHECKING:
    from .domain import PlayedDomain
    from .libvirt import PlayedLibvirt

__all__ = ("libvirtError", "make_error", "reset_last_error", "virConnect", "virDomain")

_RawError = tuple[int, int, str, int, str | None, str | None, str | None, int, int]
_DOMAINS = {C["VIR_FROM_QEMU"]: "QEMU Driver", C["VIR_FROM_DOMAIN"]: "Domain", C["VIR_FROM_RPC"]: "XML-RPC"}

Result = TypeVar("Result")

_thread = threading.local()


class libvirtError(Exception):
    """As libvirt-python's: a new one has the calling thread's last error."""

    def __init__(self, defmsg: str) -> None:
        self.err: _RawError | None = getattr(_thread, "last", None)
        super().__init__(self.err[2] if self.err else defmsg)

    def get_error_code(self) -> int | None:
        return self.err[0] if self.err else None

    def get_error_domain(self) -> int | None:
        return self.err[1] if self.err else None

    def get_error_message(self) -> str | None:
        return self.err[2] if self.err else None

    def get_error_level(self) -> int | None:
        return self.err[3] if self.err else None

    def get_str1(self) -> str | None:
        return self.err[4] if self.err else None

    def get_str2(self) -> str | None:
        return self.err[5] if self.err else None

    def get_str3(self) -> str | None:
        return self.err[6] if self.err else None

    def get_int1(self) -> int | None:
        return self.err[7] if self.err else None

    def get_int2(self) -> int | None:
        return self.err[8] if self.err else None


def reset_last_error() -> None:
    """Forget the calling thread's last error, as each of libvirt's functions does first."""
    _thread.last = None


def make_error(server: PlayedLibvirt, code: int, message: str, domain: int | None = None) -> libvirtError:
    """Report an error as libvirt does, to the error handler or on stderr, and return it to be raised."""
    source = C["VIR_FROM_QEMU"] if domain is None else domain
    error: _RawError = (code, source, message, C["VIR_ERR_ERROR"], "%s", message, None, -1, -1)
    _thread.last = error
    if server.error_handler is None:
        name = _DOMAINS.get(source, "")
        print(f"libvirt: {name}{' ' if name else ''}error : {message}", file=sys.stderr, flush=True)
    else:
        handler, context = server.error_handler
        handler(context, error)
    return libvirtError(message)


class virConnect:
    """A connection.  `PlayedLibvirt.connections` has it until it is closed and has no callbacks."""

    def __init__(self, server: PlayedLibvirt, uri: str, *, read_only: bool) -> None:
        self._server = server
        self._uri = uri
        self._read_only = read_only
        self._closed = False
        self._dead = False
        self._receives_events = server.has_event_loop
        self._on_close: tuple[Callable[..., Any], Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> int:
        self._check_open("virConnectClose")
        self._closed = True
        return 0

    # About the connection

    def getURI(self) -> str:
        return self._call("getURI", lambda: self._uri)

    def getType(self) -> str:
        return self._call("getType", lambda: self._server.driver)

    def getHostname(self) -> str:
        return self._call("getHostname", lambda: self._server.hostname)

    def getLibVersion(self) -> int:
        return self._call("getLibVersion", lambda: self._server.version)

    def getVersion(self) -> int:
        return self._call("getVersion", lambda: self._server.hypervisor_version)

    def isAlive(self) -> int:
        self._check_open("virConnectIsAlive")
        return 0 if self._dead else 1

    def setKeepAlive(self, interval: int, count: int) -> int:  # noqa: ARG002
        return self._call("setKeepAlive", lambda: 0)

    def getCapabilities(self) -> str:
        return self._call("getCapabilities", self._server.host_capabilities)

    def domainXMLToNative(self, nativeFormat: str, domainXml: str, flags: int = 0) -> str:  # noqa: ARG002
        return self._change("domainXMLToNative", lambda: self._server.to_native(domainXml))

    def getDomainCapabilities(
        self,
        emulatorbin: str | None = None,
        arch: str | None = None,
        machine: str | None = None,
        virttype: str | None = None,
        flags: int = 0,  # noqa: ARG002
    ) -> str:
        words = {"path": emulatorbin, "domain": virttype, "machine": machine, "arch": arch}
        return self._change("getDomainCapabilities", lambda: self._server.capabilities(**words))

    # Domains

    def listAllDomains(self, flags: int = 0) -> list[virDomain]:
        return self._call("listAllDomains", lambda: [virDomain(self, d) for d in self._selected(flags)])

    def getAllDomainStats(self, stats: int = 0, flags: int = 0) -> list[tuple[virDomain, dict[str, Any]]]:  # noqa: ARG002
        return self._call(
            "getAllDomainStats",
            lambda: [
                (virDomain(self, d), {"state.state": d.state[0], "state.reason": d.state[1]})
                for d in self._selected(flags)
            ],
        )

    def lookupByName(self, name: str) -> virDomain:
        return self._lookup("lookupByName", lambda d: d.name == name, f"name '{name}'")

    def lookupByID(self, id: int) -> virDomain:
        return self._lookup("lookupByID", lambda d: d.id == id, f"id {id}")

    def lookupByUUIDString(self, uuidstr: str) -> virDomain:
        digits = uuidstr.replace("-", "").lower()
        if len(digits) != 32 or not set(digits) <= set("0123456789abcdef"):
            reset_last_error()
            raise make_error(self._server, C["VIR_ERR_INVALID_ARG"], "Invalid UUID", C["VIR_FROM_DOMAIN"])
        return self._lookup("lookupByUUIDString", lambda d: d.uuid == uuidstr.lower(), f"uuid '{uuidstr}'")

    def defineXML(self, xml: str) -> virDomain:
        return self.defineXMLFlags(xml)

    def defineXMLFlags(self, xml: str, flags: int = 0) -> virDomain:  # noqa: ARG002
        return self._change("defineXML", lambda: virDomain(self, self._server.define(xml)))

    def createXML(self, xmlDesc: str, flags: int = 0) -> virDomain:
        paused = bool(flags & C["VIR_DOMAIN_START_PAUSED"])
        return self._change("createXML", lambda: virDomain(self, self._server.create(xmlDesc, paused=paused)))

    # Events

    def domainEventRegisterAny(self, dom: Any, eventID: int, cb: Callable[..., Any], opaque: Any) -> int:
        return self._call("domainEventRegisterAny", lambda: self._register(dom, eventID, cb, opaque))

    def domainEventDeregisterAny(self, callbackID: int) -> int:
        return self._call("domainEventDeregisterAny", lambda: self._deregister(callbackID))

    def registerCloseCallback(self, cb: Callable[..., Any], opaque: Any) -> int:
        def register() -> int:
            self._on_close = (cb, opaque)
            return 0

        return self._call("registerCloseCallback", register)

    def unregisterCloseCallback(self) -> int:
        def unregister() -> int:
            if self._on_close is None:
                raise make_error(
                    self._server, C["VIR_ERR_OPERATION_INVALID"], "A close callback is not registered"
                )
            self._on_close = None
            return 0

        return self._call("unregisterCloseCallback", unregister)

    def _register(
        self, dom: Any, kind: int | str, cb: Callable[..., Any], opaque: Any, flags: int = 0
    ) -> int:
        if not self._receives_events:
            message = "internal error: could not initialize domain event timer"
            raise make_error(self._server, C["VIR_ERR_INTERNAL_ERROR"], message, C["VIR_FROM_NONE"])
        uuid = None if dom is None else dom.UUIDString()
        return self._server.register(self, uuid, kind, cb, opaque, flags)

    def _deregister(self, number: int) -> int:
        if not self._server.deregister(self, number):
            message = f"invalid argument: could not find event callback {number} for deletion"
            raise make_error(self._server, C["VIR_ERR_INVALID_ARG"], message)
        return 0

    # Calls

    def _selected(self, flags: int) -> list[PlayedDomain]:
        active, inactive = C["VIR_CONNECT_LIST_DOMAINS_ACTIVE"], C["VIR_CONNECT_LIST_DOMAINS_INACTIVE"]
        wanted = flags & (active | inactive) or active | inactive
        return [d for d in self._server.domains if wanted & (active if d.active else inactive)]

    def _lookup(self, call: str, matches: Callable[[PlayedDomain], bool], key: str) -> virDomain:
        def find() -> virDomain:
            for domain in self._server.domains:
                if matches(domain):
                    return virDomain(self, domain)
            message = f"Domain not found: no domain with matching {key}"
            raise make_error(self._server, C["VIR_ERR_NO_DOMAIN"], message)

        return self._call(call, find)

    def _change(self, name: str, work: Callable[[], Result]) -> Result:
        self._check_writable(name)
        return self._call(name, work)

    def _check_writable(self, name: str) -> None:
        if self._read_only:
            reset_last_error()
            message = f"operation forbidden: read only access prevents {name}"
            raise make_error(self._server, C["VIR_ERR_OPERATION_DENIED"], message, C["VIR_FROM_DOMAIN"])

    def _check_open(self, name: str) -> None:
        reset_last_error()
        if self._closed:
            message = f"invalid connection pointer in {name}"
            raise make_error(self._server, C["VIR_ERR_INVALID_CONN"], message, C["VIR_FROM_DOMAIN"])

    def _call(self, name: str, work: Callable[[], Result]) -> Result:
        self._check_open(name)
        return self._server.call(self, name, None, work)


class virDomain:
    """A domain as a connection has found it.  As with libvirt its name, UUID and id are those of then."""

    def __init__(self, conn: virConnect, played: PlayedDomain) -> None:
        self._conn = conn
        self._played = played
        self._name, self._uuid, self._id = played.name, played.uuid, played.id

    def connect(self) -> virConnect:
        return self._conn

    def name(self) -> str:
        return self._name

    def UUIDString(self) -> str:
        return self._uuid

    def ID(self) -> int:
        return self._id

    def state(self, flags: int = 0) -> list[int]:  # noqa: ARG002
        return self._call("state", lambda: list(self._played.state))

    def info(self) -> list[int]:
        return self._call("info", lambda: [self._played.state[0], 16384, 16384, 1, self._played.cpu_time])

    def isActive(self) -> int:
        return self._call("isActive", lambda: int(self._played.active))

    def isPersistent(self) -> int:
        return self._call("isPersistent", lambda: int(self._played.persistent))

    def XMLDesc(self, flags: int = 0) -> str:
        inactive = bool(flags & C["VIR_DOMAIN_XML_INACTIVE"])
        return self._call("XMLDesc", lambda: self._played.description(inactive=inactive))

    def jobStats(self, flags: int = 0) -> dict[str, int]:  # noqa: ARG002
        return self._call("jobStats", self._played.job_stats)

    def jobInfo(self) -> list[int]:
        return self._call("jobInfo", lambda: [self._played.job, *[0] * 11])

    def controlInfo(self, flags: int = 0) -> list[int]:  # noqa: ARG002
        return self._call("controlInfo", self._played.control_info)

    def vcpus(self) -> tuple[list[tuple[int, int, int, int]], list[tuple[bool, ...]]]:
        return self._call("vcpus", self._played.vcpus)

    def create(self) -> int:
        result = self._change("create", self._played.start)
        self._id = self._played.id
        return result

    def destroy(self) -> int:
        return self._change("destroy", self._played.destroy)

    def reset(self, flags: int = 0) -> int:  # noqa: ARG002
        return self._change("reset", self._played.reset)

    def resume(self) -> int:
        return self._change("resume", self._played.resume)

    def suspend(self) -> int:
        return self._change("suspend", self._played.suspend)

    def rename(self, new_name: str, flags: int = 0) -> int:  # noqa: ARG002
        result = self._change("rename", lambda: self._played.rename(new_name))
        self._name = new_name
        return result

    def undefine(self) -> int:
        return self._change("undefine", self._played.undefine)

    def setLifecycleAction(self, type: int, action: int, flags: int = 0) -> int:
        return self._change("setLifecycleAction", lambda: self._played.set_action(type, action, flags))

    def coreDumpWithFormat(self, to: str, dumpformat: int, flags: int = 0) -> int:  # noqa: ARG002
        if Path(to).is_fifo():  # only the beginning would be read, and no memory is played
            raise make_error(self._conn._server, C["VIR_ERR_INTERNAL_ERROR"], "no dump to a FIFO")
        self._change("coreDumpWithFormat", lambda: self._played.begin_dump(dumpformat))
        return self._played.dump(to, dumpformat)  # not under the lock: other calls go on meanwhile

    def _change(self, name: str, work: Callable[[], Result]) -> Result:
        self._conn._check_writable(name)
        return self._call(name, work)

    def _call(self, name: str, work: Callable[[], Result]) -> Result:
        reset_last_error()
        return self._conn._server.call(self._conn, name, self._played, work)
