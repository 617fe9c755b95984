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

from onpanic.probe.testing.played_emulator import Fault, PlayedEmulator, PlayedNotifier

__all__ = (
    "QEMU_1_5",
    "QEMU_1_6",
    "QEMU_1_7",
    "QEMU_7_2",
    "RHEL_6",
    "Fault",
    "PlayedEmulator",
    "PlayedNotifier",
)

_OLD = PlayedEmulator(
    types=("pvpanic",),
    commands=(),
    events=("GUEST_PANICKED",),
    schema=(),
    mask=0x01,
    vmcoreinfo=False,
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
