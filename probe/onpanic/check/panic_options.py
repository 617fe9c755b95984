"""The options of an emulator's command line that decide what a panic ends in."""

from collections.abc import Sequence

from onpanic.probe.emulator.action_options import QemuActions, read_actions

__all__ = ("panic_options",)


def panic_options(command: Sequence[str]) -> list[str]:
    """Return the options that make a panic end in something else than a paused guest.

    Of several with the same key, QEMU uses the last.  ``shutdown=`` counts because a panic that is not
    to pause the guest shuts it down.

    :param command: For example ``qemu-system-x86_64 -action panic=none``.
    """
    given = read_actions(command, QemuActions(panic="", shutdown="", reboot=""))
    words = {"panic": given.panic, "shutdown": given.shutdown}
    return [f"-action {key}={word}" for key, word in words.items() if word not in ("", "pause")]
