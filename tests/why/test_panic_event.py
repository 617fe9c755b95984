"""What QEMU's event says about a panic, and what libvirt's log has of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpanic.why import LastWords, report_lines
from onpanic.why.words.panic_event import EVENT_KINDS, with_event, words_from_log, words_of_event

LINUX = 0x8100_0006_0112_0000  # open source, Linux, 6.1.18


def hyper_v(*registers: int) -> dict[str, Any]:
    return {"type": "hyper-v", **{f"arg{number}": value for number, value in enumerate(registers, 1)}}


def test_a_bugcheck() -> None:
    words = words_of_event(hyper_v(0xD1, 0x10, 2, 0, 0xFFFF_F800_1234_5678))
    assert (words.guest, words.source, words.panicked) == ("windows", "event", True)
    assert (words.kind, words.reason) == ("bugcheck", "0xd1 DRIVER_IRQL_NOT_LESS_OR_EQUAL")
    assert words.details["parameter 4"] == "0xfffff80012345678"
    assert words.notes == ()


def test_a_linux_with_hyper_v_s_crash_registers() -> None:
    """Its guest OS ID tells it from a Windows, and has its version."""
    words = words_of_event(hyper_v(1, LINUX, 0xFFFF_FFFF_8100_0000, 5, 0xFFFF_C900_0000_0000))
    assert (words.guest, words.release, words.kind) == ("linux", "6.1.18", "other")
    assert words.details["program counter"] == "0xffffffff81000000"
    words = words_of_event(hyper_v(0, 0, 0, 0x1F_5000, 800))
    assert (words.guest, words.panicked) == ("linux", True)
    assert words.details == {"message at": "0x1f5000", "message length": "800"}


@pytest.mark.parametrize("registers", [(0x1234, 0, 0, 0, 0), (0xFFFF_FFFF, 1, 2, 3, 4)])
def test_a_code_that_is_not_public_has_two_readings(registers: tuple[int, ...]) -> None:
    words = words_of_event(hyper_v(*registers))
    assert (words.guest, words.panicked, words.kind) == ("unknown", True, "other")
    assert words.reason == hex(registers[0])
    assert "or an error of another system" in words.notes[0]


@pytest.mark.parametrize("registers", [(0, 0, 0, 0, 0), (1 << 32, 0, 0, 0, 0), (0, 1, 0, 0, 0)])
def test_registers_that_are_no_bugcheck(registers: tuple[int, ...]) -> None:
    words = words_of_event(hyper_v(*registers))
    assert (words.guest, words.panicked, words.reason) == ("unknown", True, "")
    assert list(words.details) == ["arg1", "arg2", "arg3", "arg4", "arg5"]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("disabled-wait", "disabled wait: "),
        ("extint-loop", "loop of external interrupts: "),
        ("pgmint-loop", "loop of program interrupts: "),
        ("opint-loop", "loop of operation exceptions: "),
        ("unknown", "the CPU cannot go on"),
        ("later\x1b", "later "),
    ],
)
def test_the_reasons_of_s390x_in_words(reason: str, said: str) -> None:
    info = {"type": "s390", "core": 1, "psw-mask": 0x2_0001_8000_0000, "psw-addr": 0xDEAD, "reason": reason}
    words = words_of_event(info)
    assert (words.architecture, words.panicked) == ("s390x", True)
    assert words.kind == (reason if reason.isprintable() else "other")
    assert words.reason.startswith(said.rstrip()[:5])
    assert said.strip() in words.reason
    assert words.details == {
        "core": "1",
        "psw mask": "0x0002000180000000",
        "psw address": "0x000000000000dead",
    }
    assert bool(words.notes) == (reason == "disabled-wait")


def test_tdx_s_message_is_the_guests_claim() -> None:
    info = {"type": "tdx", "error-code": 1 << 63, "message": "TD\x1b[31m\nfault", "gpa": 0x1000}
    words = words_of_event(info)
    assert (words.kind, words.reason) == ("tdx", "TD [31m fault")
    assert words.details == {"error code": "0x0", "more at": "0x1000"}
    assert "the guest's claim" in words.notes[0]


@pytest.mark.parametrize(
    ("group", "code", "reason"),
    [
        (0, 1, "the host's range of GHCB protocols is not supported"),
        (1, 2, "Linux could not validate a page"),
        (1, 200, "termination request 0x1:0xc8"),
        (7, 0, "termination request 0x7:0x0"),
    ],
)
def test_sev_s_reasons(group: int, code: int, reason: str) -> None:
    """Those of the GHCB specification and of Linux have words, others their numbers."""
    words = words_of_event({"type": "sev", "set": group, "code": code})
    assert (words.kind, words.reason) == ("sev", reason)
    assert words.details == {"set": f"{group:#x}", "code": f"{code:#x}"}


@pytest.mark.parametrize("info", [{}, {"type": "later"}, {"type": "hyper-v"}, {"type": "sev"}, {"type": []}])
def test_an_event_without_a_reason(info: dict[str, Any]) -> None:
    words = words_of_event(info)
    assert (words.panicked, words.reason, words.details) == (True, "", {})


def test_an_event_completes_what_was_read() -> None:
    """A log that tells why says more than an event."""
    event = words_of_event(hyper_v(0xD1, 1, 2, 3, 4))
    unread = LastWords(architecture="x86_64", source="monitor", notes=("there is no vmcoreinfo",))
    words = with_event(unread, event)
    assert (words.guest, words.architecture, words.source) == ("windows", "x86_64", "monitor")
    assert (words.panicked, words.kind, words.reason) == (True, "bugcheck", event.reason)
    assert (words.details, words.notes) == (event.details, ("there is no vmcoreinfo",))
    told = LastWords(
        guest="linux", source="monitor", panicked=True, kind="sysrq", reason="sysrq", lines=("x",)
    )
    register = words_of_event(hyper_v(1, LINUX, 0xFFFF_FFFF_8100_0000, 5, 6))
    words = with_event(told, register)
    assert (words.kind, words.reason, words.lines) == ("sysrq", "sysrq", ("x",))
    assert words.details == register.details


LOG = """\
2026-11-26 15:01:00.123+0000: starting up libvirt version: 11.3.0, qemu version: 10.0.2
LC_ALL=C \\
/usr/bin/qemu-system-x86_64 \\
-name guest=win
2026-11-26 15:06:23.123+0000: panic hyper-v: arg1='0x5a', arg2='0x1', arg3='0x2', arg4='0x3', arg5='0x4'
2026-11-26 15:07:23.123+0000: panic hyper-v: arg1='0xd1', arg2='0x10', arg3='0x2', arg4='0x0', arg5='0x9'
qemu-system-x86_64: terminating on signal 15
"""


def test_the_last_panic_in_libvirts_log() -> None:
    words = words_from_log(LOG)
    assert words == words_of_event(hyper_v(0xD1, 0x10, 2, 0, 9))


def test_a_panic_of_s390x_in_libvirts_log() -> None:
    psw = "psw-mask='0x0002000180000000' psw-addr='0x000000000000dead'"
    line = f"2026-11-26 15:06:23.123+0000: panic s390: core='1' {psw} reason='disabled-wait'\n"
    words = words_from_log(line)
    info = {"core": 1, "psw-mask": 0x2_0001_8000_0000, "psw-addr": 0xDEAD, "reason": "disabled-wait"}
    assert words == words_of_event({"type": "s390", **info})


def test_a_panic_of_an_earlier_start_does_not_count() -> None:
    again = "2026-11-27 01:00:00.000+0000: starting up libvirt version: 11.3.0\n"
    assert words_from_log(LOG + again) is None
    assert words_from_log("") is None
    assert words_from_log("a guest's own text: panic hyper-v: arg1='0xd1'\n") is None


VALUE: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-1, 2**65) | st.integers(0, 0x200) | st.text() | st.just([])
)
REGISTERS = [f"arg{number}" for number in range(1, 6)]
OTHERS = ["core", "psw-mask", "psw-addr", "reason", "error-code", "message", "gpa", "set", "code"]


@given(
    st.dictionaries(st.sampled_from(REGISTERS + OTHERS), VALUE),
    st.sampled_from(["hyper-v", "s390", "tdx", "sev"]),
)
def test_no_guest_breaks_its_words(info: dict[str, Any], kind: str) -> None:
    """Whatever an event has, the text is printable and the kind is one of the set."""
    words = words_of_event({"type": kind, **info})
    assert words.panicked
    assert words.kind in ("", *EVENT_KINDS)
    assert all(line.isprintable() for line in report_lines(words))


@given(st.text() | st.text("panic hyper-v: arg1='0x\n, 390s=", max_size=200))
def test_no_log_breaks_its_reader(text: str) -> None:
    """Whatever libvirt's log has, the text is printable."""
    for log in (text, f"2026-11-26 15:06:23.123+0000: panic {text}", f"panic s390: {text}"):
        words = words_from_log(log)
        assert words is None or all(line.isprintable() for line in report_lines(words))
