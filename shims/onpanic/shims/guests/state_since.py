"""Since when a domain has been in its state, according to the files that libvirt writes.

libvirt's API has no such time.  Its QEMU log has a line with the time when a domain ended, and when
it panicked if QEMU knows details of the panic.  Its status file was written when the state changed,
or later.  Both files are on libvirt's host, and may not be readable; then the time is not known.
"""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from onpanic.shims.translation.local_uri import local_parts

__all__ = ("log_tail", "since")

_TAIL = 64 * 1024  # bytes at the end of a log that are read
_TIME = r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+0000): "
# What libvirt logs at the beginning of a state (qemuLogOperation, qemuProcessStop, panic info)
_LINES = {
    "panicked": re.compile(_TIME + "panic ", re.MULTILINE),
    "crashed": re.compile(_TIME + "shutting down", re.MULTILINE),
    "crashed process": re.compile(_TIME + "shutting down", re.MULTILINE),
    "off": re.compile(_TIME + "shutting down", re.MULTILINE),
}


def since(domain: Any, state: str) -> tuple[str, bool] | None:
    """Return since when a domain has been in a state.

    :param domain: A `libvirt.virDomain`.
    :param state: The name of a `StateExplanation`.
    :return: The time (UTC, RFC 3339), and whether it is exact, not just the latest possible one; None if
        it is not known.
    """
    for log, status in _folders(domain.connect()):
        pattern = _LINES.get(state)
        times = pattern.findall(_tail(log / f"{domain.name()}.log")) if pattern else []
        if times:
            return times[-1].replace(" ", "T").replace("+0000", "Z"), True
        if state == "panicked":
            try:
                changed = (status / f"{domain.name()}.xml").stat().st_mtime
            except (OSError, ValueError):
                continue
            at = datetime.fromtimestamp(changed, UTC).isoformat(timespec="milliseconds")
            return at.replace("+00:00", "Z"), False
    return None


def log_tail(domain: Any) -> str:
    """Return the end of libvirt's QEMU log of a domain; empty if it cannot be read.

    :param domain: A `libvirt.virDomain`.
    """
    tails = (_tail(log / f"{domain.name()}.log") for log, _ in _folders(domain.connect()))
    return next((tail for tail in tails if tail), "")


def _folders(connection: Any) -> Iterator[tuple[Path, Path]]:
    """Yield folders in which the libvirt of a connection may have its logs and its status files."""
    parts = local_parts(connection)
    if parts is None:
        return
    query = parse_qs(parts.query)
    if parts.path == "/system":
        yield Path("/var/log/libvirt/qemu"), Path("/run/libvirt/qemu")
    elif parts.path == "/embed":
        root = Path(query.get("root", [""])[0])
        yield root / "log/qemu", root / "run/qemu"
    elif parts.path == "/session":
        home = Path.home()
        cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
        runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or cache)
        yield cache / "libvirt/qemu/log", runtime / "libvirt/qemu/run"
        # A daemon that the URI names by its socket has its files beside the socket
        socket_folder = Path(query.get("socket", [""])[0]).parent
        yield socket_folder / "qemu/log", socket_folder / "qemu/run"


def _tail(path: Path) -> str:
    """Return the end of a log; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            return file.read().decode("utf-8", "replace")
    except (OSError, ValueError):  # ValueError: the URI's path has a NUL
        return ""
