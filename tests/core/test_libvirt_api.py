"""Connections to libvirt that cannot be opened."""

import socket
from pathlib import Path

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


@pytest.mark.libvirt
@pytest.mark.usefixtures("libvirt")
def test_no_daemon_listens(tmp_path: Path) -> None:
    """The hint says what to start, with or without a socket that a daemon has left."""
    path = tmp_path / "socket"
    assert hint_of(f"qemu+unix:///system?socket={path}").startswith("start libvirtd or virtqemud")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert hint_of(f"qemu+unix:///system?socket={path}").startswith("start libvirtd or virtqemud")


@pytest.mark.libvirt
@pytest.mark.usefixtures("libvirt")
def test_another_reason_why_a_connection_cannot_be_opened() -> None:
    """Nothing that could be started would help."""
    assert hint_of("test:///nowhere") == "name another connection with --connect URI"


def hint_of(uri: str) -> str:
    """Return the hint of the error about a connection that cannot be opened."""
    with pytest.raises(SourceError) as raised:
        open_connection(uri)
    return raised.value.hint
