"""A libvirt domain as a watched guest."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onpanic.core.errors import (
    BusyError,
    DocumentError,
    FailedError,
    GoneError,
    RefusedError,
)
from onpanic.core.libvirt_api import libvirt_module
from onpanic.shims.guests.dump_folder import dump_folder
from onpanic.shims.guests.resume import continue_domain, resume_domain
from onpanic.watch.guests.domain_assignment import (
    ACTIONS,
    assignment_of,
    descriptions,
    later_policy,
    with_name,
)
from onpanic.watch.guests.domain_dump import DomainDump, dump_as
from onpanic.watch.guests.domain_reading import (
    DomainReading,
    condition_of,
    ending_of,
    handles_events,
    is_occupied,
    is_paused_unknown,
    read_domain,
    require_unchanged,
)
from onpanic.watch.guests.guest import DumpProgress, DumpResult
from onpanic.watch.guests.watched_domain import WatchedDomain, WatchedDomainGuest
from onpanic.watch.rules.dump_files import dump_name
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.observation import Assignment, GuestState
from onpanic.watch.rules.policy_steps import Condition, Step
from onpanic.why.readers.from_domain import words_in_domain
from onpanic.why.words.last_words import LastWords

__all__ = ("LibvirtGuest",)

_READ = 0.5  # seconds, for reading what a domain is

_DEBOUNCE = 0.3  # seconds; libvirt first reports that a guest is paused, and then why
_UNHANDLED = 5.0  # seconds after which an idle libvirt will not handle a panic that only QEMU reports

# Seconds to wait for a restarted libvirt: until the first look, between two at most, and in all
_FIRST_LOOK, _LONGEST_LOOK, _RECONNECTION = 0.02, 0.5, 30.0


class LibvirtGuest(WatchedDomainGuest):
    """A `Guest` that is a domain.

    :param domain: The domain.
    :param unhandled: Seconds after which an idle libvirt will not handle a panic that only QEMU reports.
    """

    def __init__(
        self,
        domain: WatchedDomain,
        *,
        unhandled: float = _UNHANDLED,
    ) -> None:
        super().__init__(domain)
        self._unhandled = unhandled
        self._dump = DomainDump(domain, dump_as, self._read_dumped)
        self._settled_in = 0  # a generation of the connection
        self._unhandled_since = 0.0
        self._reading_hangs = False

    async def read_state(self, *, ask_qemu: bool) -> GuestState:
        """Return the guest's state."""
        try:
            if self._settled_in != self._connection.generation:
                await self._wait_until_settled()
            found = await self._read()
            if ask_qemu and found.is_open:
                if is_paused_unknown(found.observed):
                    await asyncio.sleep(_DEBOUNCE)
                found = await self._read(ask_qemu=True)
        except GoneError:
            return GuestState("gone")
        except FailedError as error:
            raise BusyError(error.message) from error
        observed = found.observed
        self._reading_hangs = self._reading_hangs and found.busy
        condition = condition_of(observed)
        if condition == "panicked" and is_paused_unknown(observed):
            condition = await self._condition_of_unhandled()
        else:
            self._unhandled_since = 0.0
        return GuestState(
            condition,
            found.instance,
            found.cpu_time,
            found.busy and not self._reading_hangs,  # else the policy would wait for it as well
            found.dumped,
            ending=ending_of(observed),
            detail=observed.not_asked,
        )

    async def _read(self, *, ask_qemu: bool = False) -> DomainReading:
        def work(domain: Any) -> DomainReading:
            self.name = str(domain.name())
            return read_domain(domain, ask_qemu=ask_qemu, ask_job=not self._reading_hangs)

        return await self._call(work)

    async def _read_dumped(self) -> tuple[int, int] | None:
        """Return how far a dump is, see `GuestState.dumped`."""
        return (await self._read()).dumped

    async def _wait_until_settled(self) -> None:
        """Wait until libvirt has connected to the guest's QEMU.

        A restarted libvirt first shows the guest as it was before.  It corrects that without an event.
        """
        generation = self._connection.generation
        delay, deadline = _FIRST_LOOK, time.monotonic() + _RECONNECTION
        while await self._call(is_occupied) and time.monotonic() < deadline:
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_LOOK)
        self._settled_in = generation

    async def _condition_of_unhandled(self) -> Condition:
        """Return the condition of a guest that has panicked, of which libvirt knows only that it is paused.

        libvirt handles one panic after the other, and shows the other guests like that until then.
        """
        now = time.monotonic()
        self._unhandled_since = self._unhandled_since or now
        if now - self._unhandled_since < self._unhandled:
            return "changing"
        own = self._connection.occupied(self._unhandled)  # by calls that hang, and dumps
        return "changing" if await self._call_for(lambda c: handles_events(c, own)) else "panicked"

    async def read_assignment(self) -> Assignment | None:
        """Return the policy in the domain's metadata; None if it has none, or an invalid one."""
        if self._reading_hangs:  # libvirt 12.8 does not describe the domain meanwhile
            return self._assignment
        now, next_start = await self._call(descriptions)
        assignment, problems = assignment_of(now, overridden=self._overridden())
        if next_start and not problems:
            problems = later_policy(assignment.policy if assignment else None, next_start, "qemu")
        return self._assigned(assignment, problems)

    async def dump_path(self, at: float) -> str:
        """Return the file that the guest's memory can be dumped to, on libvirt's host."""
        folder = self._settings().dump_dir or await self._call_for(
            lambda connection: dump_folder(str(connection.getURI()))
        )
        return f"{folder.rstrip('/')}/{dump_name(self.name, self.uuid, at)}"

    async def dump(self, incident: Incident, progress: DumpProgress) -> DumpResult:
        """Have libvirt dump the guest's memory."""
        return await self._dump.run(incident, progress)

    async def libvirt_dump(self) -> None:
        """Return None: QEMU reports the end of a dump by an event."""

    async def read_words(self, incident: Incident, timeout: float, folder: Path | None) -> LastWords:  # noqa: ASYNC109
        """Return why the domain panicked."""
        found: list[LastWords] = []

        def work(connection: Any) -> None:
            domain = connection.lookupByUUIDString(self.uuid)
            require_unchanged(domain, incident)
            found.append(words_in_domain(domain, timeout, (None, *([folder] if folder else ()))))

        began = time.monotonic()
        try:
            async with asyncio.timeout(timeout + _READ):
                await self._connection.call_unbounded(work, guest=self.uuid)
        except TimeoutError as error:
            raise FailedError(f"libvirt did not answer within {timeout + _READ:g} s") from error
        finally:
            self._reading_hangs = time.monotonic() - began >= timeout
        return found[0]

    async def take_step(self, step: Step, incident: Incident, on_starter: Callable[[str], None]) -> None:  # noqa: ARG002
        """Take a step other than ``coredump``."""
        try:
            if step == "start" and incident.xml:
                xml = with_name(incident.xml, incident.new_name)
                await self._call_for(lambda connection: connection.createXML(xml))
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

    async def transient_xml(self, *, renames: bool) -> str:  # noqa: ARG002  libvirt renames the definition
        """Return a transient domain's XML, passwords included; empty for a persistent domain."""
        libvirt = libvirt_module()
        flags = libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_MIGRATABLE
        return await self._call(lambda domain: "" if domain.isPersistent() else str(domain.XMLDesc(flags)))

    async def set_libvirt_action(self, action: str) -> None:
        """Change what libvirt does when the guest panics, until the guest ends."""
        libvirt = libvirt_module()

        def change(domain: Any) -> None:
            domain.setLifecycleAction(
                libvirt.VIR_DOMAIN_LIFECYCLE_CRASH, ACTIONS[action], libvirt.VIR_DOMAIN_AFFECT_LIVE
            )

        await self._call(change)


# Functions of a domain, which are called in a thread


def _take_step(domain: Any, step: Step, incident: Incident) -> None:
    observed = require_unchanged(domain, incident)
    if step == "destroy":
        domain.destroy()
    elif step == "restart":
        domain.reset()
        runs = condition_of(observed) == "healthy" and observed.running_for_libvirt  # after a grace period
        if not runs:
            continue_domain(domain)
    elif incident.begun:
        continue_domain(domain)
    else:
        resume_domain(domain)
