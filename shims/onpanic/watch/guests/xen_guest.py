"""A libvirt domain of Xen as a watched guest.

A guest of Xen that has crashed can be dumped and ended; it cannot be continued or reset.  Its name
is free once it has ended: libvirt's Xen driver has no rename, so the definition is replaced.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from onpanic.core.errors import BusyError, DocumentError, FailedError, GoneError
from onpanic.core.libvirt_api import libvirt_module
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.guests.xl_state import read_xl_list
from onpanic.watch.guests.domain_assignment import descriptions, with_name
from onpanic.watch.guests.domain_dump import DomainDump
from onpanic.watch.guests.guest import DumpProgress, DumpResult, LibvirtDump
from onpanic.watch.guests.watched_domain import WatchedDomain, WatchedDomainGuest
from onpanic.watch.guests.xen_assignment import with_on_crash, xen_assignment
from onpanic.watch.guests.xen_dumps import DUMP_FOLDER, incompleteness, latest_dump
from onpanic.watch.guests.xen_reading import (
    XenReading,
    is_pending,
    read_xen_domain,
    require_decided,
    xen_condition,
    xen_ending,
)
from onpanic.watch.rules.dump_files import dump_name
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.observation import Assignment, GuestState
from onpanic.watch.rules.policy_steps import Condition, Step
from onpanic.why.words.last_words import LastWords

__all__ = ("XenGuest",)

_SETTLES = 2.0  # seconds within which libvirt begins to handle a crash that Xen knows of
_RESTARTS = 10.0  # seconds within which libvirt has restarted a guest that it has ended
_LOOK = 0.2  # seconds between looks at a state that is to settle
_RECENT = 60.0  # seconds that the end of libvirt's dump precedes its event at most


class XenGuest(WatchedDomainGuest):
    """A `Guest` that is a domain of Xen.

    :param domain: The domain.
    :param xl_list: Returns what ``xl list -v`` prints; None if Xen cannot be asked.
    :param here: Whether libvirt is on this host.
    """

    def __init__(
        self,
        domain: WatchedDomain,
        *,
        xl_list: Callable[[], Awaitable[str | None]],
        here: bool,
    ) -> None:
        super().__init__(domain)
        self._xl_list = xl_list
        self._here = here
        self._settled_in = ""  # the start of the guest that libvirt has missed the crash of
        self._pending_since: float | None = None
        self._known_dumps: set[str] = set()
        self._dump = DomainDump(domain, partial(_dump, here=here), _dumped)

    async def read_state(self, *, ask_qemu: bool) -> GuestState:
        """Return the guest's state.

        :param ask_qemu: Whether to ask Xen if libvirt takes the guest for running.
        """
        try:
            found = await self._read()
            condition = xen_condition(found)
            if condition == "healthy" and ask_qemu:
                found, condition = await self._settle(found)
        except GoneError:
            return GuestState("gone")
        except (FailedError, DocumentError) as error:
            raise BusyError(error.message) from error
        pending = is_pending(found)
        if pending and self._has_waited():
            condition = "off"
        elif not pending:
            self._pending_since = None
        return GuestState(condition, found.instance, found.cpu_time, ending=xen_ending(found))

    async def _read(self) -> XenReading:
        def work(connection: Any) -> XenReading:
            self.name = str(connection.lookupByUUIDString(self.uuid).name())
            return read_xen_domain(connection, self.uuid)

        return await self._call_for(work)

    async def _settle(self, found: XenReading) -> tuple[XenReading, Condition]:
        """Return what libvirt reports of a guest that it takes for running, and what is true of it.

        libvirt learns of a crash a moment after Xen, or when it next hears of any domain's end.
        """
        deadline = time.monotonic() + _SETTLES
        while True:
            listed, known = await self._xl_list(), self._settled_in == found.instance
            if listed is None:
                return found, "panicked" if known else "healthy"
            state = read_xl_list(listed, self.uuid)
            if (
                state is None or state.ended != "crash"
            ):  # one that has crashed does not run again: libvirt ends it
                return found, "changing" if known else "healthy"
            if known:
                return found, "panicked"
            if time.monotonic() >= deadline:
                self._settled_in = found.instance
            await asyncio.sleep(_LOOK)
            found, before = await self._read(), found
            if (found.instance, xen_condition(found)) != (before.instance, "healthy"):
                return found, xen_condition(found)

    def _has_waited(self) -> bool:
        """Return whether libvirt has had the time to restart a guest that it has ended."""
        now = time.monotonic()
        self._pending_since = now if self._pending_since is None else self._pending_since
        return now - self._pending_since >= _RESTARTS

    async def read_assignment(self) -> Assignment | None:
        """Return the policy in the domain's metadata; None if it has none, or an invalid one."""
        now, definition = await self._call(descriptions)
        assignment, problems = xen_assignment(now, definition, overridden=self._overridden())
        return self._assigned(assignment, problems)

    async def dump_path(self, at: float) -> str:
        """Return the file that the guest's memory can be dumped to, in dom0."""
        folder = self._settings().dump_dir or DUMP_FOLDER
        return f"{folder.rstrip('/')}/{dump_name(self.name, self.uuid, at)}"

    async def dump(self, incident: Incident, progress: DumpProgress) -> DumpResult:
        """Have libvirt dump the guest's memory, and check the file."""
        made = await self._dump.run(incident, progress)
        if self._here:
            return made
        unchecked = "whether the file is complete is known in dom0 only"
        return DumpResult(made.path, "; ".join(filter(None, (made.detail, unchecked))))

    async def libvirt_dump(self) -> LibvirtDump | None:
        """Return what has become of the dump that libvirt was to make when the guest crashed."""
        due = self._assignment is not None and self._assignment.libvirt_action.startswith("coredump-")
        if not due or not self._here:
            return None
        return await asyncio.to_thread(self._check_libvirt_dump, self.name)

    def _check_libvirt_dump(self, name: str) -> LibvirtDump:
        folder = Path(DUMP_FOLDER)
        try:
            path = latest_dump(folder, name, time.time() - _RECENT, self._known_dumps)
        except OSError as error:
            return LibvirtDump("", f"whether it was made is not known: {folder}: {error.strerror}")
        if path is None:
            return LibvirtDump("", f"there is none in {folder}")
        self._known_dumps.add(path.name)
        return LibvirtDump(str(path), incompleteness(path))

    async def read_words(self, incident: Incident, timeout: float, folder: Path | None) -> LastWords:  # noqa: ARG002, ASYNC109
        """Raise an error: libvirt's Xen driver reads no memory of a guest.

        :raise FailedError: Always.
        """
        raise FailedError("libvirt's Xen driver reads no memory of a guest")

    async def take_step(self, step: Step, incident: Incident, on_starter: Callable[[str], None]) -> None:  # noqa: ARG002
        """Take a step other than ``coredump``."""
        try:
            if step == "destroy":
                await self._call(lambda domain: _destroy(domain, incident))
            elif step == "rename":
                xml = with_name(incident.xml, incident.new_name)
                await self._call_for(lambda connection: _redefine(connection, self.uuid, xml))
                self.name = incident.new_name
            elif step == "start":
                await self._start(incident)
            else:
                raise FailedError("a guest of Xen that has crashed cannot be continued")
        except DocumentError as error:
            raise FailedError(error.message, error.hint) from error

    async def _start(self, incident: Incident) -> None:
        try:
            await self._call(lambda domain: domain.create())
        except GoneError:
            if not incident.xml:
                raise
            xml = with_name(incident.xml, incident.new_name)
            await self._call_for(lambda connection: _start_from(connection, xml))
        self.name = incident.new_name or self.name

    async def transient_xml(self, *, renames: bool) -> str:
        """Return the XML of a transient domain, or the definition of one to rename; passwords included."""
        libvirt = libvirt_module()

        def work(domain: Any) -> str:
            if not domain.isPersistent():
                return str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE))
            flags = libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_INACTIVE
            return str(domain.XMLDesc(flags)) if renames else ""

        return await self._call(work)

    async def set_libvirt_action(self, action: str) -> None:
        """Change what libvirt does when the guest crashes, from its next start on.

        libvirt forgets a definition that is changed while it restarts the guest.
        """
        deadline = time.monotonic() + _RESTARTS
        try:
            while await self._call_for(lambda connection: _set_on_crash(connection, self.uuid, action)):
                if time.monotonic() >= deadline:
                    break  # libvirt does not start it again, so nothing forgets the change
                await asyncio.sleep(_LOOK)
        except DocumentError as error:
            raise FailedError(error.message, error.hint) from error


async def _dumped() -> None:
    """Return None: libvirt's Xen driver does not tell how far a dump is."""


# Functions of a domain, which are called in a thread


def _dump(domain: Any, form: str, path: str, incident: Incident, *, here: bool) -> list[str]:
    """Dump a domain's memory, and return why that has not worked; libvirt leaves an incomplete file.

    :param here: Whether the file is on this host.
    :raise libvirt.libvirtError: When libvirt has noticed that it fails.
    """
    if form != "elf":
        return ["libvirt's Xen driver makes ELF files only"]
    require_decided(domain, incident)
    file, wrong = Path(path), "libvirt has not made it"
    try:
        domain.coreDump(path, 0)
        wrong = incompleteness(file) if here else ""
    finally:
        if here and wrong:
            file.unlink(missing_ok=True)
    return [wrong] if wrong else []


def _destroy(domain: Any, incident: Incident) -> None:
    require_decided(domain, incident)
    domain.destroy()


def _redefine(connection: Any, uuid: str, xml: str) -> None:
    """Define a domain that is off under another name, which libvirt refuses while it has the old one.

    :raise FailedError: When libvirt refuses; the domain has its old name then.
    """
    libvirt = libvirt_module()
    domain = connection.lookupByUUIDString(uuid)
    before = str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_INACTIVE))
    starts = bool(domain.autostart())
    domain.undefine()
    try:
        connection.defineXML(xml).setAutostart(starts)
    except libvirt.libvirtError:
        connection.defineXML(before).setAutostart(starts)
        raise


def _start_from(connection: Any, xml: str) -> None:
    """Start a domain that libvirt no longer has, and define it first if it was persistent."""
    if Document(xml).root.get("id") is None:  # only a running domain has one
        connection.defineXML(xml).create()
    else:
        connection.createXML(xml)


def _set_on_crash(connection: Any, uuid: str, action: str) -> bool:
    """Change the ``<on_crash>`` of a domain's definition; return whether libvirt may forget that.

    :raise FailedError: When it has none.
    """
    libvirt = libvirt_module()
    domain = connection.lookupByUUIDString(uuid)
    if not domain.isPersistent():
        raise FailedError(
            "libvirt's Xen driver changes no running domain's <on_crash>, and this one is transient"
        )
    before, crashed = domain.ID(), domain.state()[1] == libvirt.VIR_DOMAIN_SHUTOFF_CRASHED
    flags = libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_INACTIVE
    connection.defineXML(with_on_crash(str(domain.XMLDesc(flags)), action))
    restarting = before == -1 and crashed
    return restarting or bool(connection.lookupByUUIDString(uuid).ID() != before)
