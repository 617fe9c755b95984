"""What the libvirt that a domain is translated for supports."""

import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Self

import msgspec

from onpanic.core.errors import DocumentError, UsageError
from onpanic.core.untrusted import printable

__all__ = ("Libvirt",)

# Where distributions install libvirt's schemas
_SCHEMA = Path("/usr/share/libvirt/schemas/domaincommon.rng")
_RNG = "{http://relaxng.org/ns/structure/1.0}"


class Libvirt(msgspec.Struct, frozen=True):
    """What a libvirt supports that has to do with panics; the defaults are true of every libvirt since 1.3.

    The versions are those of libvirt's release notes.

    :param name: For messages, e.g. ``libvirt 9.0.0``.
    :param device: ``<panic>``, since 1.2.1.
    :param models: ``<panic model='…'>``, since 1.3.0.
    :param pci: The model ``pvpanic``, since 9.1.0.
    :param preserve_running: The value of ``<on_crash>``, since 12.6.0.
    """

    name: str = "this libvirt"
    device: bool = True
    models: bool = True
    pci: bool = False
    preserve_running: bool = False

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
            name=f"libvirt {number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}",
            device=number >= 1_002_001,
            models=number >= 1_003_000,
            pci=number >= 9_001_000,
            preserve_running=number >= 12_006_000,
        )

    @classmethod
    def of_connection(cls, connection: Any) -> Self:
        """Return what the libvirt behind a connection supports.  Blocks as libvirt does.

        :param connection: A `libvirt.virConnect`.
        :raise libvirt.libvirtError: When libvirt does not answer.
        """
        return cls.of(connection.getLibVersion())

    @classmethod
    def installed(cls) -> "Libvirt":
        """Return what the libvirt that is installed on this host supports, according to its XML schema.

        :return: The defaults if there is no schema.
        :raise MissingExtraError: When lxml is not installed.
        """
        return _installed()


@cache
def _installed() -> Libvirt:
    from onpanic.shims.domain_xml.xml_parser import parse_xml

    try:
        schema = parse_xml(_SCHEMA.read_bytes())
    except (OSError, DocumentError):
        return Libvirt()
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
    )


@lru_cache(maxsize=16)
def _number(version: str) -> int:
    found = re.fullmatch(r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?", version.strip(), re.ASCII)
    if not found:
        raise UsageError(f"{printable(version, 60)!r} is not a version of libvirt", "for example 9.0.0")
    major, minor, micro = (int(part or 0) for part in found.groups())
    return major * 1_000_000 + minor * 1000 + micro
