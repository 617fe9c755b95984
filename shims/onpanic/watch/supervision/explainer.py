"""Reads why a guest panicked, before a step ends it, and keeps that in a file."""

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path

from onpanic.core.errors import BusyError, FailedError, GoneError, LostError, StaleError
from onpanic.core.files import write_atomically
from onpanic.core.libvirt_api import CallThread
from onpanic.core.untrusted import printable
from onpanic.watch.guests.guest import Guest
from onpanic.watch.reporting.lines import now
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.panic_reason import PanicReason, shortened
from onpanic.watch.rules.why_files import old_why_files, why_content, why_name
from onpanic.why.words.last_words import LastWords
from onpanic.why.words.text_report import report_lines

__all__ = ("explain",)

_MODE = 0o600  # as dumps have: a log may have secrets


async def explain(guest: Guest, incident: Incident, timeout: float, folder: Path | None) -> PanicReason:  # noqa: ASYNC109
    """Read why a guest panicked, and write it to a file beside the guest's dump.

    :param timeout: Seconds for the reading, and as many for the file.
    :param folder: The watcher's own directory, for the file if there can be none beside the dump; None if
        the watcher has none.
    :raise LostError: When the connection is lost.
    :raise StaleError: When the guest has changed.
    """
    try:
        words = await guest.read_words(incident, timeout, folder)
    except (LostError, StaleError):
        raise
    except (BusyError, FailedError, GoneError) as error:
        return PanicReason(detail=f"not known: {error.message}")
    except Exception as error:  # noqa: BLE001  the policy must still be carried out
        return PanicReason(detail=f"not known: a bug: {printable(repr(error), 200)}")
    notes = printable("; ".join(words.notes), 400)
    file = ""
    if words.panicked or words.lines:
        place = folder / "why" if folder else None
        file, problem = await _keep(guest, incident, words, place, timeout)
        notes = "; ".join(filter(None, (notes, problem)))
    if not words.panicked:
        said = notes or ("the guest's log has no panic" if words.lines else "")
        return PanicReason(file=file, detail=f"not known: {said}" if said else "")
    return PanicReason(words.kind or "other", shortened(words.sentence or "it does not say why"), file, notes)


async def _keep(
    guest: Guest,
    incident: Incident,
    words: LastWords,
    fallback: Path | None,
    timeout: float,  # noqa: ASYNC109
) -> tuple[str, str]:
    """Write a file, and return its path, and why it is not beside the dump."""
    try:
        dump = Path(incident.coredump or await guest.dump_path(incident.at))
    except (BusyError, FailedError, GoneError) as error:
        return "", f"not in a file: {error.message}"
    lines = [f"{guest.name} {guest.uuid}".strip(), f"read at {now()}", *report_lines(words, None)]
    writing = CallThread()  # a file system may hang
    try:
        async with asyncio.timeout(timeout):
            found: tuple[str, str] = await writing.call(partial(_write, dump, why_content(lines), fallback))
            return found
    except TimeoutError:
        return "", f"no file in {dump.parent}: writing it takes too long"
    finally:
        writing.finish(lambda: None)


def _write(dump: Path, content: bytes, fallback: Path | None) -> tuple[str, str]:
    problem = ""
    for folder in (dump.parent, *([fallback] if fallback else ())):
        path = folder / why_name(dump.name)
        try:
            if folder == fallback:
                folder.mkdir(mode=0o700, exist_ok=True)
            write_atomically(path, content, mode=_MODE, replace=True)  # QEMU's user may own the folder
        except OSError as error:
            problem = problem or f"no file in {folder}: {error.strerror}"
            continue
        _remove_old(path)
        return str(path), problem
    return "", problem


def _remove_old(path: Path) -> None:
    with suppress(OSError):
        for name in old_why_files([entry.name for entry in path.parent.iterdir()], path.name):
            (path.parent / name).unlink(missing_ok=True)
