"""The words that every libvirt is asked about, and the elements and documents that ask."""

from collections.abc import Collection, Iterator, Sequence

import msgspec

from onpanic.matrix.libvirts.libvirt_names import ACTIONS
from onpanic.matrix.libvirts.libvirt_record import GuestType
from onpanic.shims.translation.asking_libvirt import CONTROL_WORD

__all__ = (
    "LIFECYCLES",
    "NO_MODEL",
    "PANIC",
    "GuestPlan",
    "element_of",
    "filled",
    "plans_of_words",
    "questions",
)

#: The lifecycle elements, and the element of the panic device.
LIFECYCLES = ("on_crash", "on_reboot", "on_poweroff")
PANIC = "panic"

#: Stands for ``<panic/>`` without a model.
NO_MODEL = "none"


class GuestPlan(msgspec.Struct, frozen=True):
    """A guest to start; see `PanickedGuest` for the parameters."""

    on_crash: str
    persistent: bool
    on_reboot: str = ""
    set_live: str = ""
    guest_type: GuestType = ""

    @property
    def lifecycle(self) -> str:
        """Its lifecycle elements."""
        reboot = element_of("on_reboot", self.on_reboot) if self.on_reboot else ""
        return reboot + element_of("on_crash", self.on_crash)


def questions(models: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the elements and words to ask about: for each element the control word first.

    :param models: The models of ``<panic>`` to ask about; empty to ask about none.
    """
    for element in LIFECYCLES:
        yield element, CONTROL_WORD
        for word in ACTIONS:
            yield element, word
    if models:
        yield PANIC, CONTROL_WORD
    for model in models:
        yield PANIC, model


def element_of(element: str, word: str) -> str:
    """Return an element with a value, such as ``<on_crash>destroy</on_crash>``, or with a panic model."""
    if element == PANIC:
        return "<panic/>" if word == NO_MODEL else f"<panic model='{word}'/>"
    return f"<{element}>{word}</{element}>"


def filled(document: str, **values: str) -> str:
    """Return a document with values in the place of its marks; a mark without a value is removed.

    :param document: It may have ``{name}``, ``{lifecycle}``, ``{devices}`` and ``{image}``.
    """
    for mark in ("name", "lifecycle", "devices", "image"):
        document = document.replace(f"{{{mark}}}", values.get(mark, ""))
    return document


def plans_of_words(accepted: Collection[str], guest_type: GuestType = "") -> list[GuestPlan]:
    """Return a persistent and a transient guest for each value of ``<on_crash>`` that libvirt accepts."""
    words = [word for word in ACTIONS if word in accepted]
    return [
        GuestPlan(word, persistent, guest_type=guest_type) for persistent in (True, False) for word in words
    ]
