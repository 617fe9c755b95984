"""Policies on today's libvirt and yesterday's QEMU.

::

    from onpanic.shims import from_libvirt, to_libvirt

    translation = to_libvirt(xml)            # with <on_panic coredump='yes'>restart</on_panic>
    connection.defineXML(translation.xml)    # with <panic/> and <on_crash>coredump-restart</on_crash>
    for note in translation.notes:
        print(note.code, note.reason, note.remedy)

Names are loaded when they are first used, so that nobody needs libvirt or lxml for what
does not.
"""

from typing import TYPE_CHECKING

from onpanic.probe.lazy import loading

if TYPE_CHECKING:
    from .command_line import translated_command_line, translated_device
    from .errors import DocumentError, RefusedError
    from .libvirt_versions import Libvirt
    from .mapping import Note
    from .policy import policy_of
    from .translate import Translation, from_libvirt, to_libvirt

__all__ = (  # noqa: RUF022
    # Most to least important
    "to_libvirt",
    "from_libvirt",
    "extend",
    "Translation",
    "Note",
    "Libvirt",
    "policy_of",
    "translated_command_line",
    "translated_device",
    # Exceptions
    "DocumentError",
    "RefusedError",
)

_HOMES = {
    "command_line": ("translated_command_line", "translated_device"),
    "errors": ("DocumentError", "RefusedError"),
    "mapping": ("Note",),
    "policy": ("policy_of",),
    "plugin": ("extend",),
    "libvirt_versions": ("Libvirt",),
    "translate": ("Translation", "from_libvirt", "to_libvirt"),
}
__getattr__, __dir__ = loading(__name__, _HOMES)
