"""A libvirt connection that knows ``<on_panic>``.

libvirt has no plug-in interface, so the connection is wrapped, and so are the domains
that come out of it.  What knows nothing of policies goes through as it is.  Considered
and left: subclasses of `libvirt.virConnect` and `virDomain` (both would close what they
share with the original), and giving the original another class (it is the caller's).
"""

import functools
import logging
from typing import Any, Self

import libvirt

from onpanic.probe.errors import OnpanicError
from onpanic.probe.record import CapabilityRecord

from .document import Document
from .domcaps import with_on_panic
from .emulators import Recorder, recorder
from .errors import DocumentError
from .libvirt_versions import Libvirt
from .policy import kept_policy
from .translate import from_libvirt, to_libvirt

__all__ = ("Connection", "Domain", "PolicyError", "extend")

_LOG = logging.getLogger("onpanic.shims")


class PolicyError(libvirt.libvirtError):  # type: ignore[misc]
    """A policy that cannot be honoured, or XML that cannot be read: a ``libvirtError`` that says why.

    Its code is ``VIR_ERR_CONFIG_UNSUPPORTED`` or ``VIR_ERR_XML_ERROR``, as libvirt's own.

    :ivar cause: The `OnpanicError`, with what to do about it.
    """

    def __init__(self, cause: OnpanicError) -> None:
        broken = isinstance(cause, DocumentError)
        code = libvirt.VIR_ERR_XML_ERROR if broken else libvirt.VIR_ERR_CONFIG_UNSUPPORTED
        prefix = "XML error" if broken else "unsupported configuration"
        message = f"{prefix}: {cause.message}"
        super().__init__(message)
        self.args = (message,)  # not what libvirt said last in this thread
        # As virGetLastError would have it: code, domain, message, level, three strings, two numbers
        self.err = (
            code,
            libvirt.VIR_FROM_DOMAIN,
            message,
            libvirt.VIR_ERR_ERROR,
            message,
            None,
            None,
            -1,
            -1,
        )
        self.cause = cause


def extend(connection: Any, record: CapabilityRecord | Recorder | None = None) -> "Connection":
    """Wrap a connection so that it knows ``<on_panic>``.

    ``defineXML`` and ``createXML`` take a policy, and refuse a bad one with `PolicyError`;
    a domain's ``XMLDesc`` shows it again; ``getDomainCapabilities`` says which are accepted.
    All else is passed through untouched.

    :param connection: A `libvirt.virConnect`.
    :param record: What the emulator can do, for all domains of this connection, or a function
        from a `domain.Machine` to that.  Without it the emulator of each domain is probed,
        which takes about a tenth of a second and needs a libvirt on this host.
    """
    return Connection(connection, record or recorder(connection))


class _Wrapper:
    """Something of libvirt's that stays what it is: for ``isinstance``, and for libvirt's own functions."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self._wrapped)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._wrapped, name)
        if not callable(found) or name.startswith("_"):
            return found

        @functools.wraps(found)
        def call(*arguments: Any, **options: Any) -> Any:
            return self._extended(found(*arguments, **options))

        return call

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._wrapped!r}>"

    def _extended(self, value: Any) -> Any:
        raise NotImplementedError


class Connection(_Wrapper):
    """A `libvirt.virConnect` that knows ``<on_panic>``.  `extend` makes one."""

    def __init__(self, connection: Any, record: CapabilityRecord | Recorder) -> None:
        super().__init__(connection)
        self._record = record

    def __enter__(self) -> Self:
        self._wrapped.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        return self._wrapped.__exit__(*error)

    def defineXML(self, xml: str) -> Any:  # noqa: N802
        """Define a domain whose XML may state a policy.

        :raise PolicyError: When the policy cannot be honoured, or the XML not be read.
        """
        return self._extended(self._wrapped.defineXML(self._translated(xml)))

    def defineXMLFlags(self, xml: str, flags: int = 0) -> Any:  # noqa: N802
        """Define a domain whose XML may state a policy.  Raises as `defineXML` does."""
        return self._extended(self._wrapped.defineXMLFlags(self._translated(xml), flags))

    def createXML(self, xmlDesc: str, flags: int = 0) -> Any:  # noqa: N802, N803
        """Start a transient domain whose XML may state a policy.  Raises as `defineXML` does."""
        return self._extended(self._wrapped.createXML(self._translated(xmlDesc), flags))

    def createXMLWithFiles(self, xmlDesc: str, files: Any, flags: int = 0) -> Any:  # noqa: N802, N803
        """Start a transient domain with open files.  Raises as `defineXML` does."""
        return self._extended(self._wrapped.createXMLWithFiles(self._translated(xmlDesc), files, flags))

    def getDomainCapabilities(  # noqa: N802
        self,
        emulatorbin: str | None = None,
        arch: str | None = None,
        machine: str | None = None,
        virttype: str | None = None,
        flags: int = 0,
    ) -> str:
        """Return the domain capabilities, with ``<on_panic>`` where it is known what may be promised.

        Where the emulator cannot be asked the block is missing, as libvirt leaves out what it
        does not know, and the reason is logged.
        """
        xml: str = self._wrapped.getDomainCapabilities(emulatorbin, arch, machine, virttype, flags)
        try:
            return with_on_panic(xml, self._record)
        except OnpanicError as error:
            _LOG.warning("no <on_panic> in the domain capabilities: %s", error.message)
            return xml

    def _translated(self, xml: str) -> str:
        try:
            translation = to_libvirt(xml, self._record, libvirt=Libvirt.of_connection(self._wrapped))
        except OnpanicError as error:
            raise PolicyError(error) from error
        for note in translation.notes:
            _LOG.info("%s: %s; %s", note.code, note.reason, note.remedy)
        return translation.xml

    def _extended(self, value: Any) -> Any:
        if isinstance(value, libvirt.virDomain):
            return Domain(value, self)
        if isinstance(value, list | tuple):
            return type(value)(self._extended(item) for item in value)
        return value


class Domain(_Wrapper):
    """A `libvirt.virDomain` whose XML shows its policy.  A `Connection` makes them."""

    def __init__(self, domain: Any, connection: Connection) -> None:
        super().__init__(domain)
        self._connection = connection

    def connect(self) -> Connection:
        """Return the connection that the domain came from."""
        return self._connection

    def XMLDesc(self, flags: int = 0) -> str:  # noqa: N802
        """Return the domain's XML, with the policy that it was defined with.

        A domain without one is shown as it is, and so is XML for a migration, which another
        libvirt has to read.
        """
        xml: str = self._wrapped.XMLDesc(flags)
        if flags & libvirt.VIR_DOMAIN_XML_MIGRATABLE:
            return xml
        try:
            return from_libvirt(xml).xml if kept_policy(Document(xml).root) else xml
        except DocumentError as error:  # somebody has edited the metadata
            _LOG.warning("domain %s: its policy cannot be read: %s", self._wrapped.name(), error.message)
            return xml

    def _extended(self, value: Any) -> Any:
        return self._connection._extended(value)  # noqa: SLF001
