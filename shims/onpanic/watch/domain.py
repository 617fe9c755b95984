"""A libvirt domain as a guest that is watched."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import msgspec

from onpanic.probe.decision import objection
from onpanic.probe.errors import OnpanicError
from onpanic.probe.libvirt_access import module
from onpanic.shims.document import Document
from onpanic.shims.elements import child, text_of
from onpanic.shims.errors import DocumentError, RefusedError
from onpanic.shims.policy import kept_policy
from onpanic.shims.resume import resume_domain
from onpanic.shims.states import run_state_of
from onpanic.shims.writing import drift

from .duty import Condition, Step
from .guest import BusyError, FailedError, GoneError, Look, Progress, StaleError, Standing
from .hypervisor import Hypervisor
from .journal import Entry
from .naming import dump_name, renamed
from .settings import Settings

__all__ = ("Domain",)

Result = TypeVar("Result")

_DEBOUNCE = 0.3  # seconds; libvirt tells that a guest stopped, and then why
_POLL = 0.5  # seconds between questions how far a dump is

# virDomainLifecycleAction
_WORDS = {"destroy": 0, "restart": 1, "preserve": 3, "coredump-destroy": 4, "coredump-restart": 5}


class _State(msgspec.Struct, frozen=True):
    """What libvirt says of a domain."""

    state: int
    reason: int
    instance: str
    ran: int | None
    busy: bool
    dumped: tuple[int, int] | None


class Domain:
    """A domain, as `onpanic.watch.guest.Guest` describes it.

    :param hypervisor: Its connection.
    :param uuid: Its UUID.
    :param name: Its name.
    :param settings: Returns the settings of now.
    :param put_aside: Returns True while the watcher acts in libvirt's place.
    :param complain: Told what is wrong with its policy, once.
    """

    def __init__(
        self,
        hypervisor: Hypervisor,
        uuid: str,
        name: str,
        settings: Callable[[], Settings],
        put_aside: Callable[[], bool],
        complain: Callable[[str], None],
    ) -> None:
        self.key = self.uuid = uuid
        self.name = name
        self._hypervisor = hypervisor
        self._settings = settings
        self._put_aside = put_aside
        self._complain = complain
        self._said: tuple[str, ...] = ()

    async def look(self, *, curious: bool) -> Look:
        """Look at it."""
        libvirt = module()
        paused_unknown = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_UNKNOWN)
        try:
            found = await self._call(self._state)
            if curious and (found.state, found.reason) == paused_unknown:
                await asyncio.sleep(_DEBOUNCE)
                found = await self._call(self._state)
            if curious and (found.state, found.reason) == paused_unknown:
                condition = _BY_RUN_STATE.get(await self._call(_run_state), "fine")
            else:
                condition = _condition(found.state, found.reason)
        except GoneError:
            return Look("gone")
        except FailedError as error:
            raise BusyError(error.message) from error
        return Look(condition, found.instance, found.ran, found.busy, found.dumped)

    async def standing(self) -> Standing | None:
        """Return what is to be done about it; None if it has no policy, or one that makes no sense."""
        xml = await self._call(lambda domain: domain.XMLDesc())
        problems: list[str] = []
        standing = None
        try:
            root = Document(xml).root
            kept = kept_policy(root)
            if kept:
                refusal = objection(kept.policy, "qemu")
                if refusal is not None:
                    problems.append(f"its policy is not carried out: {refusal.code}: {refusal.reason}")
                else:
                    notes = () if self._put_aside() else drift(root, kept)
                    problems += [f"{note.reason}; {note.remedy}" for note in notes]
                    word = text_of(child(root, "on_crash")) or "destroy"
                    standing = Standing(kept.policy, word if word in _WORDS and word != "preserve" else "")
        except DocumentError as error:
            problems.append(f"its policy cannot be read: {error.message}; {error.hint}")
        if tuple(problems) != self._said:
            self._said = tuple(problems)
            for problem in problems:
                self._complain(problem)
        return standing

    async def dump_path(self, at: float) -> str:
        """Return where its memory can be dumped to, on libvirt's host."""
        folder = self._settings().dump_dir or await self._hypervisor.call(
            lambda connection: _dump_folder(str(connection.getURI()))
        )
        return f"{folder.rstrip('/')}/{dump_name(self.name, self.uuid, at)}"

    async def dump(self, entry: Entry, progress: Progress) -> None:
        """Have libvirt dump its memory, as an ELF file; libvirt removes what it could not finish."""
        libvirt = module()
        form, flags = libvirt.VIR_DOMAIN_CORE_DUMP_FORMAT_RAW, libvirt.VIR_DUMP_MEMORY_ONLY

        def work(connection: Any) -> None:
            domain = connection.lookupByUUIDString(self.uuid)
            _check(domain, entry)
            domain.coreDumpWithFormat(entry.coredump, form, flags)

        limit = self._settings().dump_timeout
        deadline = time.monotonic() + limit
        dumping = asyncio.create_task(self._hypervisor.apart(work))
        try:
            while not (await asyncio.wait([dumping], timeout=_POLL))[0]:
                if time.monotonic() > deadline:
                    raise FailedError(f"it took longer than {limit:g} s; libvirt may go on with it")
                with suppress(FailedError, GoneError, BusyError):
                    found = await self._call(self._state)
                    if found.dumped:
                        progress(*found.dumped)
            await dumping
        finally:
            dumping.cancel()

    async def act(self, step: Step, entry: Entry, note: Callable[[str], None]) -> None:  # noqa: ARG002
        """Take any other step."""
        try:
            if step == "start" and entry.xml:
                xml = _with_name(entry.xml, entry.new_name)
                await self._hypervisor.call(lambda connection: connection.createXML(xml))
                self.name = entry.new_name
            elif step == "start":
                await self._call(lambda domain: domain.create())
            elif step == "rename":
                await self._call(lambda domain: domain.rename(entry.new_name))
                self.name = entry.new_name
            else:
                await self._call(lambda domain: _act(domain, step, entry))
        except RefusedError as error:
            raise FailedError(error.message, error.hint) from error

    async def new_name(self) -> str:
        """Return a name that no domain has."""
        names = await self._hypervisor.call(lambda c: [domain.name() for domain in c.listAllDomains()])
        return renamed(self.name, names)

    async def configuration(self) -> str:
        """Return a transient domain's XML, passwords included; empty if libvirt keeps it."""
        libvirt = module()
        flags = libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_MIGRATABLE
        return await self._call(lambda domain: "" if domain.isPersistent() else str(domain.XMLDesc(flags)))

    async def act_itself(self, word: str) -> bool:
        """Have libvirt do something else on a panic, until the guest ends."""
        libvirt = module()

        def change(domain: Any) -> bool:
            domain.setLifecycleAction(
                libvirt.VIR_DOMAIN_LIFECYCLE_CRASH, _WORDS[word], libvirt.VIR_DOMAIN_AFFECT_LIVE
            )
            return True

        return await self._call(change)

    async def _call(self, function: Callable[[Any], Result]) -> Result:
        return await self._hypervisor.call(lambda c: function(c.lookupByUUIDString(self.uuid)))

    # In threads

    def _state(self, domain: Any) -> _State:
        libvirt = module()
        self.name = str(domain.name())
        state, reason = domain.state()
        if state not in (libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_PAUSED):
            return _State(state, reason, str(domain.ID()), None, busy=False, dumped=None)
        try:
            job, ran = domain.jobStats(), _ran(domain)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
                raise
            state, reason = domain.state()  # it ended meanwhile
            job, ran = {}, None
        busy = job.get("type", libvirt.VIR_DOMAIN_JOB_NONE) != libvirt.VIR_DOMAIN_JOB_NONE
        done, total = job.get("memory_processed", 0), job.get("memory_total", 0)
        dumped = (done, total) if busy and total else None
        return _State(state, reason, str(domain.ID()), ran, busy=busy, dumped=dumped)


# Not yet guest-panicked: libvirt tells of one panic after the other, and does something first
_BY_RUN_STATE: dict[str, Condition] = {
    "internal-error": "internal-error",
    "prelaunch": "reset",
}


def _condition(state: int, reason: int) -> Condition:
    libvirt = module()
    if state == libvirt.VIR_DOMAIN_CRASHED:
        return "panicked"
    if (state, reason) == (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED):
        return "reset"
    return "off" if state == libvirt.VIR_DOMAIN_SHUTOFF else "fine"


def _ran(domain: Any) -> int:
    """Return how long its vCPUs have run; they do not while it is stopped, or hardly."""
    return sum(int(vcpu[2]) for vcpu in domain.vcpus()[0])


def _run_state(domain: Any) -> str:
    libvirt = module()
    try:
        return run_state_of(domain)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise
        return ""  # it ended meanwhile


def _check(domain: Any, entry: Entry) -> None:
    """Raise `StaleError` unless a domain is still in the trouble that an entry is about."""
    libvirt = module()
    state, _ = domain.state()
    paused = entry.trouble == "internal-error" or entry.begun
    wanted = libvirt.VIR_DOMAIN_PAUSED if paused else libvirt.VIR_DOMAIN_CRASHED
    if str(domain.ID()) != entry.instance or state not in (wanted, libvirt.VIR_DOMAIN_CRASHED):
        raise StaleError("the guest is not as it was")


def _act(domain: Any, step: Step, entry: Entry) -> None:
    _check(domain, entry)
    if step == "destroy":
        domain.destroy()
    elif step == "restart":
        domain.reset()
        domain.resume()
    elif entry.begun:
        domain.resume()
    else:
        resume_domain(domain)


def _with_name(xml: str, name: str) -> str:
    document = Document(xml)
    element = child(document.root, "name")
    if element is None:
        raise OnpanicError("a domain without a name")
    document.replace(element, f"<name>{escape(name)}</name>")
    return str(document.edited())


def _dump_folder(uri: str) -> str:
    """Return where a libvirt's QEMU driver puts its own dumps (``auto_dump_path`` of qemu.conf)."""
    parts = urlsplit(uri)
    if parts.path == "/embed":
        return f"{parse_qs(parts.query).get('root', [''])[0]}/lib/qemu/dump"
    if parts.path == "/session":
        beside = parse_qs(parts.query).get("socket")  # a daemon that is named by its socket
        if beside:
            return str(Path(beside[0]).parent / "qemu/dump")
        from platformdirs import user_config_path

        return str(user_config_path("libvirt") / "qemu/dump")
    return "/var/lib/libvirt/qemu/dump"
