"""Addresses of monitors, and connecting to them."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from onpanic.core.errors import UsageError
from onpanic.qmp.address import connect, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("/run/vm.qmp", "/run/vm.qmp"),
        ("./a:1", "./a:1"),
        ("vm.qmp", "vm.qmp"),
        ("localhost:4444", ("localhost", 4444)),
        (":4444", ("localhost", 4444)),
        ("[::1]:4444", ("::1", 4444)),
        ("::1:4444", ("::1", 4444)),
    ],
)
def test_a_path_is_told_from_host_and_port(text: str, address: object) -> None:
    """What has a slash is a path; what ends with a colon and a number is host and port."""
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["host:", "host:0", "host:65536", "host:-1", "host:x", "host:²", "host:" + "9" * 5000]
)
def test_a_port_is_a_number_up_to_65535(text: str) -> None:
    """Anything else is an error in one line."""
    with pytest.raises(UsageError, match="is not a port"):
        parse_address(text)


@pytest.fixture
def port() -> Iterator[int]:
    """Return a port at which 127.0.0.1 listens, and ::1 does not."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def test_every_address_of_a_host_name_is_tried(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ``localhost`` is ::1 first, a QEMU that listens on 127.0.0.1 only is found all the same."""

    def both(*_: object, **__: object) -> list[object]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with await connect(("localhost", port)) as channel:
        assert channel.getpeername() == ("127.0.0.1", port)


async def test_where_nothing_listens_the_system_says_why(tmp_path: Path) -> None:
    """The error is the system's own."""
    with pytest.raises(FileNotFoundError):
        await connect(str(tmp_path / "none"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        await connect(("127.0.0.1", free))


async def test_a_listener_whose_backlog_is_full(tmp_path: Path) -> None:
    """The connection is made as soon as there is room."""
    path = str(tmp_path / "full")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await connect(path)
        second = asyncio.create_task(connect(path))
        await asyncio.sleep(0)
        assert not second.done()
        listener.accept()[0].close()
        async with asyncio.timeout(60):
            with await second as channel:
                assert channel.getpeername() == path


@pytest.mark.parametrize("host", ["a" * 64, "a..b", "\udcff"])
async def test_a_host_name_that_cannot_exist(host: str) -> None:
    """Python cannot encode it; the error is of the kind that a host without an address has."""
    with pytest.raises(OSError, match="no host has this name"):
        await connect((host, 4444))


def test_a_resolver_that_hangs_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop ends although getaddrinfo(3) has not returned."""
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: answered.wait(3600))

    async def main() -> None:
        async with asyncio.timeout(0.01):
            await connect(("vm.example", 4444))

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    answered.set()
