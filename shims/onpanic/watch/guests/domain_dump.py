"""Dumps of a domain's memory by libvirt."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from onpanic.core.errors import BusyError, FailedError, GoneError
from onpanic.core.libvirt_api import libvirt_module, monitor_command
from onpanic.shims.translation.local_uri import local_parts
from onpanic.watch.guests.domain_reading import condition_of, require_unchanged
from onpanic.watch.guests.dump_space import space_for_dump
from onpanic.watch.guests.guest import DumpProgress, DumpResult
from onpanic.watch.guests.watched_domain import WatchedDomain
from onpanic.watch.rules.dump_files import FORMATS, with_format
from onpanic.watch.rules.incident import Incident

__all__ = ("DomainDump", "Dumper", "dump_as")

#: Dumps the memory of a `libvirt.virDomain` in a format, to a path, for an incident, and returns why that
#: does not work; nothing if it does.  Called in a thread.  Raises what `dump_as` raises.
Dumper = Callable[[Any, str, str, Incident], list[str]]

_POLL = 0.5  # seconds between queries of a dump's progress


class DomainDump:
    """Makes dumps of one domain.

    :param domain: The domain.
    :param dumper: Makes a dump.
    :param read_dumped: Returns how far a dump is, see `GuestState.dumped`.
    """

    def __init__(
        self,
        domain: WatchedDomain,
        dumper: Dumper,
        read_dumped: Callable[[], Awaitable[tuple[int, int] | None]],
    ) -> None:
        self._connection = domain.connection
        self._uuid = domain.uuid
        self._settings = domain.settings
        self._dumper = dumper
        self._read_dumped = read_dumped

    async def run(self, incident: Incident, progress: DumpProgress) -> DumpResult:
        """Dump the domain's memory in the first format that libvirt and QEMU offer and that works.

        No incomplete file is left if it can be removed.

        :raise FailedError: When no format works, or there is no room.
        """
        settings, path = self._settings(), incident.coredump
        reasons: list[str] = []
        if settings.dump_paging:
            raise FailedError("dump-paging: libvirt dumps memory by its physical addresses only")
        here, needed = True, None
        if settings.limits_dumps:
            here, needed = await self._connection.call(self._place_and_size, guest=self._uuid)
        async with space_for_dump(path, needed, settings, here=here) as note:
            for form in settings.dump_formats:
                target = with_format(path, form)
                refusal = await self._dump_as(form, target, incident, progress)
                if not refusal:
                    return DumpResult(target, "; ".join([*reasons, *([note] if note else [])]))
                reasons.append(f"{form}: {refusal}" if form != "elf" else refusal)
        raise FailedError("; ".join(reasons))

    def _place_and_size(self, connection: Any) -> tuple[bool, int]:
        """Return whether libvirt is on this host, and the bytes of the domain's memory."""
        kibibytes = connection.lookupByUUIDString(self._uuid).info()[1]
        return local_parts(connection) is not None, int(kibibytes) * 1024

    async def _dump_as(self, form: str, path: str, incident: Incident, progress: DumpProgress) -> str:
        """Dump in one format, and return why that does not work; empty if it does.

        :raise FailedError: When it takes too long, or the domain must not be dumped.
        """
        refusals: list[str] = []

        def work(connection: Any) -> None:
            refusals.extend(self._dumper(connection.lookupByUUIDString(self._uuid), form, path, incident))

        limit = self._settings().dump_timeout
        deadline = time.monotonic() + limit
        dumping = asyncio.create_task(self._connection.call_unbounded(work, guest=self._uuid))
        try:
            while not (await asyncio.wait([dumping], timeout=_until(deadline)))[0]:
                if time.monotonic() >= deadline:
                    raise FailedError(f"it took longer than {limit:g} s; libvirt may still continue it")
                with suppress(FailedError, GoneError, BusyError):
                    if dumped := await self._read_dumped():
                        progress(*dumped)
            try:
                await dumping
            except FailedError as error:
                return error.message
        finally:
            dumping.cancel()
            await asyncio.gather(dumping, return_exceptions=True)
        return "".join(refusals)


def _until(deadline: float) -> float:
    """Return the seconds until the next query of a dump's progress, or until the deadline."""
    return max(min(_POLL, deadline - time.monotonic()), 0.0)


# Functions of a domain, which are called in a thread


def dump_as(domain: Any, form: str, path: str, incident: Incident) -> list[str]:
    """Dump the memory of a domain of QEMU, and return the reason if the format is not offered.

    :raise FailedError: When libvirt would continue the guest.
    :raise libvirt.libvirtError: When libvirt refuses for another reason, or the dump fails.
    """
    libvirt = libvirt_module()
    observed = require_unchanged(domain, incident)
    if observed.running_for_libvirt and condition_of(observed) != "healthy":
        raise FailedError("libvirt takes the guest for running, and would continue it after the dump")
    number = _number(form)
    if number is None:
        return [f"this client of libvirt does not offer it; {_offered(domain)}"]
    try:
        domain.coreDumpWithFormat(path, number, libvirt.VIR_DUMP_MEMORY_ONLY)
    except libvirt.libvirtError as error:
        if form == "elf" or error.get_error_code() != libvirt.VIR_ERR_INVALID_ARG:
            raise
        return [f"{error}; {_offered(domain)}"]
    return []


def _number(form: str) -> int | None:
    """Return libvirt's number of a dump format; None if libvirt's Python module does not have it."""
    name = "RAW" if form == "elf" else form.replace("-", "_").upper()
    return getattr(libvirt_module(), f"VIR_DOMAIN_CORE_DUMP_FORMAT_{name}", None)


def _offered(domain: Any) -> str:
    """Return which formats are offered instead of one that is not; QEMU is asked, which taints the domain."""
    libvirt = libvirt_module()
    known = [form for form in FORMATS if _number(form) is not None]
    try:
        answer = monitor_command(domain, {"execute": "query-dump-guest-memory-capability"}).get("return")
    except libvirt.libvirtError:
        answer = None
    formats = answer.get("formats") if isinstance(answer, dict) else None
    found = [form for form in known if form in formats] if isinstance(formats, list) else ["elf"]
    return f"{', '.join(found)} is offered" if len(found) == 1 else f"{', '.join(found)} are offered"
