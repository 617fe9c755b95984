"""What a reading leaves in QEMU."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

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


def _files_in_memory(process: int) -> Iterator[Path]:
    for path in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):
            if "memfd:onpanic" in str(path.readlink()):
                yield path
