"""What the libvirt that a domain is translated for supports: asked, by its schema, or by its version."""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal, Self
from weakref import WeakKeyDictionary

import msgspec

from onpanic.core.errors import DocumentError, MissingExtraError, UsageError
from onpanic.core.libvirt_version import version_name
from onpanic.core.untrusted import printable

__all__ = ("Libvirt",)

# Where distributions install libvirt's schemas
_SCHEMA = Path("/usr/share/libvirt/schemas/domaincommon.rng")
# What the libvirt behind each connection supports
_asked: "WeakKeyDictionary[Any, Libvirt]" = WeakKeyDictionary()

_RNG = "{http://relaxng.org/ns/structure/1.0}"


class Libvirt(msgspec.Struct, frozen=True):
    """What a libvirt supports that has to do with panics; the defaults are true of every libvirt since 7.7.

    The versions are those of libvirt's release notes.  Distributions change them: `of_connection` asks.

    :param name: For messages, e.g. ``libvirt 9.0.0``.
    :param device: ``<panic>``, since 1.2.1.
    :param models: ``<panic model='…'>``, since 1.3.0.
    :param pci: The model ``pvpanic``, since 9.1.0.
    :param preserve_running: The value of ``<on_crash>``, since 12.6.0.  Such a libvirt also sets what QEMU
        does on a panic, whatever the domain's own arguments say.
    :param vmcoreinfo: ``<vmcoreinfo>`` in ``<features>``, since 4.4.0.
    :param checks_actions: The QEMU driver refuses lifecycle actions that it does not carry out, since 7.7.0.
    :param known_by: How this is known: libvirt was ``asked``, its ``schema`` was read, or its ``version`` is
        known; empty for an assumption.
    :param targets: The libvirts whose common features these are, see `common`.
    """

    name: str = "this libvirt"
    device: bool = True
    models: bool = True
    pci: bool = False
    preserve_running: bool = False
    vmcoreinfo: bool = True
    checks_actions: bool = True
    known_by: Literal["asked", "schema", "version", ""] = ""
    targets: tuple["Libvirt", ...] = ()

    def __str__(self) -> str:
        how = {"asked": "asked", "schema": "by its schema", "version": "by its version"}.get(self.known_by)
        return f"{self.name}, {how}" if how else self.name

    def lacking(
        self,
        feature: Literal["device", "models", "pci", "preserve_running", "vmcoreinfo", "checks_actions"],
    ) -> "Libvirt":
        """Return the libvirt that lacks a feature: the first one if there are several."""
        return next((found for found in self.targets if not getattr(found, feature)), self)

    @property
    def checking(self) -> "Libvirt":
        """The libvirt that checks lifecycle actions: the first one if there are several."""
        return next((found for found in self.targets if found.checks_actions), self)

    @classmethod
    def common(cls, libvirts: Sequence["Libvirt"]) -> "Libvirt":
        """Return what all of several libvirts support, for a domain that migrates between them.

        :param libvirts: At least one.
        """
        if len(libvirts) == 1:
            return libvirts[0]
        return cls(
            name=" and ".join(dict.fromkeys(found.name for found in libvirts)),
            device=all(found.device for found in libvirts),
            models=all(found.models for found in libvirts),
            pci=all(found.pci for found in libvirts),
            preserve_running=all(found.preserve_running for found in libvirts),
            vmcoreinfo=all(found.vmcoreinfo for found in libvirts),
            checks_actions=any(found.checks_actions for found in libvirts),
            targets=tuple(libvirts),
        )

    @classmethod
    def of(cls, version: str | int) -> Self:
        """Return what a version of libvirt supports.

        :param version: ``X.Y.Z``, or libvirt's own number: X * 1,000,000 + Y * 1,000 + Z.
        :raise UsageError: When it is not a version.
        """
        if isinstance(version, str):
            number = _number(version)
        elif 0 < version < 1_000_000_000:
            number = version
        else:
            raise UsageError("the number is not a version of libvirt", "for example 9000000, or 9.0.0")
        return cls(
            name=f"libvirt {version_name(number)}",
            device=number >= 1_002_001,
            models=number >= 1_003_000,
            pci=number >= 9_001_000,
            preserve_running=number >= 12_006_000,
            vmcoreinfo=number >= 4_004_000,
            checks_actions=number >= 7_007_000,
            known_by="version",
        )

    @classmethod
    def of_connection(cls, connection: Any) -> "Libvirt":
        """Ask the libvirt behind a connection, once for each connection.  Blocks as libvirt does.

        One that cannot be asked, as through a read-only connection, is known by the schema that is installed
        on this host, if it is on this host, too, and has the version of the client library; else by its
        version.  Whether it checks actions is then known by the version.
        Which crash actions the Xen driver accepts is a matter of the host's record: see `prober_for`.

        :param connection: A `libvirt.virConnect`.
        :raise libvirt.libvirtError: When libvirt does not answer.
        """
        found = _asked.get(connection)
        if found is None:
            from onpanic.shims.translation.asking_libvirt import ask_libvirt  # loads asyncio

            version = connection.getLibVersion()
            answers = msgspec.structs.asdict(ask_libvirt(connection))
            answered = {name: answer for name, answer in answers.items() if answer is not None}
            found = msgspec.structs.replace(cls.of(version), **answered)
            if {"pci", "preserve_running"} <= answered.keys():  # what a refusal may name
                found = msgspec.structs.replace(found, known_by="asked")
            elif (installed := _with_schema_of(connection, version)) is not None:
                found = msgspec.structs.replace(
                    installed, name=found.name, checks_actions=found.checks_actions
                )
            _asked[connection] = found
        return found

    @classmethod
    def installed(cls) -> "Libvirt":
        """Return what the libvirt that is installed on this host supports, according to its XML schema.

        :return: What the version of its client library says if there is no schema; the defaults without both.
        :raise MissingExtraError: When lxml is not installed.
        """
        return _installed()


def _with_schema_of(connection: Any, version: int) -> Libvirt | None:
    """Return what the installed schema says; None if it may not be that of the connection's libvirt."""
    from onpanic.core.libvirt_api import libvirt_module
    from onpanic.shims.translation.local_uri import local_parts

    if libvirt_module().getVersion() != version or local_parts(connection) is None:
        return None
    found = Libvirt.installed()
    return found if found.known_by == "schema" else None


@cache
def _installed() -> Libvirt:
    from onpanic.shims.domain_xml.xml_parser import parse_xml

    try:
        schema = parse_xml(_SCHEMA.read_bytes())
    except (OSError, DocumentError):
        return _by_client_library()
    words = {
        name: {value.text for value in schema.iterfind(f".//{_RNG}define[@name='{name}']//{_RNG}value")}
        for name in ("crashOptions", "panic")
    }
    return Libvirt(
        name="the libvirt installed here",
        device=bool(words["panic"]),
        models="isa" in words["panic"],
        pci="pvpanic" in words["panic"],
        preserve_running="preserve-running" in words["crashOptions"],
        vmcoreinfo=schema.find(f".//{_RNG}define[@name='vmcoreinfo']") is not None,
        known_by="schema",
    )


def _by_client_library() -> Libvirt:
    from onpanic.core.libvirt_api import libvirt_module  # loads asyncio

    try:
        return Libvirt.of(libvirt_module().getVersion())
    except MissingExtraError:
        return Libvirt()


@lru_cache(maxsize=16)
def _number(version: str) -> int:
    found = re.fullmatch(r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?", version.strip(), re.ASCII)
    if not found:
        raise UsageError(f"{printable(version, 60)!r} is not a version of libvirt", "for example 9.0.0")
    major, minor, micro = (int(part or 0) for part in found.groups())
    return major * 1_000_000 + minor * 1000 + micro
