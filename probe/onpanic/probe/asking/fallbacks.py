"""How an emulator is started, and what to change when it does not start like that.

`FALLBACKS` is a table: the first fallback that matches a failed start is applied to it.  A start
is about one machine type; a fallback for it changes nothing for other machine types.
"""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from onpanic.probe.conversation import Conversation
from onpanic.probe.emulator.command_line import required_options

__all__ = ("FALLBACKS", "Fallback", "Start", "next_start")

_NO_AUDIO = ("-audio", "none")  # boards with a codec require an audio device, since QEMU 8.2


class Start(msgspec.Struct, frozen=True):
    """How an emulator is started for one machine type.

    :param machine: The machine type; None for the emulator's default.
    :param named: True if the user named it, or the emulator listed it; False for the default one.
    :param target: The emulator's target, as far as it is known.
    :param device: The type of the notifier to add; empty for none.
    :param accel: The accelerator; empty for the emulator's choice.
    :param options: More options.
    :param thorough: Whether this start also answers what is true of the emulator.
    :param one_by_one: Whether it is asked about each type by itself, not for a list of all types.
    """

    machine: str | None
    named: bool
    target: str
    device: str = ""
    accel: str = "tcg"
    options: tuple[str, ...] = ()
    thorough: bool = False
    one_by_one: bool = False


class Fallback(msgspec.Struct, frozen=True):
    """What to change about a start that failed.

    :param name: What it is for.
    :param matches: Whether it applies to a failed start.
    :param change: Returns the next start.
    :param forget: True if the failed conversation says nothing about a machine type, and is dropped.
    """

    name: str
    matches: Callable[[Conversation, Start], bool]
    change: Callable[[Start], Start]
    forget: bool = False


#: In the order in which they are tried.
FALLBACKS = (
    Fallback(
        "types one by one: listing all of them loads modules, and one of another build aborts the emulator",
        lambda failed, start: start.thorough and not start.one_by_one and _died_listing_types(failed),
        lambda start: replace(start, one_by_one=True),
    ),
    Fallback(
        "the emulator's own accelerator",
        lambda failed, start: _says(failed, "accel") and bool(start.accel),
        lambda start: replace(start, accel=""),
    ),
    Fallback(
        "no audio",
        lambda failed, start: _says(failed, "audio") and _NO_AUDIO[0] not in start.options,
        lambda start: replace(start, options=(*start.options, *_NO_AUDIO)),
    ),
    Fallback(
        "the firmware of the machine type",
        lambda failed, start: (
            _says(failed, "firmware") and start.options == required_options(start.target) != ()
        ),
        lambda start: replace(start, options=()),
    ),
    Fallback(
        "no device",
        lambda failed, start: failed.refused_to_start and bool(start.device),
        lambda start: replace(start, device=""),
    ),
    Fallback(
        "virt, where there is no default machine type",
        lambda failed, start: start.machine is None and _says(failed, "no default"),
        lambda start: replace(start, machine="virt"),
        forget=True,
    ),
    Fallback(
        "none, where there is no virt either",
        lambda failed, start: failed.refused_to_start and start.machine == "virt" and not start.named,
        lambda start: replace(start, machine="none"),
        forget=True,
    ),
    Fallback(
        "none, where the default machine type does not start: it still answers questions about the emulator",
        lambda failed, start: failed.refused_to_start and start.machine is None,
        lambda start: replace(start, machine="none"),
    ),
)


def next_start(failed: Conversation, start: Start) -> tuple[Start, bool] | None:
    """Return the next start, and whether the failed one is forgotten; None if nothing is left to try.

    :param failed: The conversation of the start.  One that did not fail has no next start.
    :param start: The start.
    """
    for fallback in FALLBACKS:
        if fallback.matches(failed, start):
            return fallback.change(start), fallback.forget
    return None


def _says(failed: Conversation, word: str) -> bool:
    """Return whether the emulator refused to start, with a word in its message."""
    return failed.refused_to_start and word in failed.failed.lower()


def _died_listing_types(failed: Conversation) -> bool:
    """Return whether the emulator ended by itself when it was asked to list its types."""
    listing = [reply for reply in failed.replies if reply.command == "qom-list-types"]
    return failed.fault == "EndedError" and any(reply.received < 0 for reply in listing)
