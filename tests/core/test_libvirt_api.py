"""Connections to libvirt that cannot be opened."""

import pytest

from onpanic.core.errors import SourceError
from onpanic.core.libvirt_api import open_connection

from ..played.libvirt import PlayedLibvirt


@pytest.mark.parametrize("uri", ["qemu+ssh://[::1/system", "qemu:///\udcff"])
def test_what_is_not_a_uri(uri: str, played_libvirt: PlayedLibvirt) -> None:
    """It is rejected before libvirt sees it, in words that can be printed."""
    with pytest.raises(SourceError, match="not a libvirt URI") as raised:
        open_connection(uri)
    str(raised.value).encode()
