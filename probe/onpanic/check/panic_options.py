"""The options of an emulator's command line that decide what a panic ends in."""

from collections.abc import Sequence

from onpanic.probe.emulator.command_line_parser import option_values

__all__ = ("panic_options",)


def panic_options(command: Sequence[str]) -> list[str]:
    """Return the options that make a panic end in something else than a paused guest.

    Of several with the same key, QEMU uses the last.  ``shutdown=`` counts because a panic that is not
    to pause the guest shuts it down.

    :param command: For example ``qemu-system-x86_64 -action panic=none``.
    """
    given: dict[str, str] = {}
    for value in option_values(command, "action"):
        for part in value.split(","):
            key, _, word = part.partition("=")
            if key in ("panic", "shutdown"):
                given[key] = word
    return [f"-action {key}={word}" for key, word in sorted(given.items()) if word != "pause"]
