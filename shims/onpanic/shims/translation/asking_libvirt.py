"""Asking the libvirt behind a connection what it supports, without defining anything.

``domainXMLToNative`` parses a domain as ``defineXML`` does.  libvirt refuses an unknown value with the code
67 before it looks at the emulator, so the answer takes less than a millisecond.  For a known value, a libvirt
that was just started probes its emulators first, which takes seconds.

The code 67 is not enough: libvirt also uses it for a domain whose emulator is missing.  So libvirt is first
asked about a value that does not exist.  Another value is unknown if libvirt refuses it with the same
message, in whatever language.

Which actions the QEMU driver carries out is checked later: a libvirt without an emulator for its own
architecture, or with one that does not start, refuses the domain before it comes to that.

libvirt prints its refusals on stderr unless the application has registered an error handler.
"""

import logging
from typing import Any, Literal, NamedTuple

import msgspec

from onpanic.core.libvirt_api import libvirt_module
from onpanic.probe.xen.ask_libvirt import DRIVER

__all__ = ("CONTROL_WORD", "LibvirtAnswers", "ask_libvirt", "is_unknown_word")

_LOG = logging.getLogger("onpanic.shims")

#: A value that no libvirt knows.
CONTROL_WORD = "onpanic-control"

_DOMAIN = """\
<domain type='{kind}'>
  <name>onpanic-question</name>
  <memory unit='MiB'>16</memory>
  <os>{system}</os>
  {element}
</domain>
"""

# A second <panic> of the same model is refused even if the emulator has no such device
_ON_CRASH = "<on_crash>{word}</on_crash>"
_PANIC = "<devices><panic model='{word}'/><panic model='{word}'/></devices>"
_VMCOREINFO = "<features><vmcoreinfo state='{word}'/></features>"


class _AskedDriver(NamedTuple):
    """What one of libvirt's drivers can be asked about."""

    native: str
    kind: str
    system: str

    def domain(self, element: str, word: str) -> str:
        """Return a domain with an element that has a word."""
        return _DOMAIN.format(kind=self.kind, system=self.system, element=element.format(word=word))


_QEMU = _AskedDriver("qemu-argv", "qemu", "<type>hvm</type>")
_XEN = _AskedDriver("xen-xl", "xen", "<type machine='xenpv'>linux</type><kernel>/dev/null</kernel>")

#: What libvirt does with a value: it does not know it, it knows it and refuses it, it refuses the domain for
#: another reason, or it accepts it.
WordAnswer = Literal["unknown-word", "refused", "other-refusal", "accepted"]

# Answers to which it must have read the value
_KNOWN = ("other-refusal", "accepted")


class LibvirtAnswers(msgspec.Struct, frozen=True):
    """What a libvirt has answered, by the names of `Libvirt`; None where its answer is about something else.

    :param device: It has refused a model of ``<panic>``.
    :param models: The same.
    :param pci: About ``<panic model='pvpanic'/>``.
    :param preserve_running: About ``<on_crash>preserve-running</on_crash>``.
    :param vmcoreinfo: It has refused a state of ``<vmcoreinfo>``.
    :param checks_actions: About ``<on_crash>rename-restart</on_crash>``, which all know.
    """

    device: bool | None = None
    models: bool | None = None
    pci: bool | None = None
    preserve_running: bool | None = None
    vmcoreinfo: bool | None = None
    checks_actions: bool | None = None


def ask_libvirt(connection: Any) -> LibvirtAnswers:
    """Ask the libvirt behind a connection.  Blocks as libvirt does.

    Nothing is answered if the connection is read-only, or its driver runs neither QEMU nor Xen.

    :param connection: A `libvirt.virConnect`.
    :raise libvirt.libvirtError: When the connection breaks.
    """
    driver = _XEN if connection.getType() == DRIVER else _QEMU
    preserve_running = _answer(connection, driver, _ON_CRASH, "preserve-running")
    rename_restart = _answer(connection, driver, _ON_CRASH, "rename-restart")
    pci = _answer(connection, driver, _PANIC, "pvpanic")
    has_models = None if pci is None else True  # it has refused one
    return LibvirtAnswers(
        device=has_models,
        models=has_models,
        pci=None if pci is None else pci != "unknown-word",
        preserve_running=None if preserve_running is None else preserve_running in _KNOWN,
        vmcoreinfo=_has_vmcoreinfo(connection, driver),
        checks_actions={"refused": True, "accepted": False}.get(rename_restart or ""),
    )


def is_unknown_word(word: str, refusal: str, control: str) -> bool:
    """Return whether libvirt does not know a value: it refuses it with the message for `CONTROL_WORD`.

    :param word: The value.
    :param refusal: libvirt's message about it.
    :param control: libvirt's message about `CONTROL_WORD` in the same place.
    """
    return refusal == control.replace(CONTROL_WORD, word)


def _answer(connection: Any, driver: _AskedDriver, element: str, word: str) -> WordAnswer | None:
    """Return what libvirt does with a value; None if it cannot be asked."""
    control = _refusal(connection, driver, element, CONTROL_WORD)
    if not control or CONTROL_WORD not in control:
        return None
    refusal = _refusal(connection, driver, element, word)
    if refusal is None:
        return None
    if not refusal:
        return "accepted"
    if is_unknown_word(word, refusal, control):
        return "unknown-word"
    return "refused" if word in refusal else "other-refusal"


def _has_vmcoreinfo(connection: Any, driver: _AskedDriver) -> bool | None:
    """Return whether libvirt reads ``<vmcoreinfo>``; it ignores elements that it does not know."""
    control = _refusal(connection, driver, _VMCOREINFO, CONTROL_WORD)
    if control and CONTROL_WORD in control:
        return True
    return None if control is None or control else False


def _refusal(connection: Any, driver: _AskedDriver, element: str, word: str) -> str | None:
    """Return libvirt's message if it refuses a domain; empty if it does not, None if it cannot be asked."""
    libvirt = libvirt_module()
    try:
        connection.domainXMLToNative(driver.native, driver.domain(element, word), 0)
    except libvirt.libvirtError as error:
        _LOG.debug("libvirt was asked, and answered: %s", error)
        refusals = (
            libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
            libvirt.VIR_ERR_XML_ERROR,
            libvirt.VIR_ERR_INVALID_ARG,
            libvirt.VIR_ERR_INTERNAL_ERROR,  # the emulator does not start
        )
        if error.get_error_code() in refusals:
            return str(error)
        if not connection.isAlive():  # what was not answered is not a refusal
            raise
        return None
    return ""
