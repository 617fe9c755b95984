"""Asks libvirt which documents it accepts.

``domainXMLToNative`` reads a document as ``defineXML`` does, and refuses what that would refuse; nothing is
defined, and no guest is started.
"""

from onpanic.core.errors import SourceError
from onpanic.matrix.libvirts.guest_driver import GuestDriver
from onpanic.matrix.libvirts.libvirt_conversation import AskedElement, LibvirtRefusal
from onpanic.matrix.libvirts.libvirt_questions import PANIC, element_of, filled, questions
from onpanic.matrix.libvirts.libvirt_session import LibvirtSession

__all__ = ("ask_elements",)

# virErrorNumber: the connection is read-only, or the user may not do it
_DENIED = (29, 88)


def ask_elements(session: LibvirtSession, driver: GuestDriver) -> list[AskedElement]:
    """Ask about each element and word.

    :raise SourceError: When libvirt refuses even a document with none of them, or does not answer.
    """

    def refusal_of(**parts: str) -> LibvirtRefusal | None:
        xml = filled(driver.documents["asked"], **parts)
        native = driver.native
        return session.attempt(lambda: session.connection.domainXMLToNative(native, xml, 0))[1]

    refusal = refusal_of()
    if refusal:
        if refusal.code in _DENIED:
            raise SourceError(
                f"libvirt: {refusal.text}", "a record needs a connection that may read, start and end guests"
            )
        raise SourceError(f"libvirt refuses the simplest guest: {refusal.text}", driver.needs)
    answers = []
    for element, word in questions(driver.models):
        place = "devices" if element == PANIC else "lifecycle"
        answers.append(AskedElement(element, word, refusal_of(**{place: element_of(element, word)})))
    return answers
