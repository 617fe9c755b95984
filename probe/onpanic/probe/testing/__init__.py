"""Played emulators, for tests of this project and of others.

`PlayedEmulator` describes an emulator and what goes wrong with it; `PlayedEmulator.command` is a
command that behaves like that, and can be used wherever an emulator is named::

    from onpanic.probe import probe
    from onpanic.probe.testing import QEMU_1_5, Fault

    assert not probe(QEMU_1_5.command()).accepts("pause")
    probe(QEMU_1_5.failing(Fault("hang", at="cont")).command(), timeout=1)

The answers are those that were recorded from real emulators.  It is a model of the monitor, not of a
machine: nothing is emulated.
"""

import json
import sys
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

__all__ = ("QEMU_1_5", "QEMU_1_6", "QEMU_1_7", "QEMU_7_2", "RHEL_6", "Fault", "PlayedEmulator")


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and when.

    :param kind: ``exit`` (with status 1), ``abort`` (SIGABRT), ``hang``, ``hang-up`` (closes the channel,
        and goes on), ``junk`` (a line that is not QMP), ``endless-junk`` (without a newline), ``babble``
        (endless lines of junk), ``long-line`` (64 MiB), ``flood`` (endless events), ``wrong-shape`` (an
        answer that is not what the command returns), ``nesting`` (100,000 brackets), ``silence`` (one
        answer never comes), ``stray`` (exits, and leaves a child that holds the pipes open).
    :param at: ``start`` (before the greeting), or a QMP command; a line of the human
        monitor is named by its first word.
    :param words: Written to stderr first.
    """

    kind: str
    at: str = "start"
    words: str = ""


@dataclass(frozen=True)
class PlayedEmulator:
    """What an emulator does.

    :param version: Major, minor and micro.
    :param machines: Machine types, the default one first; ``name=alias`` for one with an alias.
    :param builtin: Machine types that create a pvpanic.
    :param types: The QOM types that it lists.
    :param commands: QMP commands that it has in addition to those of every version.
    :param events: What ``query-events`` lists; None if there is no such command.
    :param mask: What the port reads as; None if nothing answers there although the device is listed.
    :param acts: What a panic does: ``pause``, ``run``, or ``silent`` for nothing.
    :param resumable: ``cont`` continues a panicked guest.
    :param run_state: Its run state at the start.
    :param error_class: The class of the QMP error if it does not.
    :param stubborn: Ignores SIGTERM, SIGINT and SIGHUP.
    :param fault: What goes wrong, None for nothing.
    """

    version: tuple[int, int, int] = (7, 2, 0)
    package: str = ""
    target: str = "x86_64"
    machines: tuple[str, ...] = ("pc-i440fx-7.2=pc", "pc-q35-7.2=q35", "none")
    builtin: tuple[str, ...] = ()
    types: tuple[str, ...] = ("pvpanic", "pvpanic-pci")
    commands: tuple[str, ...] = ("set-action", "query-qmp-schema")
    events: tuple[str, ...] | None = None
    schema: tuple[str, ...] = ("GUEST_PANICKED", "GUEST_CRASHLOADED")
    qom: bool = True
    mask: int | None = 0x03
    acts: str = "pause"
    resumable: bool = True
    run_state: str = "prelaunch"
    error_class: str = "GenericError"
    stubborn: bool = False
    fault: Fault | None = None

    def command(self) -> list[str]:
        """Return the command that plays this emulator."""
        return [sys.executable, "-m", "onpanic.probe.testing", json.dumps(asdict(self))]

    def failing(self, fault: Fault) -> Self:
        """Return the same emulator with a fault."""
        return replace(self, fault=fault)

    def but(self, **changes: Any) -> Self:
        """Return an emulator that differs in some fields."""
        return replace(self, **changes)


_OLD = PlayedEmulator(
    types=("pvpanic",),
    commands=(),
    events=("GUEST_PANICKED",),
    schema=(),
    mask=0x01,
    machines=("pc-i440fx-1.7=pc", "none"),
)
#: A builtin pvpanic in pc and q35; a panicked guest cannot be continued.
QEMU_1_5 = _OLD.but(
    version=(1, 5, 3),
    machines=("pc-i440fx-1.5=pc", "pc-i440fx-1.4", "pc-q35-1.5=q35", "isapc", "none"),
    builtin=("pc-i440fx-1.5", "pc-q35-1.5"),
    resumable=False,
)
#: A builtin pvpanic in the machine types of 1.5 only; a panicked guest cannot be continued.
QEMU_1_6 = _OLD.but(
    version=(1, 6, 0),
    machines=("pc-i440fx-1.6=pc", "pc-i440fx-1.5", "pc-q35-1.6=q35", "pc-q35-1.5", "isapc", "none"),
    builtin=("pc-i440fx-1.5", "pc-q35-1.5"),
    resumable=False,
)
#: The fix of 2013.
QEMU_1_7 = _OLD.but(version=(1, 7, 0))
#: 0.12 by its version: no QOM, no list of machine types; a panicked guest cannot be continued.
RHEL_6 = _OLD.but(
    version=(0, 12, 1),
    package="(qemu-kvm-0.12.1.2)",
    machines=("",),
    qom=False,
    resumable=False,
    error_class="ResetRequired",
)
#: The version of Debian 12.
QEMU_7_2 = PlayedEmulator(version=(7, 2, 22))
