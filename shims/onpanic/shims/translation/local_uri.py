"""Telling whether a libvirt connection is to this host."""

from urllib.parse import SplitResult, urlsplit

__all__ = ("split_local_uri",)


def split_local_uri(uri: str) -> SplitResult | None:
    """Return the parts of a libvirt connection URI; None if it names another host, or is not a URI.

    :param uri: What libvirt says of a connection, e.g. ``qemu:///system``.
    """
    try:
        parts = urlsplit(uri)
        host = parts.hostname
    except ValueError:  # for example an unclosed bracket
        return None
    return parts if host in (None, "localhost") else None
