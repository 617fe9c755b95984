"""Since when a domain is in its state: what libvirt leaves in files, as it keeps no time itself.

Its QEMU log has a line with the time when the domain ended, and for panics of which QEMU
knows more than the fact; its status file was written when the state last changed, or
later.  Both are on libvirt's host and may not be readable: then nothing is known.
"""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

__all__ = ("since",)

_TAIL = 64 * 1024  # bytes at the end of a log that are looked at
_TIME = r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+0000): "
# What libvirt logs at the beginning of a state (qemuLogOperation, qemuProcessStop, panic info)
_LINES = {
    "panicked": re.compile(_TIME + "panic ", re.MULTILINE),
    "crashed": re.compile(_TIME + "shutting down", re.MULTILINE),
    "crashed process": re.compile(_TIME + "shutting down", re.MULTILINE),
    "off": re.compile(_TIME + "shutting down", re.MULTILINE),
}


def since(domain: Any, state: str) -> tuple[str, bool] | None:
    """Return since when a domain is in a state, and True if that is exact, not the latest it can be.

    :param domain: A `libvirt.virDomain`.
    :param state: The name of a `states.Condition`.
    :return: UTC, RFC 3339; None if nothing tells.
    """
    for log, status in _folders(str(domain.connect().getURI())):
        pattern = _LINES.get(state)
        times = pattern.findall(_tail(log / f"{domain.name()}.log")) if pattern else []
        if times:
            return times[-1].replace(" ", "T").replace("+0000", "Z"), True
        if state == "panicked":
            try:
                changed = (status / f"{domain.name()}.xml").stat().st_mtime
            except OSError:
                continue
            at = datetime.fromtimestamp(changed, UTC).isoformat(timespec="milliseconds")
            return at.replace("+00:00", "Z"), False
    return None


def _folders(uri: str) -> Iterator[tuple[Path, Path]]:
    """Return where the logs and the status files of a local libvirt can be."""
    parts = urlsplit(uri)
    if parts.hostname not in (None, "localhost"):
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
        # A daemon that is named by its socket keeps its files beside it
        beside = Path(query.get("socket", [""])[0]).parent
        yield beside / "qemu/log", beside / "qemu/run"


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
