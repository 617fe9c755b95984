"""Whether a libvirt is on this host, and where its files are, for any connection URI."""

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from onpanic.core.errors import SourceError
from onpanic.shims.domain_xml.domain_machine import machine_of
from onpanic.shims.guests.state_since import log_tail, since
from onpanic.shims.translation.domain_emulator import prober_for
from onpanic.shims.translation.local_uri import local_parts, split_local_uri

#: The name of this host.
NAME = socket.gethostname().partition(".")[0].lower()

# Python's urlsplit refuses these
REFUSED = ["qemu+ssh://[::1/system", "qemu+ssh://::1]/system", "qemu://[x]/system", "qemu://a\u2100b/system"]


class Connection:
    """A libvirt connection with a URI, to a host with a name."""

    def __init__(self, uri: str, host: str = "") -> None:
        self._uri, self._host = uri, host

    def getURI(self) -> str:  # noqa: N802
        return self._uri

    def getType(self) -> str:  # noqa: N802
        return "QEMU"

    def getHostname(self) -> str:  # noqa: N802
        return self._host


class Domain:
    """A domain of that connection."""

    def __init__(self, uri: str, name: str = "guest") -> None:
        self._connection, self._name = Connection(uri), name

    def connect(self) -> Connection:
        return self._connection

    def name(self) -> str:
        return self._name


@pytest.mark.parametrize(
    ("uri", "local"),
    [
        ("qemu:///system", True),
        ("qemu+unix:///session?socket=/run/x", True),
        ("qemu+ssh://localhost/system", True),
        ("qemu+ssh://me@LOCALHOST:2222/system", True),
        ("qemu+tcp://127.0.0.1/system", True),
        ("qemu+tls://[::1]:16514/system", True),
        (f"qemu+ssh://{NAME}/system", True),
        (f"qemu+ssh://{NAME}.example.org/system", True),
        (f"qemu+ssh://x{NAME}/system", False),
        ("qemu+ssh://192.0.2.1/system", False),
        ("test:///default", True),
        ("", True),
        ("qemu+ssh://elsewhere/system", False),
        ("qemu+ssh://root@elsewhere:22/system", False),
        ("qemu+ssh://[fe80::1]/system", False),
        *((uri, False) for uri in REFUSED),
    ],
)
def test_a_uri_is_local_if_it_names_no_other_host(uri: str, local: bool) -> None:
    assert (split_local_uri(uri) is not None) == local


@pytest.mark.parametrize(
    ("uri", "host", "local"),
    [
        ("qemu:///system", "elsewhere", True),  # in a container, for example
        ("qemu+ssh://localhost/system", NAME, True),
        ("qemu+ssh://localhost/system", f"{NAME}.example.org", True),
        ("qemu+ssh://localhost:2222/system", "elsewhere", False),
        ("qemu+ssh://localhost:2222/system", f"{NAME}2", False),
        ("qemu+ssh://localhost:2222/system", "", False),
        ("qemu+ssh://elsewhere/system", NAME, False),
    ],
)
def test_a_port_that_is_forwarded_leads_to_another_host(uri: str, host: str, local: bool) -> None:
    """libvirt says the name of the host that it is on."""
    assert (local_parts(Connection(uri, host)) is not None) == local


@given(st.text())
def test_no_uri_is_an_exception(uri: str) -> None:
    split_local_uri(uri)
    assert since(Domain(f"qemu+ssh://{uri}[/system"), "panicked") is None


@pytest.mark.parametrize("uri", ["qemu+ssh://elsewhere/system", *REFUSED])
def test_an_emulator_is_not_probed_for_another_host(uri: str) -> None:
    """It would be this host's emulator."""
    machine = machine_of(etree.fromstring("<domain type='kvm'/>"))
    with pytest.raises(SourceError, match="the emulator is on another host") as caught:
        prober_for(Connection(uri), timeout=60)(machine)
    assert caught.value.hint


@pytest.mark.parametrize("uri", [*REFUSED, "qemu+ssh://elsewhere/system", "qemu:///embed?root=/%00"])
@pytest.mark.parametrize("state", ["panicked", "off", "paused"])
def test_nothing_is_known_of_files_that_cannot_be_read(uri: str, state: str) -> None:
    assert since(Domain(uri), state) is None
    assert log_tail(Domain(uri)) == ""


@pytest.mark.parametrize(
    ("state", "line", "known"),
    [
        ("off", "2026-11-26 15:06:23.123+0000: shutting down, reason=destroyed", "2026-11-26T15:06:23.123Z"),
        ("panicked", "2026-11-26 15:06:23.123+0000: panic s390: core='0'", "2026-11-26T15:06:23.123Z"),
        ("off", "2026-11-26 15:06:23.123+0000: starting up", None),
        ("paused", "2026-11-26 15:06:23.123+0000: shutting down", None),
    ],
)
def test_the_log_says_since_when(state: str, line: str, known: str | None, tmp_path: Path) -> None:
    """Whatever bytes the guest or QEMU have written into it."""
    log = tmp_path / "log/qemu/gu\u00e9st.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"\xff\xfe QEMU\n" + f"{line}\n".encode() + b"\x80\n")
    found = since(Domain(f"qemu:///embed?root={tmp_path}", "gu\u00e9st"), state)
    assert found == ((known, True) if known else None)
    assert f"\n{line}\n" in log_tail(Domain(f"qemu:///embed?root={tmp_path}", "gu\u00e9st"))


def test_the_status_file_says_since_when_at_the_latest(tmp_path: Path) -> None:
    status = tmp_path / "run/qemu/guest.xml"
    status.parent.mkdir(parents=True)
    status.touch()
    found = since(Domain(f"qemu:///embed?root={tmp_path}"), "panicked")
    assert found is not None
    assert found[1] is False
    assert found[0].endswith("Z")
