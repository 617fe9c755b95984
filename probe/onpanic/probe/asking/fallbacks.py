"""How an emulator is started, and what to change when it does not start like that.

`FALLBACKS` is a table: the first fallback that matches a failed start is applied to it.  A start
is about one machine type; a fallback for it changes nothing for other machine types.
"""

from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec.structs import replace

from onpanic.probe.conversation import Conversation
from onpanic.probe.emulator.boot_image import ImageOption
from onpanic.probe.emulator.command_line import required_options
from onpanic.probe.emulator.notifier_models import HYPERV_CPUS, PCI_TYPE
from onpanic.probe.observations.machines import running_machine
from onpanic.probe.observations.panics import Source, panics, was_made

__all__ = ("FALLBACKS", "Fallback", "Start", "next_start")

_IMAGE = 0x10000  # bytes
_BY_IMAGE = ("hyperv", "pseries", "checkstop")  # what is made to panic by code in place of the firmware
_NO_HTM = ("-machine", "cap-htm=off")
_NO_AUDIO = ("-audio", "none")  # boards with a codec require an audio device, since QEMU 8.2
# What boards say that need firmware, or a kernel (grep "image" in QEMU's hw/); others name a BIOS
_NO_IMAGE = ("bios", "bootrom image", " rom image", "macrom", "dtb file", "image must be")
# Empty flash memory of two sizes, for boards that do not start without
_FLASHES = tuple(
    f"if=pflash,format=raw,read-only=on,file.driver=null-co,file.read-zeroes=on,file.size={size}"
    for size in ("32M", "16M")
)
_NO_PCI = f"no 'pci' bus found for device '{PCI_TYPE}'"


class Start(msgspec.Struct, frozen=True):
    """How an emulator is started for one machine type.

    :param machine: The machine type; None for the emulator's default.
    :param named: True if the user named it, or the emulator listed it; False for the default one.
    :param target: The emulator's target, as far as it is known.
    :param subject: What is made to panic; empty for nothing.
    :param device: The type of the notifier to add; empty for none.
    :param bus: The bus that the device is added to; empty for the default one.
    :param accel: The accelerator; empty for the emulator's choice.
    :param options: More options.
    :param halted: Whether its CPU stays off, and its firmware therefore does not run.
    :param qtest: Whether it is given a qtest channel.
    :param boot_image: What it runs in place of its firmware; empty for the firmware.
    :param image_option: The option that loads it.
    :param first: Whether it is the first start for this machine type, which must succeed somehow.
    :param thorough: Whether this start also answers what is true of the emulator.
    :param one_by_one: Whether it is asked about each type by itself, not for a list of all types.
    :param alone: Whether it is started without the user's options, to ask about the emulator only.
    :param defaults: Whether the machine type has its default devices.
    """

    machine: str | None
    named: bool
    target: str
    subject: Source | Literal[""] = ""
    device: str = ""
    bus: str = ""
    accel: str = "tcg"
    options: tuple[str, ...] = ()
    halted: bool = False
    qtest: bool = False
    boot_image: bytes = b""
    image_option: ImageOption = "-bios"
    first: bool = False
    thorough: bool = False
    one_by_one: bool = False
    alone: bool = False
    defaults: bool = False


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


def _alone(start: Start) -> Start:
    """Return a start that asks about the emulator only."""
    return replace(
        start, machine="none", device="", bus="", subject="", halted=False, boot_image=b"", alone=True
    )


#: In the order in which they are tried.
FALLBACKS = (
    Fallback(
        "types one by one: listing all of them loads modules, and one of another build aborts the emulator",
        lambda failed, start: start.thorough and not start.one_by_one and _died_listing_types(failed),
        lambda start: replace(start, one_by_one=True),
    ),
    Fallback(
        "no panic, where it ends the emulator: questions about the emulator are still open",
        lambda failed, start: start.thorough and bool(start.subject) and _ended_in_panic(failed),
        lambda start: replace(start, subject=""),
    ),
    Fallback(
        "another CPU with Hyper-V's notifier, where the build lacks the usual one",
        lambda failed, start: HYPERV_CPUS[0] in start.options and _says(failed, "cpu model"),
        lambda start: replace(start, options=_replaced(start.options, HYPERV_CPUS[0], HYPERV_CPUS[1])),
    ),
    Fallback(
        "TCG, where KVM cannot be used",
        lambda failed, start: start.accel == "kvm" and bool(failed.failed) and not _ended_in_panic(failed),
        lambda start: replace(start, accel="tcg"),
    ),
    Fallback(
        "the emulator's own accelerator",
        lambda failed, start: _says(failed, "accel") and bool(start.accel),
        lambda start: replace(start, accel=""),
    ),
    Fallback(
        "no audio",
        lambda failed, start: _says(failed, "audio driver") and _NO_AUDIO[0] not in start.options,
        lambda start: replace(start, options=(*start.options, *_NO_AUDIO)),
    ),
    Fallback(
        "a running firmware, where a register could be placed by that only, or the CPU cannot be off",
        lambda failed, start: start.halted and (_says(failed, "power") or _nothing_placed(failed)),
        lambda start: replace(start, halted=False),
        forget=True,
    ),
    Fallback(
        "another bus, where the default one is full",
        lambda failed, start: start.device == PCI_TYPE and not start.bus and _says(failed, "no slot/"),
        lambda start: replace(start, bus="pciB"),
    ),
    Fallback(
        "the board's own bus, where the default one is a user's, and takes bridges only",
        lambda failed, start: start.device == PCI_TYPE and not start.bus and _says(failed, "only pci/pcie b"),
        lambda start: replace(start, bus="pcie.0"),
    ),
    Fallback(
        "the same by its other name",
        lambda failed, start: start.bus == "pcie.0" and _says(failed, "bus 'pcie.0' not found"),
        lambda start: replace(start, bus="pci.0"),
    ),
    Fallback(
        "no transactional memory, which TCG does not have",
        lambda failed, start: _says(failed, "transactional") and _NO_HTM[1] not in start.options,
        lambda start: replace(start, options=(*start.options, *_NO_HTM)),
    ),
    Fallback(
        "no image, where the emulator cannot inherit one",
        lambda failed, start: _says(failed, "/fd/") and start.subject in _BY_IMAGE and bool(start.boot_image),
        lambda start: replace(start, boot_image=b"", qtest=start.subject == "pseries"),
    ),
    Fallback(
        "no qtest channel",
        lambda failed, start: _says(failed, "qtest") and start.qtest,
        lambda start: replace(start, qtest=False),
    ),
    Fallback(
        "the firmware of the machine type",
        lambda failed, start: (
            _says(failed, "firmware") and start.options == required_options(start.target) != ()
        ),
        lambda start: replace(start, options=()),
    ),
    Fallback(
        "virt, where there is no default machine type",
        lambda failed, start: start.machine is None and _says(failed, "no default"),
        lambda start: replace(start, machine="virt"),
        forget=True,
    ),
    Fallback(
        "none, where there is no virt either",
        lambda failed, start: (
            start.first
            and _says(failed, "unsupported machine")
            and start.machine == "virt"
            and not start.named
        ),
        _alone,
        forget=True,
    ),
    Fallback(
        "empty flash memory, where the machine type requires some",
        lambda failed, start: _says(failed, "'pflash' parameter") and _FLASHES[0] not in start.options,
        lambda start: replace(start, options=(*start.options, "-drive", _FLASHES[0])),
    ),
    Fallback(
        "less of it, where it has room for less",
        lambda failed, start: _says(failed, "device requires") and _FLASHES[0] in start.options,
        lambda start: replace(start, options=_replaced(start.options, _FLASHES[0], _FLASHES[1])),
    ),
    Fallback(
        "an empty image, where the machine type requires one and no firmware is installed for it",
        lambda failed, start: (
            any(_says(failed, words) for words in _NO_IMAGE)
            and start.subject not in _BY_IMAGE
            and not start.boot_image
        ),
        lambda start: replace(start, boot_image=bytes(_IMAGE)),
    ),
    Fallback(
        "the same as a kernel, where the machine type takes no firmware",
        lambda failed, start: (
            _says(failed, "image must be")
            and start.boot_image == bytes(_IMAGE)
            and start.image_option == "-bios"
        ),
        lambda start: replace(start, image_option="-kernel"),
    ),
    Fallback(
        "the default devices, where the user's are on a bus that only those bring",
        lambda failed, start: not start.defaults and _lacks_bus(failed, start.device),
        lambda start: replace(start, defaults=True),
    ),
    Fallback(
        "the default devices, where the board's PCI bus is one of those",
        lambda failed, start: (
            _says(failed, _NO_PCI)
            and not start.defaults
            and start.machine != "none"
            and not _without_defaults(failed)
        ),
        lambda start: replace(start, defaults=True),
    ),
    Fallback(
        "no device",
        lambda failed, start: start.first and failed.refused_to_start and bool(start.device),
        lambda start: replace(
            start,
            device="",
            bus="",
            halted=False,
            defaults=False,
            subject="isa" if start.subject == "isa" else "",
        ),
    ),
    Fallback(
        "none, where the machine type does not start: it still answers questions about the emulator",
        lambda failed, start: start.thorough and failed.refused_to_start and start.machine != "none",
        _alone,
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


def _replaced(options: tuple[str, ...], old: str, new: str) -> tuple[str, ...]:
    """Return options with a word replaced; other fallbacks may have added options after it."""
    return tuple([new if word == old else word for word in options])


def _says(failed: Conversation, word: str) -> bool:
    """Return whether the emulator refused to start, with a word in its message."""
    return failed.refused_to_start and word in failed.failed.lower()


def _without_defaults(failed: Conversation) -> bool:
    """Return whether the user has asked for no default devices, as the probe has."""
    return sum(word in ("-nodefaults", "--nodefaults") for word in failed.argv) > 1


def _lacks_bus(failed: Conversation, device: str) -> bool:
    """Return whether there is no bus for a device of the user's, who has not asked for no defaults.

    :param device: The type of the device that the probe has added; empty for none.
    """
    of_the_user = failed.options("device")[: -1 if device else None]
    about_own = bool(device) and device in failed.failed
    return not _without_defaults(failed) and bool(of_the_user) and not about_own and _says(failed, "bus")


def _ended_in_panic(failed: Conversation) -> bool:
    """Return whether the emulator ended by itself after a panic had been made."""
    status = failed.exit.get("rc")
    return failed.fault == "EndedError" and failed.answered and was_made(failed) and status is not None


def _nothing_placed(held: Conversation) -> bool:
    """Return whether the machine has started, and no panic was made."""
    made = running_machine(held) != "none" and bool(held.devices)
    return made and held.answered and not held.failed and not panics([held], "pvpanic")


def _died_listing_types(failed: Conversation) -> bool:
    """Return whether the emulator ended by itself when it was asked to list its types."""
    listing = [reply for reply in failed.replies if reply.command == "qom-list-types"]
    return failed.fault == "EndedError" and any(reply.received < 0 for reply in listing)
