"""A libvirt connection that supports ``<on_panic>``.

libvirt has no plug-in interface, so the connection is wrapped, and so are the domains that it
returns.  Everything that has nothing to do with policies is passed through.  Alternatives considered:
subclasses of `libvirt.virConnect` and `virDomain` (both would close what they share with the
original), and changing the class of the original (which belongs to the caller).

:raise MissingExtraError: On import, when libvirt's Python module or lxml is not installed.
"""

import functools
import logging
from typing import TYPE_CHECKING, Any, Self

from onpanic.core.errors import DocumentError, OnpanicError
from onpanic.core.libvirt_api import libvirt_module

if TYPE_CHECKING:
    import libvirt
else:
    libvirt = libvirt_module()  # before lxml, so that an error names the extra that has both

from onpanic.probe.record.capability_record import CapabilityRecord
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.policy_xml import stored_policy
from onpanic.shims.translation.domain_capabilities import with_on_panic
from onpanic.shims.translation.domain_emulator import Prober, prober_for
from onpanic.shims.translation.libvirt_features import Libvirt
from onpanic.shims.translation.translate import from_libvirt, to_libvirt

__all__ = ("PolicyConnection", "PolicyDomain", "PolicyError", "extend")

_LOG = logging.getLogger("onpanic.shims")


class PolicyError(libvirt.libvirtError):  # type: ignore[misc]
    """A policy cannot be honoured, or a domain's XML cannot be read.

    It is a ``libvirtError`` with the code ``VIR_ERR_CONFIG_UNSUPPORTED`` or ``VIR_ERR_XML_ERROR``, which
    libvirt itself uses for this.

    :ivar cause: The `OnpanicError`, whose hint says what to do.
    """

    def __init__(self, cause: OnpanicError) -> None:
        invalid = isinstance(cause, DocumentError)
        code = libvirt.VIR_ERR_XML_ERROR if invalid else libvirt.VIR_ERR_CONFIG_UNSUPPORTED
        prefix = "XML error" if invalid else "unsupported configuration"
        message = f"{prefix}: {cause.message}"
        super().__init__(message)
        self.args = (message,)  # libvirtError sets the last error of this thread instead
        # As virGetLastError returns it: code, domain, message, level, three strings, two numbers
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


def extend(
    connection: "libvirt.virConnect",
    record: CapabilityRecord | Prober | None = None,
    *,
    vmcoreinfo: bool = False,
) -> "PolicyConnection":
    """Wrap a libvirt connection so that it supports ``<on_panic>``.

    ``defineXML`` and ``createXML`` accept a policy, and raise `PolicyError` for one that cannot be
    honoured; a domain's ``XMLDesc`` shows it again; ``getDomainCapabilities`` lists the values that are
    accepted.  Everything else is passed through unchanged.

    :param connection: A `libvirt.virConnect`.
    :param record: What the emulator can do, for all domains of this connection, or a `Prober`.  None to
        probe the emulator of each domain, which takes a fraction of a second and needs a libvirt on
        this host.
    :param vmcoreinfo: Switch the vmcoreinfo device of domains with a policy on, see `to_libvirt`.
    """
    return PolicyConnection(connection, record or prober_for(connection), vmcoreinfo=vmcoreinfo)


class _Wrapper:
    """Wraps an object of libvirt's module, and passes for it in ``isinstance`` and in libvirt's functions."""

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


class PolicyConnection(_Wrapper):
    """A `libvirt.virConnect` that supports ``<on_panic>``; made by `extend`.

    :param connection: The `libvirt.virConnect`.
    :param record: What the emulator can do, or a `Prober`.
    :param vmcoreinfo: Switch the vmcoreinfo device of domains with a policy on.
    """

    def __init__(
        self,
        connection: "libvirt.virConnect",
        record: CapabilityRecord | Prober,
        *,
        vmcoreinfo: bool = False,
    ) -> None:
        super().__init__(connection)
        self._record = record
        self._vmcoreinfo = vmcoreinfo

    def __enter__(self) -> Self:
        self._wrapped.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        return self._wrapped.__exit__(*error)

    def defineXML(self, xml: str) -> "PolicyDomain":  # noqa: N802
        """Define a domain whose XML may state a policy.

        :raise PolicyError: When the policy cannot be honoured, or the XML cannot be read.
        :raise libvirt.libvirtError: What libvirt raises.
        """
        return PolicyDomain(self._wrapped.defineXML(self._translated(xml)), self)

    def defineXMLFlags(self, xml: str, flags: int = 0) -> "PolicyDomain":  # noqa: N802
        """Define a domain whose XML may state a policy.  Raises as `defineXML` does."""
        return PolicyDomain(self._wrapped.defineXMLFlags(self._translated(xml), flags), self)

    def createXML(self, xmlDesc: str, flags: int = 0) -> "PolicyDomain":  # noqa: N802, N803
        """Start a transient domain whose XML may state a policy.  Raises as `defineXML` does."""
        return PolicyDomain(self._wrapped.createXML(self._translated(xmlDesc), flags), self)

    def createXMLWithFiles(  # noqa: N802
        self,
        xmlDesc: str,  # noqa: N803
        files: Any,
        flags: int = 0,
    ) -> "PolicyDomain":
        """Start a transient domain with open files.  Raises as `defineXML` does."""
        domain = self._wrapped.createXMLWithFiles(self._translated(xmlDesc), files, flags)
        return PolicyDomain(domain, self)

    def getDomainCapabilities(  # noqa: N802
        self,
        emulatorbin: str | None = None,
        arch: str | None = None,
        machine: str | None = None,
        virttype: str | None = None,
        flags: int = 0,
    ) -> str:
        """Return libvirt's domain capabilities, with ``<on_panic>`` if its values are known.

        If the emulator cannot be probed, there is no ``<on_panic>``, and the reason is logged.

        :raise libvirt.libvirtError: What libvirt raises.
        """
        xml: str = self._wrapped.getDomainCapabilities(emulatorbin, arch, machine, virttype, flags)
        try:
            return with_on_panic(xml, self._record)
        except OnpanicError as error:
            _LOG.warning("no <on_panic> in the domain capabilities: %s", error.message)
            return xml

    def _translated(self, xml: str) -> str:
        try:
            translation = to_libvirt(
                xml,
                self._record,
                libvirt=Libvirt.of_connection(self._wrapped),
                vmcoreinfo=self._vmcoreinfo,
            )
        except OnpanicError as error:
            raise PolicyError(error) from error
        for note in translation.notes:
            _LOG.info("%s: %s; %s", note.code, note.reason, note.remedy)
        return translation.xml

    def _extended(self, value: Any) -> Any:
        if isinstance(value, libvirt.virDomain):
            return PolicyDomain(value, self)
        if isinstance(value, list | tuple):
            return type(value)(self._extended(item) for item in value)
        return value


class PolicyDomain(_Wrapper):
    """A `libvirt.virDomain` whose XML shows its policy; returned by a `PolicyConnection`.

    :param domain: The `libvirt.virDomain`.
    :param connection: The connection that returned it.
    """

    def __init__(self, domain: "libvirt.virDomain", connection: PolicyConnection) -> None:
        super().__init__(domain)
        self._connection = connection

    def connect(self) -> PolicyConnection:
        """Return the connection that returned the domain."""
        return self._connection

    def XMLDesc(self, flags: int = 0) -> str:  # noqa: N802
        """Return the domain's XML, with the policy that it was defined with.

        The XML of a domain without a policy is returned as it is, and so is the XML for a migration,
        which another libvirt must read.

        :raise libvirt.libvirtError: What libvirt raises.
        """
        xml: str = self._wrapped.XMLDesc(flags)
        if flags & libvirt.VIR_DOMAIN_XML_MIGRATABLE:
            return xml
        try:
            return from_libvirt(xml).xml if stored_policy(Document(xml).root) else xml
        except DocumentError as error:  # the metadata have been edited
            _LOG.warning("domain %s: its policy cannot be read: %s", self._wrapped.name(), error.message)
            return xml

    def _extended(self, value: Any) -> Any:
        return self._connection._extended(value)  # noqa: SLF001
