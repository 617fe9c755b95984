"""Panics that the guest's CPU makes: what a session records of them, with played and with real emulators."""

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from onpanic.core.errors import EndedError
from onpanic.probe.asking.converse import Asking, converse
from onpanic.probe.asking.guest_panics import (
    panic_by_checkstop,
    panic_by_disabled_wait,
    panic_by_hyperv_msr,
    panic_by_rtas,
)
from onpanic.probe.asking.session import Session
from onpanic.probe.conversation import Conversation, Entry
from onpanic.probe.emulator.boot_image import (
    FAULTED,
    PASSED,
    BootImage,
    checkstop_image,
    hyperv_crash_image,
    os_term_image,
)
from onpanic.probe.emulator.command_line import command_line
from onpanic.probe.emulator.reaper import Reaper
from onpanic.probe.observations.guest_code import MARKER_LINE, REGISTERS_LINE, in_disabled_wait, marker

PSW = "PSW=mask {mask:016x} addr 0000000000000000 cc 00\r\n"
EVENTS = ("GUEST_PANICKED", "STOP")
#: What each function says that the guest does.
DOING: dict[Asking, str] = {
    panic_by_disabled_wait: "disabled-wait",
    panic_by_rtas: "rtas ibm,os-term 0x1 0xc 0x1 0x10",
    panic_by_checkstop: "checkstop",
    panic_by_hyperv_msr: "wrmsr 0x40000105 0x8000000000000000",
}


class Guest:
    """Plays the QMP monitor of a guest at the other end of a socket pair.

    :param events: Events that come after the first ``cont``, in order.
    :param late: Events that come a moment after that.
    :param lines: What the human monitor answers.
    :param ends: Whether the connection ends instead of any event.
    """

    def __init__(
        self,
        *events: str,
        late: tuple[str, ...] = (),
        lines: dict[str, str] | None = None,
        action: str = "pause",
        ends: bool = False,
    ) -> None:
        self.status = "prelaunch"
        self._events, self._late, self._lines = events, late, lines or {}
        self._action, self._ends = action, ends
        self._continued = False

    async def serve(self, channel: socket.socket) -> None:
        reader, self._writer = await asyncio.open_connection(sock=channel)
        version = {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}
        self._send(QMP={"version": version, "capabilities": []})
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                message = json.loads(await self._one(reader))
                named = {"id": message["id"]} if "id" in message else {}
                self._send(**{"return": self._answer(message)}, **named)
                if message["execute"] == "cont" and not self._continued:
                    self._continued = True
                    if self._ends:
                        break
                    await self._panic()
        self._writer.close()

    async def _one(self, reader: asyncio.StreamReader) -> bytes:
        """Return one message; clients do not end them with a newline."""
        text = b""
        while not text or text.count(b"{") > text.count(b"}"):
            text += await reader.readuntil(b"}")
        return text

    def _answer(self, message: dict[str, Any]) -> Any:
        command = message["execute"]
        if command == "query-status":
            return {"status": self.status, "running": self.status == "running"}
        if command == "human-monitor-command":
            return self._lines.get(message["arguments"]["command-line"], "")
        if command in ("cont", "stop"):
            self.status = "running" if command == "cont" else "paused"
        return {}

    async def _panic(self) -> None:
        for name in self._events:
            self._event(name)
        for name in self._late:
            await asyncio.sleep(0.05)
            self._event(name)

    def _event(self, name: str) -> None:
        data = {"action": self._action} if name == "GUEST_PANICKED" else {}
        if name == "STOP":
            self.status = "guest-panicked"
        self._send(event=name, data=data, timestamp={"seconds": 1, "microseconds": 0})

    def _send(self, **message: Any) -> None:
        self._writer.write(json.dumps(message).encode() + b"\r\n")


async def held(guest: Guest, asking: Callable[[Session], Awaitable[Any]]) -> Conversation:
    """Return the conversation of a session that asks a played guest."""
    ours, theirs = socket.socketpair()
    serving = asyncio.ensure_future(guest.serve(theirs))
    session = Session("the played guest")
    try:
        async with asyncio.timeout(30):
            await session.connect(ours)
            await asking(session)
    finally:
        await session.close()
        await serving
    return session.conversation


def summary(conversation: Conversation) -> list[str]:
    """Return what a recording shows, in short: what the guest did, events, and states."""
    words = []
    for entry in conversation.entries:
        if entry.chan == "guest":
            words.append(str(entry.msg))
        elif entry.event:
            words.append(entry.event)
        elif entry.dir == "send" and entry.msg["execute"] in ("cont", "stop"):
            words.append(entry.msg["execute"])
        elif entry.dir == "recv" and isinstance(entry.msg.get("return"), dict):
            words += filter(None, [entry.msg["return"].get("status")])
    return words


def word(value: int) -> str:
    return f"0000000000007000: 0x{value:08x}\r\n"


@pytest.mark.parametrize(("panic", "doing"), DOING.items(), ids=DOING.values())
@pytest.mark.parametrize("late", [(), ("STOP",), EVENTS])
async def test_a_panic_is_recorded_with_what_it_does(
    panic: Asking, doing: str, late: tuple[str, ...]
) -> None:
    """The run state is asked after the emulator has stopped the guest, however long after the event."""
    early = tuple(name for name in EVENTS if name not in late)
    conversation = await held(Guest(*early, late=late), panic)
    expected = [doing, "cont", *EVENTS, "guest-panicked", "cont", "stop", "running"]
    assert sorted(summary(conversation)) == sorted(expected)
    assert summary(conversation)[:5] == expected[:5]


@pytest.mark.parametrize("panic", [panic_by_rtas, panic_by_hyperv_msr])
@pytest.mark.parametrize("value", [PASSED, FAULTED])
async def test_code_that_went_on_proves_that_nothing_is_reported(panic: Asking, value: int) -> None:
    """The record shows the marker, and the guest that runs."""
    conversation = await held(Guest(lines={MARKER_LINE: word(value)}), panic)
    assert summary(conversation) == [DOING[panic], "cont", "running"]
    assert marker(conversation) == value


async def test_a_disabled_wait_without_an_event_is_seen() -> None:
    conversation = await held(
        Guest(lines={REGISTERS_LINE: PSW.format(mask=0x0002000180000000)}), panic_by_disabled_wait
    )
    assert summary(conversation) == ["disabled-wait", "cont", "running"]
    assert in_disabled_wait(conversation)


async def test_a_panic_that_does_not_stop_the_guest() -> None:
    """With `-action panic=none` no STOP follows, and none is waited for."""
    conversation = await held(Guest("GUEST_PANICKED", action="run"), panic_by_hyperv_msr)
    assert summary(conversation)[1:] == ["cont", "GUEST_PANICKED", "running"]


@pytest.mark.parametrize("panic", DOING)
async def test_an_emulator_that_ends_is_not_waited_for(panic: Asking) -> None:
    with pytest.raises(EndedError):
        await held(Guest(ends=True), panic)


@pytest.mark.parametrize(
    ("guest", "names", "came"),
    [
        (Guest("RESET"), ("RESET",), True),
        (Guest("RESET"), ("GUEST_PANICKED", "RESET"), True),
        (Guest(late=("RESET",)), ("RESET",), True),
        (Guest("STOP", "RESET"), ("STOP",), True),
        (Guest("STOP", ends=True), ("STOP",), False),
    ],
)
async def test_waiting_for_an_event(guest: Guest, names: tuple[str, ...], came: bool) -> None:
    """It ends with any of the events, or with the connection."""
    seen = []

    async def wait(session: Session) -> None:
        await session.ask("cont")
        seen.append(await session.wait_for_event(names[0], 20, *names[1:]))
        seen.append(await session.wait_for_event(names[0], 0, *names[1:]))
        seen.append(await session.wait_for_event(names[0], 0, since=len(session.conversation.entries)))

    await held(guest, wait)
    assert seen == [came, came, False]


@pytest.mark.parametrize(
    ("mask", "disabled"),
    [
        (0x0002000180000000, True),
        (0x0706000180000000, False),  # an idle Linux
        (0x0002400180000000, True),
        (0x0006000180000000, False),
        (0x0000000180000000, False),
    ],
)
def test_which_waits_are_disabled(mask: int, disabled: bool) -> None:
    """A CPU that waits for an interrupt has not crashed."""
    command = {"execute": "human-monitor-command", "arguments": {"command-line": REGISTERS_LINE}}
    answer = Entry("qmp", "recv", {"return": PSW.format(mask=mask)})
    assert in_disabled_wait(Conversation([Entry("qmp", "send", command), answer])) is disabled
    assert not in_disabled_wait(Conversation())


def test_an_emulator_can_read_a_boot_image_more_than_once() -> None:
    """It inherits the file under the number that its option names; nothing is left on the disk."""
    image = BootImage(os_term_image())
    try:
        assert image.options[0] == "-bios"
        read = subprocess.run(
            ["cat", image.options[1], image.options[1]],
            pass_fds=image.pass_fds,
            stdout=subprocess.PIPE,
            check=True,
            timeout=30,
        ).stdout
        assert read == 2 * os_term_image()
    finally:
        image.close()
    with pytest.raises(OSError):
        os.fstat(image.pass_fds[0])


def test_x86_firmware_has_a_size_that_machines_take() -> None:
    """QEMU refuses a size that is not a multiple of 64 KiB, and maps only the end of a larger file low."""
    assert len(hyperv_crash_image()) == 0x10000


SUITES = ("bullseye", "bookworm", "trixie", "sid")


async def asked(argv: list[str], panic: Asking, **how: Any) -> Conversation:
    """Return the conversation of one start."""
    with Reaper() as reaper:
        return await converse(argv, panic, reaper, asyncio.get_running_loop().time() + 60, **how)


@pytest.mark.emulators
@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("emulator", ["qemu-system-x86_64", "qemu-system-i386"])
@pytest.mark.parametrize("machine", ["pc", "q35", "isapc", "microvm"])
async def test_tcg_ignores_hyperv(
    suite: str, emulator: str, machine: str, debian_emulator: Callable[..., list[str]]
) -> None:
    """It accepts hv-crash, executes the write, and reports nothing."""
    argv = command_line(debian_emulator(suite, emulator), machine, extra=["-cpu", "qemu64,hv-crash"])
    conversation = await asked(argv, panic_by_hyperv_msr, boot_image=hyperv_crash_image())
    assert conversation.failed == ""
    assert marker(conversation) == PASSED
    assert not conversation.events("GUEST_PANICKED")


@pytest.mark.emulators
@pytest.mark.parametrize(
    ("emulator", "machine", "panic", "how"),
    [
        ("s390x", None, panic_by_disabled_wait, {}),
        ("ppc64", "pseries", panic_by_rtas, {"boot_image": os_term_image()}),
        ("ppc64", "pseries", panic_by_rtas, {"qtest": True}),
        ("ppc64", "powernv8", panic_by_checkstop, {"boot_image": checkstop_image()}),
        ("ppc64", "powernv9", panic_by_checkstop, {"boot_image": checkstop_image()}),
        ("ppc64", "powernv10", panic_by_checkstop, {"boot_image": checkstop_image()}),
        ("ppc", "mac99", panic_by_checkstop, {"qtest": True}),
        ("ppc", "g3beige", panic_by_checkstop, {"qtest": True}),
        ("ppc", "40p", panic_by_checkstop, {"qtest": True}),
    ],
)
async def test_other_architectures_report_and_stop(
    emulator: str,
    machine: str | None,
    panic: Asking,
    how: dict[str, Any],
    debian_emulator: Callable[..., list[str]],
) -> None:
    """On QEMU 10.0 each of them reports a panic that stops the guest."""
    argv = command_line(debian_emulator("trixie", f"qemu-system-{emulator}"), machine)
    conversation = await asked(argv, panic, **how)
    assert conversation.failed == ""
    assert [data["action"] for _, data in conversation.events("GUEST_PANICKED")][:1] == ["pause"]
    states = [r.member("status") for r in conversation.replies if r.command == "query-status"]
    assert states[0] == "guest-panicked"
