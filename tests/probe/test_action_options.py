"""QEMU's actions, as a command line sets them."""

import shlex

import pytest

from onpanic.probe.emulator.action_options import QemuActions, read_actions


@pytest.mark.parametrize(
    ("line", "actions", "outcome"),
    [
        ("", QemuActions(), "poweroff"),
        ("-no-shutdown", QemuActions(shutdown="pause"), "pause"),
        ("--no-shutdown --no-reboot", QemuActions(shutdown="pause", reboot="shutdown"), "pause"),
        ("-action panic=pause", QemuActions("pause"), "pause"),
        ("-action panic=none,reboot=shutdown", QemuActions("none", reboot="shutdown"), "run"),
        ("-action panic=exit-failure", QemuActions("exit-failure"), "exit"),
        ("-action panic=exit-failure -no-shutdown", QemuActions("exit-failure", "pause"), "poweroff"),
        ("-no-shutdown -action shutdown=poweroff", QemuActions(), "poweroff"),
        ("-no-reboot -action reboot=reset", QemuActions(), "poweroff"),
        ("-action panic=none -action panic=pause", QemuActions("pause"), "pause"),
        ("-action panic=explode", QemuActions("explode"), "unknown"),
        ("-action watchdog=inject-nmi", QemuActions(), "poweroff"),
        ("-action", QemuActions(), "poweroff"),
    ],
)
def test_the_last_option_counts(line: str, actions: QemuActions, outcome: str) -> None:
    """The options -no-shutdown and -no-reboot are actions, too."""
    found = read_actions(shlex.split(f"qemu-system-x86_64 {line} -m 16"))
    assert (found, found.outcome) == (actions, outcome)


def test_no_options_set_nothing() -> None:
    assert read_actions([]) == QemuActions()
