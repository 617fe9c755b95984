"""The words, models and guests that a libvirt is asked about, and the XML that asks.

The guests have no disk, 16 MiB and no accelerator.  Their firmware finds nothing to boot and waits; they
panic when the monitor writes to the port of their panic device.
"""

from collections.abc import Collection, Iterator

import msgspec

from onpanic.matrix.libvirts.libvirt_names import ACTIONS
from onpanic.shims.translation.asking_libvirt import CONTROL_WORD

__all__ = (
    "ARCH",
    "DOCUMENTS",
    "LIFECYCLES",
    "MACHINE",
    "NO_MODEL",
    "PANIC",
    "GuestPlan",
    "document",
    "element_of",
    "guest_plans",
    "questions",
)

#: The lifecycle elements, and the element of the panic device.
LIFECYCLES = ("on_crash", "on_reboot", "on_poweroff")
PANIC = "panic"

#: Stands for ``<panic/>`` without a model.
NO_MODEL = "none"

_MODELS = (NO_MODEL, "isa", "pvpanic", "hyperv", "pseries", "s390", "default")

_RUNS = "preserve-running"

#: Only x86 has the ISA device, which panics without code in the guest.
ARCH, MACHINE = "x86_64", "pc"

_DOMAIN = (
    "<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory>"
    f"<os><type arch='{ARCH}' machine='{MACHINE}'>hvm</type></os>"
    "{lifecycle}<devices>{devices}</devices></domain>"
)

#: The documents: one that libvirt is asked about, and that of a guest.
DOCUMENTS = {
    "asked": _DOMAIN.replace("{name}", "onpanic"),
    "guest": _DOMAIN.replace("{devices}", "<panic model='isa'/>"),
}


class GuestPlan(msgspec.Struct, frozen=True):
    """A guest to start; see `PanickedGuest` for the parameters."""

    on_crash: str
    persistent: bool
    on_reboot: str = ""
    set_live: str = ""

    @property
    def lifecycle(self) -> str:
        """Its lifecycle elements."""
        reboot = element_of("on_reboot", self.on_reboot) if self.on_reboot else ""
        return reboot + element_of("on_crash", self.on_crash)


def questions() -> Iterator[tuple[str, str]]:
    """Yield the elements and words to ask about: for each element the control word first."""
    for element in LIFECYCLES:
        yield element, CONTROL_WORD
        for word in ACTIONS:
            yield element, word
    yield PANIC, CONTROL_WORD
    for model in _MODELS:
        yield PANIC, model


def element_of(element: str, word: str) -> str:
    """Return an element with a value, such as ``<on_crash>destroy</on_crash>``, or with a panic model."""
    if element == PANIC:
        return "<panic/>" if word == NO_MODEL else f"<panic model='{word}'/>"
    return f"<{element}>{word}</{element}>"


def document(kind: str, *, name: str = "", lifecycle: str = "", devices: str = "") -> str:
    """Return one of `DOCUMENTS` with these elements."""
    text = DOCUMENTS[kind]
    values = {"{name}": name, "{lifecycle}": lifecycle, "{devices}": devices}
    for mark, value in values.items():
        text = text.replace(mark, value)
    return text


def guest_plans(accepted: Collection[str]) -> list[GuestPlan]:
    """Return the guests to start.

    :param accepted: The values of ``<on_crash>`` that libvirt accepts.
    """
    words = [word for word in ACTIONS if word in accepted]
    plans = [GuestPlan(word, persistent) for persistent in (True, False) for word in words]
    usual = "destroy"  # libvirt's default for <on_crash>
    if usual in words:
        plans += [GuestPlan(usual, persistent=False, set_live=word) for word in ACTIONS if word != usual]
        plans += [GuestPlan(word, persistent=False, set_live=usual) for word in words if word != usual]
    if _RUNS in words:  # QEMU's panic action must change, too
        plans += [
            GuestPlan(_RUNS, persistent=False, set_live=word) for word in words if word not in (_RUNS, usual)
        ]
    if "restart" in words:
        plans.append(GuestPlan("restart", persistent=False, on_reboot="destroy"))
    return plans
