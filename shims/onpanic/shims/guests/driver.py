"""Which of libvirt's drivers a domain belongs to: QEMU's, or Xen's."""

from typing import Any

from onpanic.probe.xen.ask_libvirt import DRIVER

__all__ = ("is_control_domain", "is_on_xen")


def is_on_xen(domain: Any) -> bool:
    """Return whether a domain is a guest of Xen.  Blocks as libvirt does.

    :param domain: A `libvirt.virDomain`.
    :raise libvirt.libvirtError: When libvirt does not answer.
    """
    return bool(domain.connect().getType() == DRIVER)


def is_control_domain(domain: Any) -> bool:
    """Return whether a domain is Xen's control domain (dom0).  Blocks as libvirt does.

    :param domain: A `libvirt.virDomain`.
    :raise libvirt.libvirtError: When libvirt does not answer.
    """
    return is_on_xen(domain) and domain.ID() == 0
