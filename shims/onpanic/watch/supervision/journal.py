"""The journal: one small file for each guest, so that a restarted watcher continues where it was.

It keeps only what the guest's state does not show: that its memory has been dumped, how often it
was restarted, and its name after a rename-restart.  Files are replaced atomically.  They are valid
until the host reboots, because its guests end then.  Locks in the same directory decide which
watcher acts.
"""

import asyncio
import fcntl
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from onpanic.core.errors import FileError, MissingExtraError
from onpanic.core.files import read_at_most, write_atomically
from onpanic.core.ownership import changeable_by_others
from onpanic.core.untrusted import printable
from onpanic.watch.rules.incident import Incident

__all__ = ("STANDBY", "Journal", "default_folder", "subfolder")

#: What the log says about a watcher that waits for the lock.
STANDBY = "another watcher acts; this one does when that ends"

_POLL = 0.25  # seconds between attempts to take a lock
_SIZE_LIMIT = 2**24  # bytes; a domain's XML is a few hundred thousand at most


class Writer(Protocol):
    """Writes a file whole or not at all, as `write_atomically` does."""

    def __call__(self, path: Path, data: bytes, *, mode: int | None = None) -> None:
        """Write the file.  Raises `OSError` when that fails."""


class Journal:
    """The incidents of guests.

    :param folder: The directory of the files; None to write nothing.
    :param warn: Called with each problem.  The watcher acts even if the journal cannot be written.
    :param boot_id: The host's boot ID; None to read it (random(4)).
    :param writer: Writes the files.
    """

    def __init__(
        self,
        folder: Path | None,
        warn: Callable[[str], object],
        *,
        boot_id: str | None = None,
        writer: Writer = write_atomically,
    ) -> None:
        self._folder = folder
        self._warn = warn
        self._boot_id = _read_boot_id() if boot_id is None else boot_id
        self._writer = writer
        self._incidents: dict[str, Incident] = {}
        self._locks: dict[str, int] = {}

    @property
    def folder(self) -> Path | None:
        """The directory of the files; None if nothing is written."""
        return self._folder

    def try_acquire(self, key: str = "") -> bool:
        """Take the lock and read the files that it protects; return False if another watcher holds it.

        The kernel releases the lock of a process that ends.

        :param key: A guest's key; empty for all guests of this folder.
        :raise FileError: When the folder cannot be written to, or others may write to it.
        """
        if self._folder is None or key in self._locks:
            return True
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _require_own(self._folder)
            path = self._folder / (f"{_file_name(key)}.lock" if key else "lock")
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FileError(
                f"{self._folder}: {error.strerror}", "name a folder that you may write to with --state-dir"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if isinstance(error, BlockingIOError):
                return False
            raise FileError(
                f"{path}: {error.strerror}", "name a folder on a local file system with --state-dir"
            ) from error
        self._locks[key] = lock
        paths = [self._folder / f"{_file_name(key)}.json"] if key else sorted(self._folder.glob("*.json"))
        found = [incident for path in paths if (incident := self._read(path))]
        self._incidents.update((incident.key, incident) for incident in found)
        return True

    async def acquire(self, key: str, on_standby: Callable[[], object]) -> None:
        """Take the lock, as `try_acquire` does, as soon as no other watcher holds it.

        :param on_standby: Called once if another watcher holds it.
        """
        if self.try_acquire(key):
            return
        on_standby()
        while not self.try_acquire(key):  # noqa: ASYNC110  nothing reports that a lock is released
            await asyncio.sleep(_POLL)

    def close(self) -> None:
        """Release all locks."""
        while self._locks:
            os.close(self._locks.popitem()[1])

    def get(self, key: str) -> Incident | None:
        """Return a guest's incident, None if there is none."""
        return self._incidents.get(key)

    def incidents(self) -> list[Incident]:
        """Return all incidents."""
        return list(self._incidents.values())

    def save(self, incident: Incident, **changes: Any) -> Incident:
        """Write an incident, with changes, and return it."""
        incident = self._incidents[incident.key] = replace(incident, **changes, boot=self._boot_id)
        data = msgspec.json.encode(incident)
        # 0600: a domain's XML may contain passwords
        self._on_file(incident.key, lambda path: self._writer(path, data, mode=0o600))
        return incident

    def remove(self, key: str) -> None:
        """Remove a guest's incident."""
        if self._incidents.pop(key, None) is not None:
            self._on_file(key, lambda path: path.unlink(missing_ok=True))

    def _on_file(self, key: str, work: Callable[[Path], object]) -> None:
        if self._folder is None:
            return
        path = self._folder / f"{_file_name(key)}.json"
        try:
            work(path)
        except OSError as error:
            self._warn(f"{path}: {error.strerror}: a restarted watcher will not know what this one has done")

    def _read(self, path: Path) -> Incident | None:
        """Return a file's incident; None if there is none, or none that can be used."""
        try:
            incident = _decode(path)
            if incident is None:
                return None
            if incident.boot == self._boot_id:
                return incident
            path.unlink(missing_ok=True)  # the guest ended with that boot, and may run on another host now
        except (OSError, ValueError, msgspec.DecodeError, RecursionError) as error:
            self._warn(f"{path}: {printable(str(error), 200)}: it is left out")
        return None


def default_folder() -> Path:
    """Return the directory of the journal if none is named.

    :raise MissingExtraError: When platformdirs is not installed.
    """
    given = os.environ.get("STATE_DIRECTORY")  # systemd.exec(5)
    if given:
        return Path(given.partition(":")[0])
    if os.geteuid() == 0:
        return Path("/var/lib/onpanic")
    try:
        from platformdirs import user_state_path
    except ImportError as error:
        raise MissingExtraError("platformdirs", "watch") from error
    return user_state_path("onpanic")


def subfolder(base: Path, server: str) -> Path:
    """Return the directory for the guests of one server.

    :param base: The directory of all servers.
    :param server: The server's identity, see `server_identity`.
    """
    return base / hashlib.sha256(server.encode()).hexdigest()[:12]


def _require_own(folder: Path) -> None:
    """Raise `FileError` if others may write to a folder: what is in it decides what is started again."""
    place = changeable_by_others(folder)
    if not place and folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        place = str(folder)
    if place:
        raise FileError(
            f"{place}: other users may write to it",
            "give it to the watcher's user and chmod it to 0700, or name another folder with --state-dir",
        )


def _decode(path: Path) -> Incident | None:
    """Read a file.

    :raise ValueError: When no watcher has written it; `msgspec.DecodeError` or RecursionError as well.
    """
    if not path.exists():
        return None
    if not path.is_file():
        raise ValueError("not a regular file")
    incident = msgspec.json.decode(read_at_most(path, _SIZE_LIMIT), type=Incident)
    if f"{_file_name(incident.key)}.json" != path.name:
        raise ValueError("it is about a guest of another file")
    return incident


def _file_name(key: str) -> str:
    plain = key.replace("-", "").isalnum() and key.isascii() and len(key) < 100
    return key if plain else hashlib.sha256(key.encode()).hexdigest()[:32]


def _read_boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
