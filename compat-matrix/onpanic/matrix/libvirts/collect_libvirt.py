"""Asks one libvirt, lets guests panic under it, and makes its record."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from onpanic.core.errors import SourceError
from onpanic.core.libvirt_api import libvirt_module
from onpanic.core.untrusted import printable
from onpanic.core.version import PROGRAM
from onpanic.matrix.libvirts.asked_documents import ask_elements
from onpanic.matrix.libvirts.guest_drivers import driver_of
from onpanic.matrix.libvirts.libvirt_conversation import LibvirtConversation
from onpanic.matrix.libvirts.libvirt_questions import GuestPlan
from onpanic.matrix.libvirts.libvirt_record import LibvirtRecord
from onpanic.matrix.libvirts.libvirt_session import LibvirtSession, session_with
from onpanic.matrix.libvirts.observed_guests import observe
from onpanic.matrix.libvirts.record_from_libvirt import accepted_words, libvirt_record_of

__all__ = ("converse_with_libvirt", "record_libvirt")


def record_libvirt(
    uri: str, *, package: str = "", source: str = "", wanted: Callable[[GuestPlan], bool] = lambda _: True
) -> LibvirtRecord:
    """Return the record of the libvirt of a connection URI.

    Guests are started, panic, and are removed.  Takes half a minute.

    :param package: The version of its package, if it is known.
    :param source: Where it comes from, see `LibvirtRecord.source`.
    :param wanted: Which guests to run; all by default.
    :raise SourceError: When libvirt cannot be asked.
    :raise MissingExtraError: When libvirt's Python module is not installed.
    """
    libvirt = libvirt_module()
    start = time.monotonic()
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        with session_with(uri) as session:
            conversation = converse_with_libvirt(session, wanted)
    except libvirt.libvirtError as error:
        raise SourceError(f"libvirt: {printable(str(error))}", "see libvirt's log") from error
    seconds = round(time.monotonic() - start, 1)
    return libvirt_record_of(conversation, at=at, by=PROGRAM, seconds=seconds, package=package, source=source)


def converse_with_libvirt(
    session: LibvirtSession, wanted: Callable[[GuestPlan], bool] = lambda _: True
) -> LibvirtConversation:
    """Ask a libvirt everything, and run its guests.

    :param wanted: Which guests to run; all by default.
    :raise SourceError: When libvirt refuses, does not answer, or has a driver whose guests are not known.
    """
    connection = session.connection
    driver = driver_of(session)
    asked = ask_elements(session, driver)
    plans = driver.plans(accepted_words(asked, "on_crash"))
    run = observe(session, driver, list(filter(wanted, plans)))
    return LibvirtConversation(
        version=session.call(connection.getLibVersion),
        client=libvirt_module().getVersion(),
        driver=session.call(connection.getType),
        mode=session.mode,
        ran_on=run.about,
        documents=driver.documents,
        asked=asked,
        guests=run.guests,
    )
