"""Domains whose guests panic under policies, on libvirts of the tests' own."""

import itertools
import json
import os
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from onpanic.probe import CapabilityRecord
from onpanic.shims import Libvirt, to_libvirt

from ..running.libvirtd import folder_of, restarted
from . import panicking_guests as guests
from .nmi_guests import READY, nmi_guest
from .promised_guests import Case, End, end_without_watcher

__all__ = ("Host", "Promise")

XML = """\
<domain type="qemu" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit="MiB">{guest.mebibytes}</memory>
  <os><type arch="{guest.arch}" machine="{guest.machine}">hvm</type>{system}</os>
  {elements}
  <on_panic{coredump}>{value}</on_panic>
  <devices>
    <controller type="usb" model="none"/>
    <memballoon model="none"/>
    {devices}
  </devices>
  <qemu:commandline>
    <qemu:arg value="-qmp"/>
    <qemu:arg value="unix:{monitor},server=on,wait=off"/>
    {arguments}
  </qemu:commandline>
</domain>
"""
ELEMENTS = {"on-reboot-destroy": "<on_reboot>destroy</on_reboot>"}
ARGUMENTS = {"no-reboot": "<qemu:arg value='-no-reboot'/>"}
PANIC_DEVICE = "<panic model='{}'/>"
#: Where libvirt has no model for it.
PCI_DEVICE = "<qemu:arg value='-device'/><qemu:arg value='pvpanic-pci'/>"
NUMBERS = itertools.count()


class Host:
    """A libvirt, with the guests that run there."""

    def __init__(self, libvirt: Any, uri: str, until_the_end: ExitStack) -> None:
        self._until_the_end = until_the_end
        self.libvirt = libvirt
        self.uri = uri
        self.folder = folder_of(uri)
        self.folder.chmod(0o777)
        self.connection = libvirt.open(uri)

    def again(self) -> None:
        """Connect again."""
        self.connection = self.libvirt.open(self.uri)

    def restart(self, meanwhile: Callable[[], object]) -> None:
        """Restart the daemon, and do something while there is none."""
        self._until_the_end.enter_context(restarted(self.uri, meanwhile))
        self.again()

    def cores(self, domain_name: str) -> list[Path]:
        """Return the dumps of a guest, libvirt's own and the watcher's, but not what says why it panicked."""
        found = (self.folder / "qemu/dump").glob("*")
        number = domain_name.partition("-")[0]
        return [path for path in found if number in path.name and path.suffix != ".txt"]


class Promise:
    """A guest that must end as its policy says.

    :ivar host: The libvirt that it runs under.
    """

    def __init__(self, case: Case, host: Host, record: CapabilityRecord) -> None:
        number = next(NUMBERS)
        self.case = case
        self.name = f"g{number:03}-{case.name}"
        self.host = host
        self._hosts = {host}  # where it has been
        self.uuid = str(uuid.uuid4())
        self._monitor = f"{host.folder}/{number}.qmp"
        guest = nmi_guest(case.model)
        image = host.folder / f"{number}.img"
        guests.disk(image, guest.image)
        target = Libvirt.of_connection(host.connection)
        by_arguments = case.model == "pvpanic" and not target.pci
        acpi = "<features><acpi/></features>" if guest.arch == "x86_64" else ""
        xml = XML.format(
            name=self.name,
            uuid=self.uuid,
            value=case.value,
            coredump=" coredump='yes'" if case.coredump else "",
            guest=guest,
            system=guest.system(image),
            elements=acpi + ELEMENTS.get(case.kind, ""),
            devices=guest.disk(image) + ("" if by_arguments else PANIC_DEVICE.format(case.model)),
            arguments=ARGUMENTS.get(case.kind, "") + (PCI_DEVICE if by_arguments else ""),
            monitor=self._monitor,
        )
        done = to_libvirt(xml, record, libvirt=target)
        self.written = done.xml

    def start(self) -> None:
        if self.case.lifetime == "transient":
            self.host.connection.createXML(self.written)
        else:
            self.host.connection.defineXML(self.written).create()

    @property
    def domain(self) -> Any:
        return self.host.connection.lookupByUUIDString(self.uuid)

    def panic(self) -> None:
        """Make it panic once it can, through a monitor that libvirt does not know, and wait until it has."""
        with socket.socket(socket.AF_UNIX) as line, line.makefile() as said:
            line.settimeout(guests.DEADLINE)
            line.connect(self._monitor)

            def until(said_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
                found: dict[str, Any]
                while not said_so(found := json.loads(said.readline())):  # fails if QEMU has ended
                    assert "error" not in found, (self.name, found)
                return found

            def ask(command: str, **arguments: str) -> str:
                line.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
                return str(until(lambda found: "return" in found)["return"])

            ask("qmp_capabilities")
            deadline = time.monotonic() + guests.DEADLINE
            byte = {"command-line": f"xp /1bx {READY}"}
            while not ask("human-monitor-command", **byte).strip().endswith("0x01"):
                assert time.monotonic() < deadline, f"{self.name} is not ready"
                time.sleep(0.05)
            line.sendall(b'{"execute": "inject-nmi"}')
            until(lambda found: found.get("event") == "GUEST_PANICKED")

    def save_and_restore(self) -> None:
        """Save it and restore it as it was, if it runs."""
        if not self._active():
            return
        path = str(self.host.folder / f"{self.name}.saved")
        self.domain.save(path)
        self.host.connection.restore(path)
        Path(path).unlink()

    def migrate(self, other: Host) -> None:
        """Migrate it to another libvirt of this host, in the state that it is in, if it runs."""
        if not self._active():
            return
        libvirt = self.host.libvirt
        domain = self.domain
        flags = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_UNSAFE
        if domain.isPersistent():
            flags |= libvirt.VIR_MIGRATE_PERSIST_DEST | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
        if domain.state()[0] != libvirt.VIR_DOMAIN_RUNNING:
            flags |= libvirt.VIR_MIGRATE_PAUSED
        form = libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_MIGRATABLE
        xml = domain.XMLDesc(form)
        monitor = self._monitor.replace(".qmp", ".moved")  # the old QEMU removes its socket
        parameters = {
            libvirt.VIR_MIGRATE_PARAM_DEST_XML: xml.replace(self._monitor, monitor),
            libvirt.VIR_MIGRATE_PARAM_URI: f"unix://{other.folder}/{self.name}",  # other tests have the ports
        }
        if domain.isPersistent():
            parameters[libvirt.VIR_MIGRATE_PARAM_PERSIST_XML] = domain.XMLDesc(
                form | libvirt.VIR_DOMAIN_XML_INACTIVE
            ).replace(self._monitor, monitor)
        domain.migrate3(other.connection, parameters, flags)
        self.host, self._monitor = other, monitor
        self._hosts.add(other)

    def settled(self) -> bool:
        """Return whether libvirt has come to an end with its panic, as it does without a watcher."""
        end = end_without_watcher(self.case, Libvirt.of_connection(self.host.connection)).condition
        return self.condition() in ((end, "running") if end == "panicked" else (end,))

    def _active(self) -> bool:
        try:
            return bool(self.domain.isActive())
        except self.host.libvirt.libvirtError:
            return False

    def condition(self) -> str:
        """Return how it is: as QEMU says, if it runs."""
        libvirt = self.host.libvirt
        try:
            domain = self.domain
            state, _ = domain.state()
            if state == libvirt.VIR_DOMAIN_SHUTOFF:
                return "off"
            if state == libvirt.VIR_DOMAIN_SHUTDOWN:
                return "shutting down"
            status = run_state(domain)
        except libvirt.libvirtError as error:
            code = error.get_error_code()
            gone = code in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID)
            return "off" if gone else f"error: {error}"
        if status == "running":
            return "running" if state == libvirt.VIR_DOMAIN_RUNNING else "running, not for libvirt"
        return {"guest-panicked": "panicked"}.get(status, status)

    def end(self) -> End:
        """Return how it has ended."""
        condition, renamed = self.condition(), False
        if condition != "off":
            try:
                renamed = self.domain.name() == f"{self.name}-restart-1"
            except self.host.libvirt.libvirtError:  # the watcher is about to start it again
                condition = "off"
        return End(condition, renamed, bool(self._cores()))

    def _cores(self) -> list[Path]:
        return [core for host in self._hosts for core in host.cores(self.name)]

    def clean_up(self) -> None:
        libvirt = self.host.libvirt
        with suppress(libvirt.libvirtError):
            domain = self.domain
            with suppress(OSError, ValueError):  # libvirt asks QEMU first, and waits
                pid = self.host.folder / f"qemu/run/{domain.name()}.pid"
                os.kill(int(pid.read_text(encoding="ascii")), 9)
            with suppress(libvirt.libvirtError):
                domain.destroy()
            domain.undefine()
        for core in self._cores():
            core.unlink()


def run_state(domain: Any) -> str:
    import libvirt_qemu

    answer = libvirt_qemu.qemuMonitorCommand(domain, '{"execute": "query-status"}', 0)
    return str(json.loads(answer)["return"]["status"])
