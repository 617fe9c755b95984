"""What the libvirt that a domain is for can say."""

import re
from functools import cache
from pathlib import Path
from typing import Any, Self

import msgspec

from onpanic.probe.errors import OnpanicError

__all__ = ("Libvirt",)

# Where distributions put libvirt's schemas; libvirt.pc's prefix is theirs to choose
_SCHEMA = Path("/usr/share/libvirt/schemas/domaincommon.rng")
_RNG = "{http://relaxng.org/ns/structure/1.0}"


class Libvirt(msgspec.Struct, frozen=True):
    """What a libvirt can say about panics.  Without arguments, what each one since 1.3 can.

    Versions are those of libvirt's news; what is not said by version is asked of the
    schema that it has installed.

    :param name: For messages, e.g. ``libvirt 9.0.0``.
    :param device: ``<panic>``, since 1.2.1.
    :param models: ``<panic model='…'>``, since 1.3.0.
    :param pci: The model ``pvpanic``, since 9.1.0.
    :param preserve_running: The word of ``<on_crash>``, since 12.6.0.
    """

    name: str = "this libvirt"
    device: bool = True
    models: bool = True
    pci: bool = False
    preserve_running: bool = False

    @classmethod
    def of(cls, version: str | int) -> Self:
        """Return what a version can say.

        :param version: ``X.Y.Z``, or libvirt's own number: X * 1,000,000 + Y * 1,000 + Z.
        :raise OnpanicError: When it is no version.
        """
        if isinstance(version, str):
            number = _number(version)
        elif version > 0:
            number = version
        else:
            raise OnpanicError(f"{version!r} is no version of libvirt", "it is like 9.0.0")
        return cls(
            name=f"libvirt {number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}",
            device=number >= 1_002_001,
            models=number >= 1_003_000,
            pci=number >= 9_001_000,
            preserve_running=number >= 12_006_000,
        )

    @classmethod
    def of_connection(cls, connection: Any) -> Self:
        """Return what the libvirt behind a connection can say; raises ``libvirtError`` as libvirt does."""
        return cls.of(connection.getLibVersion())

    @classmethod
    def installed(cls) -> "Libvirt":
        """Return what the libvirt on this host can say, by its schema; what each one can if there is none."""
        return _installed()


@cache
def _installed() -> Libvirt:
    from lxml import etree

    try:
        tree = etree.parse(_SCHEMA, etree.XMLParser(no_network=True, resolve_entities=False))
    except (OSError, etree.XMLSyntaxError):
        return Libvirt()
    words = {
        name: {value.text for value in tree.iterfind(f".//{_RNG}define[@name='{name}']//{_RNG}value")}
        for name in ("crashOptions", "panic")
    }
    return Libvirt(
        name="the libvirt installed here",
        device=bool(words["panic"]),
        models="isa" in words["panic"],
        pci="pvpanic" in words["panic"],
        preserve_running="preserve-running" in words["crashOptions"],
    )


def _number(version: str) -> int:
    found = re.fullmatch(r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?", version.strip(), re.ASCII)
    if not found:
        raise OnpanicError(f"{version!r} is no version of libvirt", "it is like 9.0.0")
    major, minor, micro = (int(part or 0) for part in found.groups())
    return major * 1_000_000 + minor * 1000 + micro
