"""What the guests of all of libvirt's drivers have in common: a domain, and what is said about its policy."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from onpanic.watch.guests.libvirt_connection import LibvirtConnection
from onpanic.watch.rules.naming import renamed
from onpanic.watch.rules.observation import Assignment
from onpanic.watch.rules.settings import Settings

__all__ = ("WatchedDomain", "WatchedDomainGuest")

Result = TypeVar("Result")


class WatchedDomain(NamedTuple):
    """A domain, and whom to ask and to tell about it.

    :ivar connection: The connection to libvirt.
    :ivar uuid: The domain's UUID.
    :ivar name: The domain's name.
    :ivar settings: Returns the current settings.
    :ivar overridden: Returns whether the watcher has replaced libvirt's action.
    :ivar warn: Called with each problem of the domain's policy, once.
    """

    connection: LibvirtConnection
    uuid: str
    name: str
    settings: Callable[[], Settings]
    overridden: Callable[[], bool]
    warn: Callable[[str], object]


class WatchedDomainGuest:
    """The part of a `Guest` that does not depend on libvirt's driver.

    :param domain: The domain.
    """

    def __init__(self, domain: WatchedDomain) -> None:
        self.key = self.uuid = domain.uuid
        self.name = domain.name
        self._connection = domain.connection
        self._settings = domain.settings
        self._overridden = domain.overridden
        self._warn = domain.warn
        self._problems: list[str] = []
        self._assignment: Assignment | None = None

    async def new_name(self) -> str:
        """Return a name that no domain has."""
        names = await self._call_for(lambda c: [domain.name() for domain in c.listAllDomains()])
        return renamed(self.name, names)

    def _assigned(self, assignment: Assignment | None, problems: list[str]) -> Assignment | None:
        """Keep an assignment that was read, warn of what is wrong with it unless that was said before."""
        if problems != self._problems:
            self._problems = problems
            for problem in problems:
                self._warn(problem)
        self._assignment = assignment
        return assignment

    async def _call(self, function: Callable[[Any], Result]) -> Result:
        """Call a function with the domain, a `libvirt.virDomain`."""
        return await self._call_for(lambda c: function(c.lookupByUUIDString(self.uuid)))

    async def _call_for(self, function: Callable[[Any], Result]) -> Result:
        """Call a function with the connection, on behalf of the guest."""
        return await self._connection.call(function, guest=self.uuid)
