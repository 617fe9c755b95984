"""Asks one libvirt, lets guests panic under it, and makes its record."""

import time
from datetime import UTC, datetime

from onpanic.core.errors import SourceError
from onpanic.core.libvirt_api import libvirt_module
from onpanic.core.untrusted import printable
from onpanic.core.version import PROGRAM
from onpanic.matrix.libvirts.asked_documents import ask_elements
from onpanic.matrix.libvirts.libvirt_conversation import LibvirtConversation
from onpanic.matrix.libvirts.libvirt_questions import guest_plans
from onpanic.matrix.libvirts.libvirt_record import LibvirtRecord
from onpanic.matrix.libvirts.libvirt_session import LibvirtSession, session_with
from onpanic.matrix.libvirts.observed_guests import observe
from onpanic.matrix.libvirts.record_from_libvirt import accepted_words, libvirt_record_of

__all__ = ("converse_with_libvirt", "record_libvirt")


def record_libvirt(uri: str, *, package: str = "", source: str = "") -> LibvirtRecord:
    """Return the record of the libvirt of a connection URI.

    Guests are started, panic, and are removed.  Takes half a minute.

    :param package: The version of its package, if it is known.
    :param source: Where it comes from, see `LibvirtRecord.source`.
    :raise SourceError: When libvirt cannot be asked.
    :raise MissingExtraError: When libvirt's Python module is not installed.
    """
    libvirt = libvirt_module()
    start = time.monotonic()
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        with session_with(uri) as session:
            conversation = converse_with_libvirt(session)
    except libvirt.libvirtError as error:
        raise SourceError(f"libvirt: {printable(str(error))}", "see libvirt's log") from error
    seconds = round(time.monotonic() - start, 1)
    return libvirt_record_of(conversation, at=at, by=PROGRAM, seconds=seconds, package=package, source=source)


def converse_with_libvirt(session: LibvirtSession) -> LibvirtConversation:
    """Ask a libvirt everything, and run its guests.

    :raise SourceError: When libvirt refuses, or does not answer.
    """
    connection = session.connection
    asked = ask_elements(session)
    run = observe(session, guest_plans(accepted_words(asked, "on_crash")))
    numbers = run.version.get("qemu", {})
    return LibvirtConversation(
        version=session.call(connection.getLibVersion),
        client=libvirt_module().getVersion(),
        driver=session.call(connection.getType),
        mode=session.mode,
        qemu=".".join(str(numbers.get(part, "")) for part in ("major", "minor", "micro")) if numbers else "",
        qemu_package=printable(str(run.version.get("package", "")), 200),
        asked=asked,
        guests=run.guests,
    )
