"""Asks libvirt's Xen driver.  Nothing is defined, and no guest is started.

``domainXMLToNative`` reads a domain as ``defineXML`` does, and refuses what that would refuse.
"""

import re
from typing import Any

from onpanic.core.errors import SourceError
from onpanic.core.libvirt_api import libvirt_module
from onpanic.core.libvirt_version import version_name
from onpanic.core.untrusted import printable
from onpanic.probe.xen.xen_conversation import ASKED_WORDS, GUEST_TYPES, XenAnswer, XenConversation

__all__ = ("DRIVER", "ask_libvirt_of_xen")

#: What libvirt calls its driver for Xen.
DRIVER = "Xen"

_FORMAT = "xen-xl"
_DOMAIN = (
    "<domain type='xen'><name>onpanic</name><memory unit='MiB'>32</memory>"
    "<os><type machine='xenpv'>linux</type><kernel>/dev/null</kernel></os>{}</domain>"
)
# libvirt prints capabilities itself, so that a machine type has this form
_MACHINE = re.compile(r"<machine\b[^>]*>([^<]*)</machine>")
_ARCH = re.compile(r"<host>.*?<arch>([^<]*)</arch>", re.DOTALL)


def ask_libvirt_of_xen(connection: Any) -> XenConversation:
    """Ask a connection to libvirt's Xen driver.  Blocks as libvirt does.

    :param connection: A `libvirt.virConnect`.  One that may only read answers less.
    :raise SourceError: When the driver is not Xen's.
    :raise libvirt.libvirtError: What libvirt raises.
    """
    driver = connection.getType()
    if driver != DRIVER:
        raise SourceError(
            f"libvirt's driver is {printable(driver)}, not {DRIVER}",
            "name an emulator: onpanic probe EMULATOR",
        )
    capabilities = connection.getCapabilities()
    machines = set(_MACHINE.findall(capabilities))
    arch = _ARCH.search(capabilities)
    words = {word: _ask(connection, word) for word in ASKED_WORDS}
    if words[""].accepted:  # what refuses every guest now may have been the reason of any refusal
        connection.domainXMLToNative(_FORMAT, _DOMAIN.format(""), 0)
    return XenConversation(
        toolstack=f"libvirt {version_name(connection.getLibVersion())}",
        version=version_name(connection.getVersion()).rpartition(".")[0],  # libvirt knows no more
        target=arch[1] if arch else "",
        guest_types={name: name in machines for name in GUEST_TYPES} if machines else None,
        types_from=f"libvirt's capabilities have {', '.join(sorted(machines))}",
        words=words,
    )


def _ask(connection: Any, word: str) -> XenAnswer:
    """Return libvirt's answer to a domain with a crash action; an empty word for one without."""
    element = f"<on_crash>{word}</on_crash>" if word else ""
    try:
        connection.domainXMLToNative(_FORMAT, _DOMAIN.format(element), 0)
    except libvirt_module().libvirtError as error:
        return XenAnswer(accepted=False, said=printable(str(error), 200))
    return XenAnswer(accepted=True)
