"""Asks libvirt which documents it accepts.

``domainXMLToNative`` reads a document as ``defineXML`` does, and refuses what that would refuse; nothing is
defined, and no guest is started.
"""

from onpanic.core.errors import SourceError
from onpanic.matrix.libvirts.libvirt_conversation import AskedElement, LibvirtRefusal
from onpanic.matrix.libvirts.libvirt_questions import PANIC, document, element_of, questions
from onpanic.matrix.libvirts.libvirt_session import LibvirtSession

__all__ = ("ask_elements",)

_FORMAT = "qemu-argv"

# virErrorNumber: the connection is read-only, or the user may not do it
_DENIED = (29, 88)


def ask_elements(session: LibvirtSession) -> list[AskedElement]:
    """Ask about each element and word.

    :raise SourceError: When libvirt refuses even a document with none of them, or does not answer.
    """
    refusal = _refusal(session, document("asked"))
    if refusal:
        if refusal.code in _DENIED:
            raise SourceError(
                f"libvirt: {refusal.text}", "a record needs a connection that may read, start and end guests"
            )
        raise SourceError(
            f"libvirt refuses the simplest guest: {refusal.text}",
            "libvirt needs QEMU for x86_64, such as the package qemu-system-x86",
        )
    answers = []
    for element, word in questions():
        xml = element_of(element, word)
        place = "devices" if element == PANIC else "lifecycle"
        answers.append(AskedElement(element, word, _refusal(session, document("asked", **{place: xml}))))
    return answers


def _refusal(session: LibvirtSession, xml: str) -> LibvirtRefusal | None:
    return session.attempt(lambda: session.connection.domainXMLToNative(_FORMAT, xml, 0))[1]
