"""Room for a dump: applies dump-quota and dump-reserve to the directory, as far as it can be seen from here.

If a limit cannot be checked, the dump is made all the same, and its line says so.
"""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from onpanic.core.errors import FailedError
from onpanic.watch.rules.dump_files import PARTIAL, DumpFile, guest_of
from onpanic.watch.rules.dump_limits import room_for_dump
from onpanic.watch.rules.settings import Settings

__all__ = ("space_for_dump",)

# Dumps that this process has made room for, by their path, and the bytes that each takes at most
_pending: dict[str, int] = {}


@asynccontextmanager
async def space_for_dump(
    path: str, needed: int | None, settings: Settings, *, here: bool
) -> AsyncIterator[str]:
    """Make room for a dump; a context in which the dump is made, with the reason why a limit is not applied.

    :param path: The dump's file.
    :param needed: Bytes that the dump takes at most; None if that is unknown.
    :param settings: The limits.
    :param here: Whether the directory is on this host.
    :raise FailedError: When there is no room.
    """
    limited = [
        name
        for name, limit in (("dump-quota", settings.quota_bytes), ("dump-reserve", settings.reserve_bytes))
        if limit
    ]
    if not limited:
        yield ""
        return
    if needed is None or not here:
        why = "the size of the guest's memory is unknown" if here else "the directory may be on another host"
        yield f"{' and '.join(limited)} not applied: {why}"
        return
    others = dict(_pending)
    _pending[path] = needed
    try:
        yield await asyncio.to_thread(_make_room, path, needed, settings, others)
    finally:
        _pending.pop(path, None)


def _make_room(path: str, needed: int, settings: Settings, pending: Mapping[str, int]) -> str:
    """Remove old dumps as the limits ask, and return the reason why a limit is not applied.

    :raise FailedError: When there is no room.
    """
    folder, problems = Path(path).parent, []
    dumps: list[DumpFile] = []
    quota, free = settings.quota_bytes, None
    if quota or pending:  # dumps in progress have not taken all of their space yet
        try:
            dumps = [dump for dump in _dumps(folder, pending) if dump.name != Path(path).name]
        except OSError as error:
            if quota:
                problems.append(f"dump-quota not applied: {folder}: {error.strerror}")
            quota = 0
    if settings.reserve_bytes:
        try:
            found = os.statvfs(folder)
            free = found.f_bavail * found.f_frsize
        except OSError as error:
            problems.append(f"dump-reserve not applied: {folder}: {error.strerror}")
    room = room_for_dump(dumps, needed, free, quota, settings.reserve_bytes)
    if room.refusal:
        raise FailedError(room.refusal)
    for name in room.remove:
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            problems.append(f"dump-quota not applied: {folder / name}: {error.strerror}")
            break
    return "; ".join(problems)


def _dumps(folder: Path, pending: Mapping[str, int]) -> list[DumpFile]:
    """Return the dumps in a directory that watchers made or, for this process, are making.

    :param pending: Dumps in progress, by their path, and what each takes at most.
    :raise OSError: When the directory cannot be read.
    """
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name.removesuffix(PARTIAL)
            guest, whole = guest_of(name), pending.get(str(folder / name))
            if not guest or (whole is None and name != entry.name):
                continue
            try:
                about = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISREG(about.st_mode):
                size = about.st_size if whole is None else max(whole, about.st_size)
                found.append(
                    DumpFile(name, guest, size, about.st_size, about.st_mtime_ns, complete=whole is None)
                )
    seen = {dump.name for dump in found}
    for path, whole in pending.items():  # those that are about to begin
        if Path(path).parent == folder and (name := Path(path).name) not in seen:
            found.append(DumpFile(name, guest_of(name), whole, 0, 0, complete=False))
    return found
