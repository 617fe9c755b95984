"""QEMU's actions on a panic, a shutdown and a reboot, as a command line sets them.

QMP's ``set-action`` changes them, and nothing asks for them.
"""

from collections.abc import Sequence

import msgspec

__all__ = ("QemuActions", "read_actions")

_FLAGS = {"no-shutdown": "shutdown=pause", "no-reboot": "reboot=shutdown"}


class QemuActions(msgspec.Struct, frozen=True):
    """What QEMU does on a panic, a shutdown and a reboot; the defaults are QEMU's.

    :param panic: ``pause``, ``shutdown``, ``none`` or ``exit-failure`` (QAPI's PanicAction); any other word
        if QEMU lacks it.
    :param shutdown: ``poweroff`` or ``pause``.
    :param reboot: ``reset`` or ``shutdown``.
    """

    panic: str = "shutdown"
    shutdown: str = "poweroff"
    reboot: str = "reset"

    @property
    def outcome(self) -> str:
        """What a panic ends in: ``pause``, ``poweroff``, ``run``, ``exit``, or ``unknown`` for another word.

        As the fact ``panic-action`` has it.  A panic is a shutdown unless its own action says otherwise.
        """
        powers_off = self.shutdown == "poweroff"
        if self.panic == "shutdown":
            return "poweroff" if powers_off else "pause"
        if self.panic == "exit-failure":  # a shutdown that pauses does not end QEMU
            return "exit" if powers_off else "poweroff"
        return {"pause": "pause", "none": "run"}.get(self.panic, "unknown")


def read_actions(words: Sequence[str], default: QemuActions = QemuActions()) -> QemuActions:  # noqa: B008
    """Return the actions that a command line sets; of several, QEMU uses the last.

    :param words: The command line, or a part of it.
    :param default: The actions without these words.
    """
    found = msgspec.structs.asdict(default)
    for flag, value in zip(words, [*words, ""][1:], strict=True):
        option = flag.removeprefix("-").removeprefix("-") if flag.startswith("-") else ""
        text = value if option == "action" else _FLAGS.get(option, "")
        parts = (part.partition("=") for part in text.split(","))
        found |= {name: word for name, _, word in parts if name in found}
    return QemuActions(**found)
