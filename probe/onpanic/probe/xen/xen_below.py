"""What Linux says of the Xen that it runs on (Documentation/ABI/stable/sysfs-hypervisor-xen)."""

from pathlib import Path
from typing import NamedTuple

__all__ = ("SYSFS", "XenBelow", "xen_below")

#: Where Linux says it.
SYSFS = Path("/sys/hypervisor")

# XENFEAT_dom0 of Xen's public/features.h
_DOM0 = 11

_LIMIT = 4096  # characters of a file


class XenBelow(NamedTuple):
    """The Xen below this Linux.

    :ivar is_dom0: Whether this is its dom0; None if Linux does not say.
    :ivar version: Xen's version, such as ``4.17.7``.
    :ivar capabilities: The guests that it runs, such as ``xen-3.0-x86_64 hvm-3.0-x86_64``.
    """

    is_dom0: bool | None
    version: str
    capabilities: str


def xen_below(sysfs: Path = SYSFS) -> XenBelow | None:
    """Return the Xen that this Linux runs on; None if it runs on none.

    :param sysfs: The folder of the hypervisor.
    """
    if _read(sysfs / "type") != "xen":
        return None
    version = f"{_read(sysfs / 'version/major')}.{_read(sysfs / 'version/minor')}"
    version += _read(sysfs / "version/extra")
    try:
        is_dom0 = bool(int(_read(sysfs / "properties/features"), 16) >> _DOM0 & 1)
    except ValueError:
        is_dom0 = None
    return XenBelow(is_dom0, version, _read(sysfs / "properties/capabilities"))


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()[:_LIMIT]
    except OSError:
        return ""
