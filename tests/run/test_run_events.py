"""What QEMU's events mean for a run."""

from typing import Any

import pytest

from onpanic.probe.emulator.action_options import QemuActions
from onpanic.run.run_events import RunEvents

RESET = ("RESET", {"guest": True, "reason": "guest-reset"})
CAUGHT = ("SHUTDOWN", {"guest": True, "reason": "guest-reset"})
OFF = ("SHUTDOWN", {"guest": True, "reason": "guest-shutdown"})
PANIC = ("GUEST_PANICKED", {"action": "pause"})
CRASHLOAD = ("GUEST_CRASHLOADED", {"action": "run"})


def steps(*events: tuple[str, dict[str, Any]], apart: float = 1.0, **actions: str) -> list[str]:
    """Return what is due after each of some events that come at the same distance."""
    run = RunEvents(QemuActions(**actions), 3, 0.0)
    return [run.after(name, data, number * apart).value for number, (name, data) in enumerate(events, 1)]


@pytest.mark.parametrize(
    ("event", "step"),
    [
        (PANIC, "report"),
        (("GUEST_PANICKED", {"action": "poweroff"}), "report"),
        (("GUEST_PANICKED", {"action": "run"}), "read"),
        (CRASHLOAD, "read"),
        (OFF, "end"),
        (("SHUTDOWN", {"guest": True, "reason": "guest-panic"}), "end"),
        (("SHUTDOWN", {"guest": False, "reason": "host-signal"}), "nothing"),
        (("SHUTDOWN", {"guest": False, "reason": "host-qmp-quit"}), "nothing"),
        (CAUGHT, "examine"),
        (("SHUTDOWN", {"guest": True}), "examine"),
        (RESET, "catch-resets"),
        (("RESET", {"guest": False, "reason": "host-qmp-system-reset"}), "nothing"),
        (("STOP", {}), "stopped"),
        (("RESUME", {}), "nothing"),
        (("SHUTDOWN", {"guest": "yes", "reason": 7}), "nothing"),
    ],
    ids=str,
)
def test_what_one_event_means(event: tuple[str, dict[str, Any]], step: str) -> None:
    assert steps(event) == [step]


def test_a_guest_that_is_to_stay_is_not_ended() -> None:
    """-no-shutdown says so; a panic ends the run all the same."""
    assert steps(OFF, PANIC, shutdown="pause") == ["nothing", "report"]


def test_quick_resets_are_a_loop() -> None:
    assert steps(RESET, CAUGHT, CAUGHT) == ["catch-resets", "examine", "loop"]


def test_slow_resets_are_none() -> None:
    assert steps(RESET, *[CAUGHT] * 9, apart=11.0) == ["catch-resets", *["examine"] * 9]


def test_resets_of_the_host_are_not_counted() -> None:
    host = ("RESET", {"guest": False, "reason": "host-qmp-system-reset"})
    assert steps(RESET, host, CAUGHT, host) == ["catch-resets", "nothing", "examine", "nothing"]


@pytest.mark.parametrize("end", [RESET, CAUGHT, OFF], ids=["reset", "caught", "off"])
def test_a_crash_kernel_is_waited_for(end: tuple[str, dict[str, Any]]) -> None:
    """The run ends with its reboot, even if QEMU is to stay."""
    assert steps(CRASHLOAD, ("STOP", {}), end, shutdown="pause") == ["read", "stopped", "end"]
