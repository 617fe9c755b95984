"""What was done for a guest already: a small file a guest, for a watcher that starts again.

Only what looking at the guest does not tell is kept: that its memory was dumped, how often
it was restarted, which name it is to have.  The files are written whole or not at all.
They count until the host boots, as the guests do.
"""

import asyncio
import fcntl
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from onpanic.probe.errors import OnpanicError
from onpanic.probe.recording import write_whole

from .duty import Duty, Trouble

__all__ = ("STANDBY", "Entry", "Journal", "default_folder", "subfolder")

#: What is said of one that stands by.
STANDBY = "another watcher acts; this one does when that ends"

_TURN = 0.25  # seconds between attempts to act
_STILL = 20_000_000  # nanoseconds that vCPUs may run of a guest that is stopped: KVM does, for a dump


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A guest's trouble, and what was done about it.

    :param key: The guest: a domain's UUID, or a monitor's address.
    :param name: The guest's name when it got into trouble.
    :param trouble: What it is.
    :param duty: What is to become of it.
    :param instance: Which start of the guest it is about.
    :param ran: How long its vCPUs had run, in nanoseconds: another time means another trouble.
    :param at: When it was found, in seconds since the epoch.
    :param due: When it may be restarted, in seconds since the epoch.
    :param coredump: Where its memory goes.
    :param dumped: True if it is there.
    :param begun: True if the watcher has begun to restart or to destroy the guest.
    :param new_name: Its name after a rename-restart.
    :param xml: A transient domain, as it is to be started again.
    :param failed: Why it was given up: the guest was left as it was.
    :param finished: True if no more is to be done.
    :param over: True if the guest has left that state since.
    :param restarts: When it was restarted, this time and before, in seconds since the epoch.
    :param put_aside: libvirt's own word in the running domain, while the watcher acts in its place.
    :param starter: The process that starts the guest again.
    :param boot: Of the host: what was begun before another one is nobody's any more.
    """

    key: str
    name: str
    trouble: Trouble | None = None
    duty: Duty = Duty("nothing")
    instance: str = ""
    ran: int | None = None
    at: float = 0.0
    due: float = 0.0
    coredump: str = ""
    dumped: bool = False
    begun: bool = False
    new_name: str = ""
    xml: str = ""
    failed: str = ""
    finished: bool = True
    over: bool = True
    restarts: list[float] = []
    put_aside: str = ""
    starter: str = ""
    boot: str = ""

    def is_about(self, trouble: str, instance: str, ran: int | None) -> bool:
        """Say if a guest that is found in trouble is found in this one.

        What is not finished is: to go on with it ends as to begin anew does.
        """
        has_run = ran is not None and self.ran is not None and ran > self.ran + _STILL
        same = (self.trouble, self.instance) == (trouble, instance)
        return same and not self.over and not (has_run and self.finished)


class Journal:
    """The entries of guests; nothing is written if there is no folder.

    :param folder: Where the files are.
    :param complain: Called with what went wrong: that is no reason not to act.
    """

    def __init__(self, folder: Path | None, complain: Callable[[str], None]) -> None:
        self._folder = folder
        self._complain = complain
        self._entries: dict[str, Entry] = {}
        self._locks: dict[str, int] = {}
        self._boot = _boot()

    def acquire(self, key: str = "") -> bool:
        """Be the one who acts: False if somebody else is.  A process that ends gives it back.

        :param key: A guest's; empty for all guests of this folder.
        :raise OnpanicError: When the folder cannot be written to.
        """
        if self._folder is None or key in self._locks:
            return True
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = self._folder / (f"{_file_name(key)}.lock" if key else "lock")
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise OnpanicError(
                f"{self._folder}: {error.strerror}", "name a folder that you may write to with --state-dir"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._locks[key] = lock
        paths = [self._folder / f"{_file_name(key)}.json"] if key else sorted(self._folder.glob("*.json"))
        self._entries.update((entry.key, entry) for path in paths if (entry := self._read(path)))
        return True

    async def turn(self, key: str, standing_by: Callable[[], None]) -> None:
        """Be the one who acts, as soon as nobody else does.  Raises as `acquire` does.

        :param key: As `acquire` takes it.
        :param standing_by: Called once, if somebody else acts.
        """
        if self.acquire(key):
            return
        standing_by()
        while not self.acquire(key):  # noqa: ASYNC110  a lock tells nobody
            await asyncio.sleep(_TURN)

    def close(self) -> None:
        """Let somebody else act."""
        while self._locks:
            os.close(self._locks.popitem()[1])

    def get(self, key: str) -> Entry | None:
        """Return a guest's entry, None if there is none."""
        return self._entries.get(key)

    def entries(self) -> list[Entry]:
        """Return all entries."""
        return list(self._entries.values())

    def keep(self, entry: Entry, **changes: Any) -> Entry:
        """Write an entry down, with changes, and return it."""
        entry = self._entries[entry.key] = replace(entry, **changes, boot=self._boot)
        data = msgspec.json.encode(entry)  # which may have passwords in it
        self._on_file(entry.key, lambda path: write_whole(path, data, mode=0o600))
        return entry

    def drop(self, key: str) -> None:
        """Forget a guest."""
        if self._entries.pop(key, None) is not None:
            self._on_file(key, lambda path: path.unlink(missing_ok=True))

    def _on_file(self, key: str, act: Callable[[Path], Any]) -> None:
        if self._folder is None:
            return
        path = self._folder / f"{_file_name(key)}.json"
        try:
            act(path)
        except OSError as error:
            self._complain(f"{path}: {error.strerror}: what is done now is forgotten if the watcher ends")

    def _read(self, path: Path) -> Entry | None:
        try:
            entry = msgspec.json.decode(path.read_bytes(), type=Entry)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            self._complain(f"{path}: {error}: it is left out")
            return None
        if entry.boot != self._boot:  # its guest did not outlive that, and may run elsewhere
            path.unlink(missing_ok=True)
            return None
        return entry


def default_folder() -> Path:
    """Return where entries are kept if nothing else is said."""
    given = os.environ.get("STATE_DIRECTORY")  # systemd's
    if given:
        return Path(given.partition(":")[0])
    if os.geteuid() == 0:
        return Path("/var/lib/onpanic")
    from platformdirs import user_state_path

    return user_state_path("onpanic")


def subfolder(base: Path, subject: str) -> Path:
    """Return the folder of one hypervisor's guests.

    :param subject: What tells it from others.
    """
    return base / hashlib.sha256(subject.encode()).hexdigest()[:12]


def _file_name(key: str) -> str:
    plain = key.replace("-", "").isalnum() and key.isascii() and len(key) < 100
    return key if plain else hashlib.sha256(key.encode()).hexdigest()[:32]


def _boot() -> str:
    """Return what tells this boot of the host from others (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
