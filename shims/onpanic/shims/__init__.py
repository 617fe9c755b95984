"""Panic policies on today's libvirt, and on old QEMUs.

::

    from onpanic.shims import from_libvirt, to_libvirt

    translation = to_libvirt(xml)            # with <on_panic coredump='yes'>restart</on_panic>
    connection.defineXML(translation.xml)    # with <panic/> and <on_crash>coredump-restart</on_crash>
    for note in translation.notes:
        print(note.code, note.reason, note.remedy)

Names are imported when they are first used.  What needs lxml or libvirt's Python module raises
`onpanic.core.errors.MissingExtraError` without it; what does not, works.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onpanic.core.errors import DocumentError, RefusedError
    from onpanic.shims.connection import PolicyConnection, PolicyDomain, PolicyError, extend
    from onpanic.shims.domain_xml.domain_machine import DomainMachine
    from onpanic.shims.domain_xml.domain_sources import domain_in
    from onpanic.shims.domain_xml.policy_xml import policy_of
    from onpanic.shims.qemu.device_option import translated_command_line, translated_device
    from onpanic.shims.translation.domain_emulator import Prober
    from onpanic.shims.translation.libvirt_features import Libvirt
    from onpanic.shims.translation.mapping import Note
    from onpanic.shims.translation.translate import Translation, from_libvirt, to_libvirt
else:
    from onpanic.core.lazy_imports import lazy_imports

    __getattr__, __dir__ = lazy_imports(
        __name__,
        {
            "onpanic.core.errors": ("DocumentError", "RefusedError"),
            "onpanic.shims.connection": ("PolicyConnection", "PolicyDomain", "PolicyError", "extend"),
            "onpanic.shims.domain_xml.domain_machine": ("DomainMachine",),
            "onpanic.shims.domain_xml.domain_sources": ("domain_in",),
            "onpanic.shims.domain_xml.policy_xml": ("policy_of",),
            "onpanic.shims.qemu.device_option": ("translated_command_line", "translated_device"),
            "onpanic.shims.translation.domain_emulator": ("Prober",),
            "onpanic.shims.translation.libvirt_features": ("Libvirt",),
            "onpanic.shims.translation.mapping": ("Note",),
            "onpanic.shims.translation.translate": ("Translation", "from_libvirt", "to_libvirt"),
        },
    )

__all__ = (  # noqa: RUF022
    # Most to least important
    "to_libvirt",
    "from_libvirt",
    "extend",
    "Translation",
    "Note",
    "Libvirt",
    "policy_of",
    "domain_in",
    "Prober",
    "DomainMachine",
    "PolicyConnection",
    "PolicyDomain",
    "translated_command_line",
    "translated_device",
    # Exceptions
    "DocumentError",
    "RefusedError",
    "PolicyError",
)
