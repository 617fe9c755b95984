"""A libvirt domain as a watched guest."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import msgspec

from onpanic.core.errors import (
    BusyError,
    DocumentError,
    FailedError,
    GoneError,
    MissingExtraError,
    RefusedError,
    StaleError,
)
from onpanic.core.libvirt_api import libvirt_module
from onpanic.probe.decision.rules import refusal_of_policy
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.elements import child, text_of
from onpanic.shims.domain_xml.policy_xml import stored_policy
from onpanic.shims.guests.guest_states import domain_run_state
from onpanic.shims.guests.resume import resume_domain
from onpanic.shims.translation.domain_policy import unhonoured_changes
from onpanic.watch.guests.guest import Assignment, DumpProgress, GuestState
from onpanic.watch.guests.libvirt_connection import LibvirtConnection
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.naming import dump_name, renamed
from onpanic.watch.rules.next_step import Condition, Step
from onpanic.watch.rules.settings import Settings

__all__ = ("LibvirtGuest",)

Result = TypeVar("Result")

_DEBOUNCE = 0.3  # seconds; libvirt first reports that a guest is paused, and then why
_POLL = 0.5  # seconds between queries of a dump's progress

# virDomainLifecycleAction
_ACTIONS = {"destroy": 0, "restart": 1, "preserve": 3, "coredump-destroy": 4, "coredump-restart": 5}

# guest-panicked is not among them: libvirt handles one panic after the other, and shows the others as paused
_BY_RUN_STATE: dict[str, Condition] = {
    "internal-error": "internal-error",
    "prelaunch": "reset",
}


class _DomainState(msgspec.Struct, frozen=True):
    """What libvirt reports about a domain."""

    state: int
    reason: int
    instance: str
    cpu_time: int | None
    busy: bool
    dumped: tuple[int, int] | None


class LibvirtGuest:
    """A `Guest` that is a domain.

    :param connection: The connection to libvirt.
    :param uuid: The domain's UUID.
    :param name: The domain's name.
    :param settings: Returns the current settings.
    :param overridden: Returns whether the watcher has replaced libvirt's action.
    :param warn: Called with each problem of the domain's policy, once.
    """

    def __init__(
        self,
        connection: LibvirtConnection,
        uuid: str,
        name: str,
        settings: Callable[[], Settings],
        overridden: Callable[[], bool],
        warn: Callable[[str], object],
    ) -> None:
        self.key = self.uuid = uuid
        self.name = name
        self._connection = connection
        self._settings = settings
        self._overridden = overridden
        self._warn = warn
        self._problems: list[str] = []

    async def read_state(self, *, ask_qemu: bool) -> GuestState:
        """Return the guest's state."""
        libvirt = libvirt_module()
        paused_unknown = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_UNKNOWN)
        try:
            found = await self._call(self._domain_state)
            if ask_qemu and (found.state, found.reason) == paused_unknown:
                await asyncio.sleep(_DEBOUNCE)
                found = await self._call(self._domain_state)
            if ask_qemu and (found.state, found.reason) == paused_unknown:
                condition = _BY_RUN_STATE.get(await self._call(_run_state), "healthy")
            else:
                condition = _condition(found.state, found.reason)
        except GoneError:
            return GuestState("gone")
        except FailedError as error:
            raise BusyError(error.message) from error
        return GuestState(condition, found.instance, found.cpu_time, found.busy, found.dumped)

    async def read_assignment(self) -> Assignment | None:
        """Return the policy in the domain's metadata; None if it has none, or an invalid one."""
        assignment, problems = _assignment(
            await self._call(lambda domain: str(domain.XMLDesc())), overridden=self._overridden()
        )
        if problems != self._problems:
            self._problems = problems
            for problem in problems:
                self._warn(problem)
        return assignment

    async def dump_path(self, at: float) -> str:
        """Return the file that the guest's memory can be dumped to, on libvirt's host."""
        folder = self._settings().dump_dir or await self._connection.call(
            lambda connection: _dump_folder(str(connection.getURI()))
        )
        return f"{folder.rstrip('/')}/{dump_name(self.name, self.uuid, at)}"

    async def dump(self, incident: Incident, progress: DumpProgress) -> None:
        """Have libvirt dump the guest's memory as an ELF file.  libvirt removes an incomplete file."""
        libvirt = libvirt_module()
        form, flags = libvirt.VIR_DOMAIN_CORE_DUMP_FORMAT_RAW, libvirt.VIR_DUMP_MEMORY_ONLY

        def work(connection: Any) -> None:
            domain = connection.lookupByUUIDString(self.uuid)
            _require_unchanged(domain, incident)
            domain.coreDumpWithFormat(incident.coredump, form, flags)

        limit = self._settings().dump_timeout
        deadline = time.monotonic() + limit
        dumping = asyncio.create_task(self._connection.call_unbounded(work))
        try:
            while not (await asyncio.wait([dumping], timeout=_until(deadline)))[0]:
                if time.monotonic() >= deadline:
                    raise FailedError(f"it took longer than {limit:g} s; libvirt may still continue it")
                with suppress(FailedError, GoneError, BusyError):
                    found = await self._call(self._domain_state)
                    if found.dumped:
                        progress(*found.dumped)
            await dumping
        finally:
            dumping.cancel()
            await asyncio.gather(dumping, return_exceptions=True)

    async def take_step(self, step: Step, incident: Incident, on_starter: Callable[[str], None]) -> None:  # noqa: ARG002
        """Take a step other than ``coredump``."""
        try:
            if step == "start" and incident.xml:
                xml = _with_name(incident.xml, incident.new_name)
                await self._connection.call(lambda connection: connection.createXML(xml))
                self.name = incident.new_name
            elif step == "start":
                await self._call(lambda domain: domain.create())
            elif step == "rename":
                await self._call(lambda domain: domain.rename(incident.new_name))
                self.name = incident.new_name
            else:
                await self._call(lambda domain: _take_step(domain, step, incident))
        except (RefusedError, DocumentError) as error:
            raise FailedError(error.message, error.hint) from error

    async def new_name(self) -> str:
        """Return a name that no domain has."""
        names = await self._connection.call(lambda c: [domain.name() for domain in c.listAllDomains()])
        return renamed(self.name, names)

    async def transient_xml(self) -> str:
        """Return a transient domain's XML, passwords included; empty for a persistent domain."""
        libvirt = libvirt_module()
        flags = libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_MIGRATABLE
        return await self._call(lambda domain: "" if domain.isPersistent() else str(domain.XMLDesc(flags)))

    async def set_libvirt_action(self, action: str) -> bool:
        """Change what libvirt does when the guest panics, until the guest ends."""
        libvirt = libvirt_module()

        def change(domain: Any) -> bool:
            domain.setLifecycleAction(
                libvirt.VIR_DOMAIN_LIFECYCLE_CRASH, _ACTIONS[action], libvirt.VIR_DOMAIN_AFFECT_LIVE
            )
            return True

        return await self._call(change)

    async def _call(self, function: Callable[[Any], Result]) -> Result:
        return await self._connection.call(lambda c: function(c.lookupByUUIDString(self.uuid)))

    def _domain_state(self, domain: Any) -> _DomainState:
        """Read a domain's state.  Called in a thread."""
        libvirt = libvirt_module()
        self.name = str(domain.name())
        state, reason = domain.state()
        if state not in (libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_PAUSED):
            return _DomainState(state, reason, str(domain.ID()), None, busy=False, dumped=None)
        try:
            job, cpu_time = domain.jobStats(), _cpu_time(domain)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
                raise
            state, reason = domain.state()  # it has ended meanwhile
            job, cpu_time = {}, None
        busy = job.get("type", libvirt.VIR_DOMAIN_JOB_NONE) != libvirt.VIR_DOMAIN_JOB_NONE
        done, total = job.get("memory_processed", 0), job.get("memory_total", 0)
        dumped = (done, total) if busy and total else None
        return _DomainState(state, reason, str(domain.ID()), cpu_time, busy=busy, dumped=dumped)


def _until(deadline: float) -> float:
    """Return the seconds until the next query of a dump's progress, or until the deadline."""
    return max(min(_POLL, deadline - time.monotonic()), 0.0)


# Pure functions


def _assignment(xml: str, *, overridden: bool) -> tuple[Assignment | None, list[str]]:
    """Return what a domain's XML says about its policy, and what is wrong with that.

    :param overridden: Whether the watcher has replaced libvirt's action, so that it differs from the policy.
    """
    try:
        root = Document(xml).root
        stored = stored_policy(root)
        if not stored:
            return None, []
        refusal = refusal_of_policy(stored.policy, "qemu")
        if refusal is not None:
            return None, [f"its policy is not carried out: {refusal.code}: {refusal.reason}"]
        changes = () if overridden else unhonoured_changes(root, stored)
        problems = [f"{note.reason}; {note.remedy}" for note in changes]
    except DocumentError as error:
        return None, [f"its policy cannot be read: {error.message}; {error.hint}"]
    action = text_of(child(root, "on_crash")) or "destroy"
    acts = action in _ACTIONS and action != "preserve"
    return Assignment(stored.policy, action if acts else ""), problems


def _with_name(xml: str, name: str) -> str:
    document = Document(xml)
    element = child(document.root, "name")
    if element is None:
        raise DocumentError("the domain has no <name>")
    document.replace(element, f"<name>{escape(name)}</name>")
    return str(document.edited())


def _dump_folder(uri: str) -> str:
    """Return the directory of a QEMU driver's own dumps, the default of ``auto_dump_path`` in qemu.conf."""
    parts = urlsplit(uri)
    if parts.path == "/embed":
        return f"{parse_qs(parts.query).get('root', [''])[0]}/lib/qemu/dump"
    if parts.path == "/session":
        socket_path = parse_qs(parts.query).get("socket")  # a daemon that is named by its socket
        if socket_path:
            return str(Path(socket_path[0]).parent / "qemu/dump")
        try:
            from platformdirs import user_config_path
        except ImportError as error:
            raise MissingExtraError("platformdirs", "watch") from error
        return str(user_config_path("libvirt") / "qemu/dump")
    return "/var/lib/libvirt/qemu/dump"


def _condition(state: int, reason: int) -> Condition:
    libvirt = libvirt_module()
    if state == libvirt.VIR_DOMAIN_CRASHED:
        return "panicked"
    if (state, reason) == (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED):
        return "reset"
    return "off" if state == libvirt.VIR_DOMAIN_SHUTOFF else "healthy"


# Functions of a domain, which are called in a thread


def _cpu_time(domain: Any) -> int:
    """Return the CPU time of a domain's vCPUs; it hardly changes while the domain is stopped."""
    return sum(int(vcpu[2]) for vcpu in domain.vcpus()[0])


def _run_state(domain: Any) -> str:
    libvirt = libvirt_module()
    try:
        return domain_run_state(domain)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise
        return ""  # it has ended meanwhile


def _require_unchanged(domain: Any, incident: Incident) -> None:
    """Raise `StaleError` unless a domain is still in the failure that an incident is about."""
    libvirt = libvirt_module()
    state, _ = domain.state()
    paused = incident.failure == "internal-error" or incident.begun
    wanted = libvirt.VIR_DOMAIN_PAUSED if paused else libvirt.VIR_DOMAIN_CRASHED
    if str(domain.ID()) != incident.instance or state not in (wanted, libvirt.VIR_DOMAIN_CRASHED):
        raise StaleError("the guest has changed meanwhile")


def _take_step(domain: Any, step: Step, incident: Incident) -> None:
    _require_unchanged(domain, incident)
    if step == "destroy":
        domain.destroy()
    elif step == "restart":
        domain.reset()
        domain.resume()
    elif incident.begun:
        domain.resume()
    else:
        resume_domain(domain)
