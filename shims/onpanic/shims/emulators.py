"""Whose capabilities a domain has: the record of its emulator."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from onpanic.probe.api import probe
from onpanic.probe.errors import SourceError
from onpanic.probe.host import host_emulator, resolved
from onpanic.probe.libvirt_access import module, within
from onpanic.probe.record import CapabilityRecord

from .domain import Machine

__all__ = ("Recorder", "record_for", "recorder")

#: Finds out what the emulator of a domain can do; raises an `OnpanicError` where it cannot.
Recorder = Callable[[Machine], CapabilityRecord]


def record_for(machine: Machine, emulator: Sequence[str] = (), *, timeout: float = 10.0) -> CapabilityRecord:
    """Probe the emulator of a domain, with the domain's machine type and kind of notifier.

    :param machine: What the domain's XML says.
    :param emulator: A command to ask instead of the domain's own ``<emulator>``; without
        both, the one that is called as QEMU calls it for the domain's architecture.
    :param timeout: Seconds that the emulator has.
    :raise EmulatorError: When it cannot be asked.
    """
    own = [machine.emulator] if machine.emulator else []
    command = list(emulator) or own or [host_emulator(machine.arch)]
    return probe(
        resolved(command),
        machines=[machine.machine] if machine.machine else (),
        notifier="pvpanic" if machine.notifiers == ("pvpanic",) else None,
        timeout=timeout,
    )


def recorder(connection: Any, *, timeout: float = 10.0) -> Recorder:
    """Return a function that probes the emulator that libvirt would run a domain with.

    :param connection: A `libvirt.virConnect`, asked for the emulator that the domain does not name.
    :param timeout: Seconds that libvirt has, and then the emulator.
    """

    def ask(machine: Machine) -> CapabilityRecord:
        """Probe it.  Raises `SourceError` where libvirt, and so the emulator, is on another host."""
        uri = str(within(timeout, connection.getURI))
        if not _local(uri):
            raise SourceError(
                f"{uri}: the emulator is on another host", "probe it there, and give its record"
            )
        chosen = [] if machine.emulator else within(timeout, partial(_chosen, connection, machine))
        # A thread of its own, as libvirt's users may call from an event loop
        return within(None, partial(record_for, machine, chosen, timeout=timeout))

    return ask


def _local(uri: str) -> bool:
    return urlsplit(uri).hostname in (None, "localhost")


def _chosen(connection: Any, machine: Machine) -> list[str]:
    """Return the emulator that libvirt chooses for a domain, nothing where it chooses none.

    Raises libvirt's own error where it has none to choose from.
    """
    from lxml import etree

    libvirt = module()
    try:
        xml = connection.getDomainCapabilities(None, machine.arch, machine.machine, machine.kind)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:  # the test driver's, for one
            raise
        return []
    path = etree.fromstring(xml.encode()).findtext("path")
    return [path] if path else []
