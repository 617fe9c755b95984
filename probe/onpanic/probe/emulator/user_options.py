"""Adapts a user's command line for a probe: what opens, connects or gets in the way is left out.

A command line is whatever starts an emulator: wrappers, the emulator's name, and QEMU's options.
A command without such a word, e.g. a script, is not changed, since its options are not QEMU's.
"""

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from onpanic.probe.emulator.option_rules import Verdict, ids_in, judge, refers_to_others
from onpanic.probe.emulator.option_table import DISK, OPTIONS

__all__ = (
    "Adapted",
    "OptionChange",
    "adapt",
    "emulator_alone",
    "emulator_position",
    "target_in",
    "without_options",
)

# Also Debian's qemu-system-x86_64-microvm, Ubuntu's kvm-spice, and a version; not a log file's name
_NAME = re.compile(r"(?:qemu-system-(?P<target>\w+)|qemu-kvm|kvm-spice)(?:-\w+(?:\.\d+)*)*(?:\.exe)?")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_IN_FILE = "needs what a file that is left out may create"
_SHORT_NAMES = ("kvm", "qemu")  # which are also names of users, groups and hosts


class OptionChange(NamedTuple):
    """A change of a user's command line.

    :param option: The option, with its argument.
    :param became: What it was replaced by; empty if it was left out.
    :param why: Why, e.g. ``opens a disk image``.
    """

    option: str
    became: str
    why: str


class Adapted(NamedTuple):
    """A command that a probe can start, and what was changed about the user's."""

    command: list[str]
    changes: list[OptionChange]


class _Parsed(NamedTuple):
    """An option of a command line, or a word that is not an option.

    :param words: Its words, as they are written.
    :param name: Its name, without dashes; empty for a disk image.
    """

    words: list[str]
    name: str

    @property
    def value(self) -> str:
        return self.words[1] if len(self.words) > 1 else ""


def adapt(command: Sequence[str]) -> Adapted:
    """Return a command without what opens, writes, connects or gets in the way of a probe.

    Nothing of the user's is opened, and the machine type, CPUs and devices stay as they are.  Adapting a
    command that was adapted changes nothing.

    :param command: The emulator, and what is before and after it.
    """
    words = emulator_alone(command)
    if emulator_position(command) is None:
        return Adapted(words, [])
    options = _options_in(command)
    verdicts = _verdicts(options, target_in(command))
    changes = []
    for option, verdict in zip(options, verdicts, strict=True):
        if not verdict.why:
            words += option.words
            continue
        became = [] if verdict.value is None else [option.words[0], verdict.value]
        words += became
        changes.append(OptionChange(" ".join(option.words), " ".join(became), verdict.why))
    return Adapted(words, changes)


def emulator_position(command: Sequence[str]) -> int | None:
    """Return the index of the emulator's name in a command; None if it has none.

    It is the last word that names an emulator and is not an option's argument: wrappers come before it.
    """
    found = None
    position = 0
    while position < len(command):
        if _names_emulator(command, position):
            found = position
        elif found is not None:
            position += _has_argument(command, position)
        position += 1
    return found


def target_in(command: Sequence[str]) -> str:
    """Return the target in the emulator's name: x86_64 if it has none, empty if no word names one."""
    position = emulator_position(command)
    if position is None:
        return ""
    match = _NAME.fullmatch(_basename(command[position]))
    return match["target"] or "x86_64" if match else "x86_64"


def emulator_alone(command: Sequence[str]) -> list[str]:
    """Return a command without any of QEMU's options; unchanged if no word names an emulator.

    Variables in front of it, which a shell or ``virsh domxml-to-native`` writes, are left to ``env``.
    """
    position = emulator_position(command)
    if position is None:
        return list(command)
    assigns = _ASSIGNMENT.match(command[0]) is not None and position > 0
    return [*(("env",) if assigns else ()), *command[: position + 1]]


def without_options(command: Sequence[str], *names: str) -> list[str]:
    """Return a command without some of QEMU's options; unchanged if no word names an emulator.

    :param names: The options, without dashes.
    """
    kept = (option.words for option in _options_in(command) if option.name not in names)
    return [*emulator_alone(command), *(word for words in kept for word in words)]


def _basename(word: str) -> str:
    return word.rpartition("/")[2]


def _names_emulator(command: Sequence[str], position: int) -> bool:
    """Return whether a word is an emulator's name, and in a place where a program may be."""
    word = command[position]
    before = command[position - 1] if position else ""
    if _NAME.fullmatch(_basename(word)):
        return before != "--entrypoint"  # of podman: the image comes next
    if _basename(word) not in _SHORT_NAMES:
        return False
    after = command[position + 1] if position + 1 < len(command) else "-"
    return not position or "/" in word or (before[:1] != "-" and after[:1] == "-")


def _has_argument(command: Sequence[str], position: int) -> bool:
    """Return whether the word at a position is an option whose argument is the next word."""
    word = command[position]
    if not word.startswith("-") or position + 1 == len(command):
        return False
    option = OPTIONS.get(_name(word))
    if option:
        return option.takes_argument
    following = command[position + 1]
    return not following.startswith("-") and not _names_emulator(command, position + 1)


def _name(word: str) -> str:
    """Return an option's name: QEMU takes one dash or two."""
    return word[2:] if word.startswith("--") else word[1:]


def _options_in(command: Sequence[str]) -> list[_Parsed]:
    """Return the options of QEMU in a command; none if no word names an emulator."""
    options = []
    start = emulator_position(command)
    position = len(command) if start is None else start + 1
    while position < len(command):
        word = command[position]
        end = position + 1 + _has_argument(command, position)
        options.append(_Parsed(list(command[position:end]), _name(word) if word[:1] == "-" else ""))
        position = end
    return options


def _need_a_file(options: Sequence[_Parsed]) -> list[_Parsed]:
    """Return the options that need what a ``-readconfig`` file may create."""
    if all(option.name != "readconfig" for option in options):
        return []
    given = {one for option in options for one in ids_in(option.name, option.value)}
    return [option for option in options if refers_to_others(option.name, option.value, given)]


def _verdicts(options: Sequence[_Parsed], target: str) -> list[Verdict]:
    """Judge every option, and again as long as what is left out makes others refer to nothing."""
    left_out: set[str] = set()
    in_file = _need_a_file(options)
    while True:
        verdicts = [
            Verdict(None, _IN_FILE) if option in in_file else _verdict(option, target, left_out)
            for option in options
        ]
        ids = _ids_of_left_out(options, verdicts)
        if ids <= left_out:
            return verdicts
        left_out |= ids


def _verdict(option: _Parsed, target: str, left_out: Collection[str]) -> Verdict:
    if not option.name:
        return Verdict(None, DISK) if option.words[0][:1] != "-" else Verdict("")
    return judge(option.name, option.value, target, left_out)


def _ids_of_left_out(options: Sequence[_Parsed], verdicts: Sequence[Verdict]) -> set[str]:
    found: set[str] = set()
    for option, verdict in zip(options, verdicts, strict=True):
        if verdict.value is None and option.name:
            found |= ids_in(option.name, option.value)
    return found
