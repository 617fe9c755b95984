"""What a reset does to a libvirt domain: the guest boots again, or it ends.

A restart of a guest that a reset would end is a new start of its QEMU instead.
"""

from onpanic.shims.domain_xml.domain_machine import arguments
from onpanic.shims.domain_xml.elements import Element, child, text_of

__all__ = ("reset_ends_guest",)


def reset_ends_guest(root: Element) -> str:
    """Return the part of a domain's XML because of which a reset ends the guest; empty if a reset reboots it.

    * libvirt's ``<on_reboot>destroy`` and QEMU's ``-no-reboot``, also as ``-action reboot=shutdown``, turn
      every reset into a shutdown; the last of QEMU's options decides.
    * ``<launchSecurity>`` encrypts the state of the CPUs, which QEMU can reset only since 11.0, and not in
      every configuration.

    :param root: The element ``<domain>``.
    """
    if text_of(child(root, "on_reboot")) == "destroy":
        return "<on_reboot>destroy</on_reboot>"
    if child(root, "launchSecurity") is not None:
        return "<launchSecurity>"
    return _reboot_option(arguments(root))


def _reboot_option(words: list[str]) -> str:
    """Return the option of QEMU's command line that turns a reset into a shutdown; empty without one."""
    found = ""
    for flag, value in zip(words, [*words[1:], ""], strict=False):
        name = flag.removeprefix("-") if flag.startswith("--") else flag
        if name == "-no-reboot":
            found = "-no-reboot"
        elif name == "-action":
            actions = dict(part.partition("=")[::2] for part in value.split(","))
            if "reboot" in actions:
                found = "-action reboot=shutdown" if actions["reboot"] == "shutdown" else ""
    return found
