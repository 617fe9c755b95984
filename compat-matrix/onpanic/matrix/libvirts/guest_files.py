"""What libvirt leaves of guests that panicked: core dumps, whose format is read, logs, and QEMU."""

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

from onpanic.core.errors import MissingExtraError
from onpanic.matrix.libvirts.libvirt_record import DumpFormat

try:
    from platformdirs import user_cache_path
except ImportError as error:
    raise MissingExtraError("platformdirs", "matrix") from error

__all__ = ("format_of", "kill_qemu", "newest_format", "qemu_logs", "remove_guest_files")

_MAGIC: dict[bytes, DumpFormat] = {
    b"\x7fELF": "elf",
    b"KDUMP   ": "kdump",
    b"makedumpfile": "kdump",  # the flattened form
    b"PAGEDU64": "win-dmp",
    b"PAGEDUMP": "win-dmp",
}
_LONGEST = max(map(len, _MAGIC))
_LOGS = "log"
_SYSTEM_LOGS = Path("/var/log/libvirt/qemu")


def newest_format(folder: Path, name: str) -> DumpFormat:
    """Return the format of a guest's newest dump.

    :param folder: The folder of libvirt's own dumps.
    :param name: The guest's name, which the file's name contains.
    """
    try:
        files = _dumps(folder, name)
        return format_of(files[-1]) if files else "none"
    except OSError:
        return "unknown"


def format_of(path: Path) -> DumpFormat:
    """Return a file's format, by its first bytes.

    :raise OSError: When it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(_LONGEST)
    if not start:
        return "empty"
    return next((form for magic, form in _MAGIC.items() if start.startswith(magic)), "other")


def qemu_logs(monitor: str) -> list[Path]:
    """Return the folders in which libvirt may keep the logs of guests of QEMU.

    :param monitor: The path of the socket of a guest's monitor: ``…/lib/domain-1-guest/monitor.sock`` in
        session mode, ``/var/lib/libvirt/qemu/domain-1-guest/monitor.sock`` in system mode; empty if it is
        not known.
    """
    beside = [Path(monitor).parents[2] / _LOGS] if monitor.count("/") > 2 else []
    return [*beside, _SYSTEM_LOGS, user_cache_path("libvirt") / "qemu" / _LOGS]


def remove_guest_files(folder: Path, logs: Iterable[Path], names: Iterable[str]) -> None:
    """Remove the dumps and logs of guests, as far as this is permitted.

    :param folder: The folder of libvirt's own dumps.
    :param logs: The folders of logs.
    :param names: The names of the guests, which no other guest had.
    """
    logs = list(logs)
    for name in names:
        with contextlib.suppress(OSError):
            for path in _dumps(folder, name):
                path.unlink()
        for log in logs:
            with contextlib.suppress(OSError):
                (log / f"{name}.log").unlink()


def kill_qemu(name: str) -> None:
    """Kill the QEMU of a guest, as far as this is permitted.

    :param name: The guest's name, as libvirt passes it to QEMU: ``-name guest=…``.
    """
    mark = f"guest={name},".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"-name" in words and words[words.index(b"-name") + 1].startswith(mark):
                os.kill(int(process.name), signal.SIGKILL)


def _dumps(folder: Path, name: str) -> list[Path]:
    """Return the dumps of a guest, oldest first.

    :raise OSError: When the folder cannot be read.
    """
    return sorted(
        (path for path in folder.iterdir() if name in path.name and path.is_file()),
        key=lambda path: path.stat().st_mtime_ns,
    )
