"""What from-libvirt states of a domain is what libvirt does when its guest panics."""

import time
from pathlib import Path
from typing import Any

import pytest

from onpanic.shims import Libvirt
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.translation.domain_policy import effective_policy

from ..running.libvirtd import HOST_AND_NEWEST, folder_of

# Not libvirt 7.0: its QEMU has no -action, and its daemon aborts after a restart with <on_reboot>destroy
pytestmark = [pytest.mark.libvirt, pytest.mark.libvirts(*HOST_AND_NEWEST)]

# Write a letter to the serial port
SAY = "b0{:02x} baf803 ee"
# Panic once: the clock's byte 0x50, which survives a reset, is 0x5a afterwards
MARK = "b050 e670 b05a e671"
# As drivers do: if port 0x505 offers bit 0, write 1 to it, and let QEMU stop the CPU
PANIC = "ba0505 ec a801 7405 b001 ee eb00"
HALT = "f4 ebfd"

QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
XML = """\
<domain type='qemu' xmlns:qemu='{namespace}'>
  <name>{name}</name>
  <memory unit='MiB'>16</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  {lines}
  <devices>
    <disk type='file'>
      <driver name='qemu' type='raw'/><source file='{folder}/{name}.img'/><target dev='hda' bus='ide'/>
    </disk>
    <serial type='file'><source path='{folder}/{name}.serial'/><target port='0'/></serial>
    {devices}
  </devices>
  <qemu:commandline>{arguments}</qemu:commandline>
</domain>
"""

ISA = "<panic model='isa'/>"

#: Names of domains: the value of <on_crash>, other elements, arguments, and devices.  A restart with
#: panic=exit-failure is left out: libvirt may reset the guest before it ends it, or not.
DOMAINS = {
    "default": ("", "", "", ISA),
    "destroy": ("destroy", "", "", ISA),
    "restart": ("restart", "", "", ISA),
    "preserve": ("preserve", "", "", ISA),
    "preserve-running": ("preserve-running", "", "", ISA),
    "no-notifier": ("restart", "", "", ""),
    "own-notifier": ("restart", "", "-device pvpanic", ""),
    "silent": ("restart", "", "-global pvpanic.events=2", ISA),
    "on-reboot": ("restart", "<on_reboot>destroy</on_reboot>", "", ISA),
    "on-reboot-preserve": ("preserve", "<on_reboot>destroy</on_reboot>", "", ISA),
    "no-reboot": ("restart", "", "-no-reboot", ISA),
    "no-reboot-poweroff": ("restart", "<on_poweroff>restart</on_poweroff>", "-no-reboot", ISA),
    "reboot-shutdown": ("restart", "", "-action reboot=shutdown", ISA),
    "none-destroy": ("destroy", "", "-action panic=none", ISA),
    "none-restart": ("restart", "", "-action panic=none", ISA),
    "none-preserve": ("preserve", "", "-action panic=none", ISA),
    "exit-preserve": ("preserve", "", "-action panic=exit-failure", ISA),
    "poweroff-preserve": ("preserve", "", "-action shutdown=poweroff", ISA),
}


def boot_sector() -> bytes:
    """Return a guest that writes AP and panics; then W if it is continued, and AR if it is reset."""

    def say(letter: str) -> str:
        return SAY.format(ord(letter))

    once = f"{MARK} {say('P')} {PANIC} {say('W')} {HALT}"
    check = f"b050 e670 e471 3c5a 74{len(bytes.fromhex(once)):02x}"
    code = f"fa {say('A')} {check} {once} {say('R')} {HALT}"
    return bytes.fromhex(code).ljust(510, b"\0") + b"\x55\xaa"


class Guests:
    """Guests that panic at once.

    :param connection: A `libvirt.virConnect`.
    :param folder: A folder that its QEMU can use.
    """

    def __init__(self, connection: Any, folder: Path) -> None:
        self._connection, self._folder = connection, folder

    def start(self, name: str, value: str, lines: str, words: str, devices: str) -> str:
        """Start a guest, and return its XML."""
        disk = self._folder / f"{name}.img"
        disk.write_bytes(boot_sector())
        disk.chmod(0o666)
        xml = XML.format(
            namespace=QEMU,
            name=name,
            folder=self._folder,
            lines=lines + (f"<on_crash>{value}</on_crash>" if value else ""),
            devices=devices,
            arguments="".join(f"<qemu:arg value='{word}'/>" for word in words.split()),
        )
        domain = self._connection.defineXML(xml)
        domain.create()
        return str(domain.XMLDesc())

    def outcome(self, name: str) -> str:
        """Return what has become of a guest so far, as a value of ``<on_panic>``; empty before its panic."""
        state, _ = self._connection.lookupByName(name).state()
        said = (self._folder / f"{name}.serial").read_text("ascii")
        if state == 5:  # VIR_DOMAIN_SHUTOFF
            return "destroy"
        if said.endswith("AR"):
            return "restart"
        if said.endswith("W"):
            return "ignore"
        return "preserve" if state == 6 else ""  # VIR_DOMAIN_CRASHED


@pytest.fixture
def guests(connection: Any, uri: str) -> Guests:
    """Return what starts guests; they are ended with the connection."""
    return Guests(connection, folder_of(uri))


def test_what_is_stated_happens(guests: Guests, connection: Any) -> None:
    """All guests panic at the same time."""
    libvirt = Libvirt.of_connection(connection)
    stated: dict[str, str] = {}
    for name, described in DOMAINS.items():
        if described[0] != "preserve-running" or libvirt.preserve_running:
            xml = guests.start(name, *described)
            stated[name] = effective_policy(Document(xml).root, libvirt)[0].on_panic
    found: dict[str, str] = {}

    def settled() -> bool:
        found.update({name: guests.outcome(name) for name in stated})
        return found == stated

    deadline = time.monotonic() + 120
    while not settled() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)  # a guest that was preserved stays as it is
    settled()
    assert found == stated
    assert set(stated.values()) == {"ignore", "restart", "destroy", "preserve"}
