"""What a reading leaves in QEMU."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from onpanic.qmp.address import connect, parse_address
from onpanic.qmp.client import ConnectionLostError, QmpClient
from onpanic.why import words_through_monitor

from ..cli.conftest import Done, command  # noqa: F401  a fixture
from ..running.guest import Guest


def test_a_stopped_guest_can_be_read_for_ever(
    guest: Callable[..., Guest],
    command: Callable[..., Done],  # noqa: F811
) -> None:
    """QEMU before 9.1 keeps a descriptor that is taken back while its guest is stopped: few, empty ones."""
    stopped = guest("-S")
    for _ in range(20):
        done = command("why", "--qmp", str(stopped.path))
        assert (done.status, done.err) == (1, "")
        assert "no vmcoreinfo" in done.out
    kept = list(_files_in_memory(stopped.process.pid))
    assert len(kept) <= 16
    assert not any(path.stat().st_size for path in kept)


def test_a_monitor_that_only_prints_memory_is_not_searched(
    guest: Callable[..., Guest],
    command: Callable[..., Done],  # noqa: F811
) -> None:
    """All of the memory, as text, would be more than any answer may have."""
    running = guest("-m", "64")
    done = command("why", "--search", "--timeout", "60", "--qmp", f"127.0.0.1:{running.port}")
    assert (done.status, done.err) == (1, "")
    assert "QEMU can only print it" in done.out
    done = command("why", "--search", "--timeout", "60", "--qmp", str(running.path))
    assert "there is no vmcoreinfo in the guest's memory" in done.out


class EndingConnection:
    """A monitor whose connection ends after the guest was read."""

    def __init__(self, client: QmpClient) -> None:
        self.send_descriptor = client.send_descriptor
        self._client = client

    async def execute(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:  # noqa: F811
        if command == "remove-fd":
            raise ConnectionLostError(EOFError())
        return await self._client.execute(command, arguments)


async def test_what_was_read_is_not_lost_with_the_connection(guest: Callable[..., Guest]) -> None:
    client = QmpClient("QEMU")
    try:
        await client.connect(await connect(parse_address(str(guest("-S").path))))
        words = await words_through_monitor(EndingConnection(client))
    finally:
        await client.close()
    assert words.architecture == "i386"


def _files_in_memory(process: int) -> Iterator[Path]:
    for path in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):
            if "memfd:onpanic" in str(path.readlink()):
                yield path
