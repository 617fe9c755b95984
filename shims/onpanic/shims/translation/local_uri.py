"""Telling whether a libvirt connection is to this host."""

import ipaddress
import socket
from typing import Any
from urllib.parse import SplitResult, urlsplit

__all__ = ("local_parts", "split_local_uri")


def local_parts(connection: Any) -> SplitResult | None:
    """Return the parts of a connection's URI; None if its libvirt is on another host.

    A port of this host may be forwarded to another one, so a libvirt that is reached by a host name, through
    SSH for example, is asked for the name of its host.  Blocks as libvirt does.

    :param connection: A `libvirt.virConnect`.
    :raise libvirt.libvirtError: When libvirt does not answer.
    """
    parts = split_local_uri(str(connection.getURI()))
    if parts is None or not parts.hostname:
        return parts
    return parts if _is_same_name(str(connection.getHostname()), socket.gethostname()) else None


def split_local_uri(uri: str) -> SplitResult | None:
    """Return the parts of a libvirt connection URI; None if it names another host, or is not a URI.

    :param uri: What libvirt says of a connection, e.g. ``qemu:///system``.
    """
    try:
        parts = urlsplit(uri)
        host = parts.hostname
    except ValueError:  # for example an unclosed bracket
        return None
    return parts if not host or _is_this_host(host) else None


def _is_this_host(host: str) -> bool:
    if host == "localhost" or _is_same_name(host, socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_same_name(one: str, other: str) -> bool:
    """Return whether two names are the same, or one of them is the other with a domain."""
    short, long = sorted((one.lower(), other.lower()), key=len)
    return bool(short) and (long == short or long.startswith(f"{short}."))
