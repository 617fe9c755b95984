"""A played libvirt for the quick tests: the modules ``libvirt`` and ``libvirt_qemu`` without libvirt.

The fixture ``played_libvirt`` installs both modules for one test and gives it the `PlayedLibvirt`
behind them::

    def test_a_crashed_domain(played_libvirt: PlayedLibvirt) -> None:
        domain = played_libvirt.add(PRESERVE)  # runs; the XML has <panic> and <on_crash>preserve
        domain.panic()
        assert domain.state == (6, 1)
        ...  # use onpanic: every connection that it opens finds the domain
        assert ("resume", "guest") in played_libvirt.calls

What it does is what libvirt 9.0 with QEMU 7.2 was seen to do.  A domain's `PlayedDomain.panic`
runs libvirt's own action, by the domain's ``<on_crash>``, and sends the events in libvirt's order.
Events are delivered by ``virEventRunDefaultImpl``, so they need a thread that calls it, as
`onpanic.core.libvirt_api.run_event_loop` starts one; `PlayedLibvirt.wait_delivered` waits until
none is left.  A connection that was opened before ``virEventRegisterDefaultImpl`` cannot register
for events.

Faults::

    played_libvirt.fail("resume", C["VIR_ERR_OPERATION_FAILED"], "no")  # the next call raises
    played_libvirt.fail("open", C["VIR_ERR_SYSTEM_ERROR"], "Failed to connect", times=3)
    hang = played_libvirt.hang("state")  # the next call blocks until hang.release()
    played_libvirt.on("resume", domain.panic, after=True)  # the guest panics again at once
    played_libvirt.disconnect()  # every connection dies, its close callback is called

A call has the name of its Python method; ``dump`` is the time while a dump is written, and
``open`` and ``qemuMonitorCommand`` are functions of the modules.  At the end of the test the fixture
releases what hangs, ends the thread of the event loop and removes the modules.  For a command that
runs as a process see `tests.played.command`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any, NoReturn, TypeVar
from weakref import WeakSet
from xml.etree import ElementTree as ET

from .client import libvirtError, make_error, reset_last_error, virConnect, virDomain
from .constants import LIBVIRT, LIBVIRT_QEMU
from .domain import PlayedDomain
from .events import Events
from .scripted_calls import Call, Hang, ScriptedCalls

__all__ = ("PRESERVE", "Call", "Hang", "PlayedDomain", "PlayedLibvirt")

Result = TypeVar("Result")

_DEADLINE = 30  # seconds; for what a test forgot to release

#: A domain that has a panic notifier, and is kept as it is when it panics.
PRESERVE = """\
<domain type='kvm'>
  <name>guest</name>
  <memory unit='MiB'>16</memory>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
  </os>
  <features>
    <acpi/>
  </features>
  <on_crash>preserve</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <panic model='isa'/>
  </devices>
</domain>
"""

_CAPABILITIES = """\
<domainCapabilities>
  <path>{path}</path>
  <domain>{domain}</domain>
  <machine>{machine}</machine>
  <arch>{arch}</arch>
  <devices>
    <panic supported='yes'>
      <enum name='model'>
        <value>isa</value>
      </enum>
    </panic>
  </devices>
</domainCapabilities>
"""


class PlayedLibvirt(ScriptedCalls, Events):
    """The libvirt that a test scripts.

    :ivar domains: Its domains.
    :ivar version: libvirt's version number.
    :ivar client_version: The client library's version number; None for libvirt's.
    :ivar qemu_version: QEMU's version, as a number of the same form.
    :ivar hypervisor_version: What ``getVersion`` returns: Xen's version for its driver.
    :ivar driver: What ``getType`` returns.
    :ivar hostname: What ``getHostname`` returns.
    :ivar emulators: The emulator for the guests of each architecture.
    :ivar dump_folder: Where libvirt's own dumps go; None to write no file.
    :ivar error_handler: What was registered, with its context; None for libvirt's own, which prints.
    :ivar replaced: The modules that its modules have replaced, by name; None where there was none.
    """

    def __init__(self) -> None:
        ScriptedCalls.__init__(self)
        Events.__init__(self)
        self.domains: list[PlayedDomain] = []
        self.version = 9_000_000
        self.client_version: int | None = None
        self.qemu_version = 7_002_022
        self.hypervisor_version = 4_017_000
        self.driver = "QEMU"
        self.hostname = "played"
        self.emulators = {"x86_64": "/usr/bin/qemu-system-x86_64"}
        self.dump_folder: str | None = None
        self.error_handler: tuple[Callable[[Any, Any], object], Any] | None = None
        self.replaced: dict[str, Any] = {}
        self.lock = threading.RLock()
        self._last_id = 0
        self._connections: WeakSet[virConnect] = WeakSet()

    # Scripting

    def add(self, xml: str = PRESERVE, *, running: bool = True, persistent: bool = True) -> PlayedDomain:
        """Add a domain.

        :param xml: Its XML; returned by ``XMLDesc`` as it is, with a UUID added if it has none.
        :param running: Start it.
        :param persistent: False for a transient domain.
        """
        with self.lock:
            domain = PlayedDomain(self, xml, persistent=persistent)
            self.domains.append(domain)
            if running:
                domain.start()
            return domain

    def fail(self, call: str, code: int, message: str, *, times: int = 1, domain: str | None = None) -> None:
        """Let a call raise a ``libvirtError`` with this code and message; see `on`."""

        def refuse() -> NoReturn:
            raise make_error(self, code, message)

        self.on(call, refuse, times=times, domain=domain)

    def disconnect(self, reason: int = LIBVIRT["VIR_CONNECT_CLOSE_REASON_EOF"]) -> None:
        """Let all connections die, as when the daemon is restarted.  New ones can be opened."""
        with self.lock:
            for connection in self.connections:
                connection._dead = True
                if connection._on_close is not None:
                    callback, opaque = connection._on_close
                    self.deliver_later(partial(callback, connection, reason, opaque))
        self.release_all()

    @property
    def connections(self) -> list[virConnect]:
        """The connections that are open.  A closed one stays open for its callbacks, as with libvirt."""
        return [c for c in list(self._connections) if not c._closed or self.has_callbacks(c)]

    def end(self) -> None:
        """Release what hangs, and end the threads that run the event loop."""
        self.release_all()
        self.end_event_loop()

    # For the domains and connections

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def define(self, xml: str) -> PlayedDomain:
        name, identity = self._identity(xml)
        for domain in self.domains:
            if domain.uuid == identity or (domain.name == name and identity is None):
                domain.persistent = True
                domain.redefine(xml)
                return domain
        domain = self.add(xml, running=False)
        kind, detail = (LIBVIRT[f"VIR_DOMAIN_EVENT_DEFINED{suffix}"] for suffix in ("", "_ADDED"))
        self.event(domain, LIBVIRT["VIR_DOMAIN_EVENT_ID_LIFECYCLE"], kind, detail)
        return domain

    def create(self, xml: str, *, paused: bool) -> PlayedDomain:
        name, identity = self._identity(xml)
        if any(domain.name == name or domain.uuid == identity for domain in self.domains):
            message = f"operation failed: domain '{name}' already exists"
            raise make_error(self, LIBVIRT["VIR_ERR_OPERATION_FAILED"], message)
        domain = self.add(xml, running=False, persistent=False)
        domain.start(paused=paused)
        return domain

    def host_capabilities(self) -> str:
        arches = "".join(
            f"<guest><os_type>hvm</os_type><arch name='{name}'><wordsize>64</wordsize>"
            f"<emulator>{path}</emulator><machine>pc-i440fx-7.2</machine><domain type='qemu'/>"
            "<domain type='kvm'/></arch></guest>"
            for name, path in self.emulators.items()
        )
        return f"<capabilities><host><cpu><arch>x86_64</arch></cpu></host>{arches}</capabilities>"

    def to_native(self, xml: str) -> str:
        root = ET.fromstring(xml)
        crash, panic = root.findtext("on_crash", "destroy"), root.find("devices/panic")
        known = ["destroy", "restart", "preserve", "rename-restart", "coredump-destroy", "coredump-restart"]
        known += ["preserve-running"] * (self.version >= 12_006_000)
        models = ["isa", "hyperv", "pseries", "s390", *["pvpanic"] * (self.version >= 9_001_000)]
        model = "isa" if panic is None else panic.get("model")
        if crash not in known:
            raise make_error(self, LIBVIRT["VIR_ERR_CONFIG_UNSUPPORTED"], f"unknown on_crash action: {crash}")
        if model not in models:
            raise make_error(self, LIBVIRT["VIR_ERR_CONFIG_UNSUPPORTED"], f"unknown panic model '{model}'")
        if crash == "rename-restart" and self.version >= 7_007_000:
            raise make_error(
                self, LIBVIRT["VIR_ERR_CONFIG_UNSUPPORTED"], f"on_crash action {crash} unsupported"
            )
        return "/usr/bin/qemu-system-x86_64"

    def capabilities(self, **words: str | None) -> str:
        default = {
            "path": self.emulators.get(words["arch"] or "x86_64", ""),
            "domain": "kvm",
            "machine": "pc-i440fx-7.2",
            "arch": "x86_64",
        }
        return _CAPABILITIES.format(**{name: words[name] or default[name] for name in default})

    def call(
        self, connection: virConnect, name: str, domain: PlayedDomain | None, work: Callable[[], Result]
    ) -> Result:
        """Make a call: first what is scripted for it, then its work."""
        about = domain.name if domain else ""
        self.calls.append(Call(name, about))
        self.run_hooks(name, about)
        if connection._dead:
            message = "internal error: client socket is closed"
            raise make_error(self, LIBVIRT["VIR_ERR_INTERNAL_ERROR"], message, LIBVIRT["VIR_FROM_RPC"])
        with self.lock:
            if domain is not None and domain.gone:
                message = f"Domain not found: no domain with matching uuid '{domain.uuid}' ({domain.name})"
                raise make_error(self, LIBVIRT["VIR_ERR_NO_DOMAIN"], message)
            result = work()
        self.run_hooks(name, about, after=True)
        return result

    def _identity(self, xml: str) -> tuple[str | None, str | None]:
        try:
            root = ET.fromstring(xml)
        except ET.ParseError as error:
            message = f"XML error: {error}"
            raise make_error(self, LIBVIRT["VIR_ERR_XML_DETAIL"], message, LIBVIRT["VIR_FROM_XML"]) from error
        return root.findtext("name"), root.findtext("uuid")

    # The modules

    def open(self, uri: str | None = None, *, read_only: bool = False) -> virConnect:
        reset_last_error()
        self.calls.append(Call("open", ""))
        self.run_hooks("open", "")
        connection = virConnect(self, uri or "qemu:///system", read_only=read_only)
        self._connections.add(connection)
        return connection

    def monitor_command(self, domain: virDomain, cmd: str, flags: int = 0) -> str:
        human = bool(flags & LIBVIRT_QEMU["VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP"])
        played = domain._played
        return domain._change("qemuMonitorCommand", lambda: played.monitor(cmd, human=human))

    def register_monitor(
        self, conn: virConnect, dom: virDomain | None, event: str | None, cb: Any, opaque: Any, flags: int = 0
    ) -> int:
        work = lambda: conn._register(dom, event or "", cb, opaque, flags)  # noqa: E731
        return conn._change("qemuMonitorEventRegister", work)

    def deregister_monitor(self, conn: virConnect, number: int) -> None:
        conn._call("qemuMonitorEventDeregister", lambda: conn._deregister(number))

    def modules(self) -> dict[str, ModuleType]:
        """Return the modules, by name."""

        def set_handler(f: Callable[[Any, Any], object] | None, ctx: Any) -> int:
            self.error_handler = (f, ctx) if f else None
            return 1

        def register_event_loop() -> int:
            self.has_event_loop = True
            return 0

        libvirt, libvirt_qemu = ModuleType("libvirt"), ModuleType("libvirt_qemu")
        vars(libvirt).update(
            LIBVIRT,
            played=self,
            libvirtError=libvirtError,
            virConnect=virConnect,
            virDomain=virDomain,
            open=self.open,
            openReadOnly=lambda name=None: self.open(name, read_only=True),
            openAuth=lambda uri, auth, flags=0: self.open(uri),  # noqa: ARG005
            getVersion=lambda name=None: self.client_version or self.version,  # noqa: ARG005
            registerErrorHandler=set_handler,
            virEventRegisterDefaultImpl=register_event_loop,
            virEventRunDefaultImpl=self.run_event_loop_once,
        )
        vars(libvirt_qemu).update(
            LIBVIRT_QEMU,
            qemuMonitorCommand=self.monitor_command,
            qemuMonitorEventRegister=self.register_monitor,
            qemuMonitorEventDeregister=self.deregister_monitor,
        )
        return {"libvirt": libvirt, "libvirt_qemu": libvirt_qemu}
