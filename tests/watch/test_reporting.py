"""What the watcher reports: log lines, details of panics, metrics, the hook, and systemd's notifications."""

import asyncio
import gc
import io
import json
import os
import re
import select
import shutil
import socket
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from onpanic.core.errors import FileError, MissingExtraError, UsageError
from onpanic.core.operator_commands import identity_of, is_alive, run_command
from onpanic.watch.guests.events import event_data, panic_details
from onpanic.watch.reporting.hook import Hook
from onpanic.watch.reporting.lines import Line, Printer, as_json, as_text, members
from onpanic.watch.reporting.metrics import Metrics
from onpanic.watch.reporting.systemd import is_journal, notify
from onpanic.watch.rules.settings import Settings

from ..running.ports import reserved_port

LINE = Line(
    "action",
    "notice",
    at="2026-11-24T12:00:00.000Z",
    domain="my guest",
    uuid="c7a5fdbd-edaf-9455-926a-d65c16db1809",
    policy="<on_panic>restart</on_panic>",
    action="restart",
    outcome="done",
    by="libvirt",
    seconds=0.0625,
)


def test_a_line_for_people() -> None:
    """It starts with the time and the level."""
    assert as_text(LINE) == (
        '2026-11-24T12:00:00.000Z notice  action domain="my guest" '
        "uuid=c7a5fdbd-edaf-9455-926a-d65c16db1809 policy=<on_panic>restart</on_panic> action=restart "
        "outcome=done by=libvirt seconds=0.062"
    )


def test_a_line_for_the_journal() -> None:
    """It starts with the priority, which the journal removes; the time is the journal's own."""
    assert as_text(LINE, journal=True).startswith('<5>action domain="my guest" ')
    assert as_text(replace(LINE, level="error"), journal=True).startswith("<3>action ")


def test_a_line_for_the_metrics_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not printed."""
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    printer = Printer("json")
    printer(Line("observed", "debug"))
    printer(LINE)
    printer.close()
    assert json.loads(out.getvalue())["event"] == "action"


def test_a_line_in_json() -> None:
    """It has the members that are set."""
    assert json.loads(as_json(LINE)) == members(LINE)
    assert "coredump" not in members(LINE)


@given(
    st.builds(Line, event=st.just("action"), domain=st.text(), detail=st.text(), seconds=st.floats(0, 1e9))
)
def test_no_name_of_a_guest_breaks_a_line(line: Line) -> None:
    """It stays one line, and its values can be read back."""
    text = as_text(line)
    assert text.isprintable()
    assert json.loads(as_json(line))["event"] == "action"
    found = dict(re.findall(r' ([a-z]+)=("(?:[^"\\]|\\.)*"|\S+)', text))
    if found.get("domain", "").startswith('"'):
        assert json.loads(found["domain"]) == " ".join(
            "".join(c if c.isprintable() else " " for c in line.domain).split()
        )


@pytest.mark.parametrize(
    ("form", "stream", "start"),
    [
        ("text", "", "2026-"),
        ("json", "", '{"event"'),
        ("text", "1:2", "2026-"),
        ("text", "{device}:{inode}", "<5>action"),
        ("json", "{device}:{inode}", '{"event"'),
    ],
)
def test_the_printer(
    form: Literal["text", "json"], stream: str, start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It prints for the journal only if stdout is the stream that JOURNAL_STREAM names."""
    with (tmp_path / "out").open("w", encoding="utf-8") as out:
        status = os.fstat(out.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", stream.format(device=status.st_dev, inode=status.st_ino))
        monkeypatch.setattr("sys.stdout", out)
        printer = Printer(form)
        printer(LINE)
        printer.close()
    assert (tmp_path / "out").read_text(encoding="utf-8").startswith(start)


def test_a_piped_line_has_no_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child of a service inherits JOURNAL_STREAM, but its stdout may be a pipe."""
    read, write = os.pipe()
    status = os.fstat(write)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    other_read, other_write = os.pipe()
    assert is_journal(write)
    assert not is_journal(other_write)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:")
    assert not is_journal(write)
    for fd in (read, write, other_read, other_write):
        os.close(fd)
    assert not is_journal(write)


def test_a_printer_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """stdout need not have a file descriptor."""
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    printer = Printer("json")
    printer(LINE)
    printer.close()
    assert json.loads(out.getvalue()) == members(LINE)


def test_a_printer_without_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """The callback is called, and the error is raised at the end."""
    read, write = os.pipe()
    os.close(read)
    broken: list[str] = []
    out = os.fdopen(write, "w", encoding="utf-8")
    monkeypatch.setattr("sys.stdout", out)
    printer = Printer("json", lambda: broken.append("broken"))
    printer(LINE)
    with pytest.raises(BrokenPipeError):
        printer.close()
    assert broken == ["broken"]
    with pytest.raises(BrokenPipeError):
        out.close()


def test_a_disk_that_is_full_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line says how many are missing."""

    class Full(io.StringIO):
        refusals = 2

        def flush(self) -> None:
            if self.refusals:
                self.refusals -= 1
                raise OSError(28, "No space left on device")

    out = Full()
    monkeypatch.setattr("sys.stdout", out)
    printer = Printer("json")
    for _ in range(3):
        printer(LINE)
    printer.close()
    details = [json.loads(line).get("detail", "") for line in out.getvalue().splitlines()]
    assert "2 lines could not be written" in details


# Details of panics


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"action": "pause"}, ""),
        (
            {
                "action": "pause",
                "info": {"type": "hyper-v", "arg1": 0xD1, "arg2": 2, "arg3": 0, "arg4": 1, "arg5": 0},
            },
            "hyper-v arg1=0xd1 arg2=0x2 arg3=0x0 arg4=0x1 arg5=0x0",
        ),
        (
            {
                "info": {
                    "core": 1,
                    "psw-addr": 0x10,
                    "reason": "disabled-wait",
                    "psw-mask": 2**49,
                    "type": "s390",
                }
            },
            "s390 core=1 psw-addr=0x10 reason=disabled-wait psw-mask=0x2000000000000",
        ),
        (
            {"info": {"type": "tdx", "error-code": 5, "message": "TD\x1b[31m\nfault"}},
            "tdx error-code=0x5 message=TD [31m fault",
        ),
        ({"info": {}}, "unknown"),
        ({"info": "nonsense"}, ""),
    ],
)
def test_details_of_a_panic(data: dict[str, object], text: str) -> None:
    """One line that a terminal can show, with bit patterns in hexadecimal."""
    assert panic_details(data).text == text


LINUX = 0x8100_0006_0112_0000  # open source, Linux, 6.1.18
MESSAGE = {"arg1": 0, "arg2": 0, "arg3": 0, "arg4": 0x1F5000, "arg5": 4096}


@pytest.mark.parametrize(
    ("info", "kind", "code"),
    [
        ({"type": "hyper-v", "arg1": 0xD1, "arg2": 0xFFFF_8000_0000_0010}, "hyper-v", "0xd1"),
        ({"type": "hyper-v", "arg1": 0xC000_021A, "arg2": 0}, "hyper-v", "0xc000021a"),
        pytest.param({"type": "hyper-v", "arg1": 1, "arg2": LINUX}, "hyper-v", "", id="Linux's oops"),
        pytest.param(
            {"type": "hyper-v", "arg1": 1, "arg2": LINUX | 0x80 << 48}, "hyper-v", "", id="Ubuntu's"
        ),
        pytest.param({"type": "hyper-v", **MESSAGE}, "hyper-v", "", id="a Linux with a message"),
        ({"type": "hyper-v", "arg1": 2**32, "arg2": 0}, "hyper-v", ""),
        ({"type": "hyper-v", "arg1": True, "arg2": 0}, "hyper-v", ""),
        ({"type": "hyper-v"}, "hyper-v", ""),
        ({"type": "s390", "core": 0, "reason": "disabled-wait"}, "s390", "disabled-wait"),
        ({"type": "s390", "core": 0, "reason": 7}, "s390", ""),
        ({"type": "tdx", "error-code": 0, "message": "x"}, "tdx", "0x0"),
        ({"type": "sev", "set": 1, "code": 2}, "sev", "0x1:0x2"),
        ({"type": "sev", "set": 1}, "sev", ""),
        ({"type": "later", "code": 5}, "later", ""),
        ({"type": ["hyper-v"]}, "", ""),
        ({}, "", ""),
    ],
)
def test_the_kind_and_code_of_a_panic(info: dict[str, object], kind: str, code: str) -> None:
    """Linux writes Hyper-V's crash registers as well, with other meanings; it has no bugcheck code."""
    details = panic_details({"action": "pause", "info": info})
    assert (details.kind, details.code) == (kind, code)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2**64) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
INFO = st.dictionaries(st.sampled_from(["arg1", "arg2", "reason", "error-code", "set", "code", "x"]), JSON)


@settings(max_examples=50)
@given(INFO, JSON | st.sampled_from(["hyper-v", "s390", "tdx", "sev"]))
def test_no_guest_breaks_the_details_of_its_panic(info: dict[str, object], kind: object) -> None:
    """They are short and printable, whatever the guest writes, or a later QEMU reports."""
    details = panic_details({"info": {"type": kind, **info}})
    for text, limit in ((details.text, 503), (details.kind, 43), (details.code, 43)):
        assert not text or text.isprintable()
        assert len(text) <= limit


@pytest.mark.parametrize("text", [None, "", "nonsense", "[1]", "{", "[" * 100_000, "9" * 5000])
def test_an_event_whose_data_cannot_be_read(text: str | None) -> None:
    """It counts as one without data."""
    assert event_data(text) == {}


# Metrics


def counted(path: Path) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in path.read_text().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def until(reached: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_metrics_for_node_exporter(tmp_path: Path) -> None:
    """They are in the file at once, and nothing else is in its directory."""
    path = tmp_path / "onpanic.prom"
    metrics = Metrics(path)
    assert counted(path)["onpanic_watching"] == 0
    metrics(Line("watching"))
    until(lambda: counted(path)["onpanic_watching"] == 1)
    for event in ("panicked", "crashloaded", "internal-error", "panicked"):
        metrics(Line(event, domain="guest", uuid="u"))
    metrics(LINE)
    metrics.close()
    found = counted(path)
    assert found['onpanic_panics_total{code="none",kind="unspecified"}'] == 2
    assert found["onpanic_crashloads_total"] == 1
    assert found["onpanic_internal_errors_total"] == 1
    assert found['onpanic_actions_total{action="restart",by="libvirt",outcome="done"}'] == 1
    assert found['onpanic_action_seconds_sum{action="restart"}'] == LINE.seconds
    assert found['onpanic_action_seconds_bucket{action="restart",le="0.02"}'] == 0
    assert found['onpanic_action_seconds_bucket{action="restart",le="0.1"}'] == 1
    assert found['onpanic_action_seconds_count{action="restart"}'] == 1
    assert found['onpanic_guest_panics_total{domain="guest",uuid="u"}'] == 2
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_last_values_are_written(tmp_path: Path) -> None:
    """However soon after a change the watcher ends."""
    for number in range(20):
        metrics = Metrics(tmp_path / "onpanic.prom")
        for _ in range(number):
            metrics(Line("problem"))
        metrics.close()
        assert counted(tmp_path / "onpanic.prom")["onpanic_problems_total"] == number


def test_metrics_over_http() -> None:
    """At a port of localhost, which a second watcher cannot use."""
    metrics = Metrics()
    with reserved_port() as port:
        metrics.listen(str(port))
        metrics(Line("panicked", domain="guest", uuid="u", panic="hyper-v", code="0xd1"))
        with urllib.request.urlopen(f"http://localhost:{port}/metrics", timeout=60) as answer:
            assert b'onpanic_panics_total{code="0xd1",kind="hyper-v"} 1.0' in answer.read()
        with pytest.raises(UsageError, match="Address already in use"):
            Metrics().listen(str(port))


def test_clients_that_say_nothing_take_little() -> None:
    """Beyond 32 they are turned away; when they are gone, the metrics are there again."""
    with reserved_port() as port:
        Metrics().listen(str(port))
        before = set(threading.enumerate())  # those of other tests may end meanwhile
        with ExitStack() as stack:
            clients = [
                stack.enter_context(socket.create_connection(("localhost", port), 60)) for _ in range(40)
            ]
            assert [client.recv(1) for client in clients[32:]] == [b""] * 8
            assert len(set(threading.enumerate()) - before) == 32
        for _ in range(600):
            with suppress(OSError), urllib.request.urlopen(f"http://localhost:{port}/", timeout=60) as answer:
                assert b"onpanic_watching" in answer.read()
                return
            time.sleep(0.1)
        pytest.fail("they are not served any more")


@pytest.mark.parametrize("address", ["", "x", "localhost:", "1:99999999", ":-1", "9" * 5000, "x:\u0663"])
def test_an_address_without_a_port(address: str) -> None:
    """One clear line."""
    with pytest.raises(UsageError, match="is not a port"):
        Metrics().listen(address)


@pytest.mark.parametrize("host", ["x" * 70, "a\0b", "\ud800"])
def test_a_host_that_cannot_be_resolved(host: str) -> None:
    """Not even encoded, for a name of the domain name system."""
    with pytest.raises(UsageError):
        Metrics().listen(f"{host}:9100")


def test_metrics_that_cannot_be_written_any_more(tmp_path: Path) -> None:
    """One warning, and no exception."""
    warnings: list[str] = []
    folder = tmp_path / "folder"
    folder.mkdir()
    metrics = Metrics(folder / "onpanic.prom", warnings.append)
    shutil.rmtree(folder)
    metrics(Line("disconnected"))
    until(lambda: warnings)
    metrics(LINE)
    folder.mkdir()
    metrics(Line("watching"))
    metrics.close()
    assert counted(folder / "onpanic.prom")["onpanic_watching"] == 1
    assert len(warnings) == 1
    assert "No such file or directory" in warnings[0]


def test_metrics_that_cannot_be_written(tmp_path: Path) -> None:
    """The watcher does not start."""
    with pytest.raises(FileError, match="No such file or directory"):
        Metrics(tmp_path / "missing" / "onpanic.prom")


def test_metrics_without_their_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra."""
    monkeypatch.setitem(__import__("sys").modules, "prometheus_client", None)
    with pytest.raises(MissingExtraError, match=r"onpanic\[prometheus\]"):
        Metrics()


# The hook


async def lines_of(settings: Settings, *lines: Line) -> list[Line]:
    """Run the hook for lines, and return what is logged about it."""
    logged: list[Line] = []
    hook = Hook(lambda: settings, logged.append)
    running = asyncio.create_task(hook.run())
    for line in lines:
        hook(line)
    await asyncio.wait_for(hook.drained(), 60)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return logged


async def test_the_hook_gets_the_members_in_its_environment(tmp_path: Path) -> None:
    """It runs for lines about guests, in order, and not for those about the watcher."""
    program = tmp_path / "hook"
    words = "$1 $ONPANIC_EVENT $ONPANIC_DOMAIN $ONPANIC_PANIC $ONPANIC_CODE $ONPANIC_ACTION"
    program.write_text(f'#!/bin/sh\necho "{words}" >> "$0.out"\n')
    program.chmod(0o755)
    panicked = Line("panicked", domain="my guest", panic="hyper-v", code="0xd1")
    assert await lines_of(Settings(hook=f"{program} 'a word'"), panicked, Line("watching"), LINE) == []
    assert (
        tmp_path / "hook.out"
    ).read_text() == "a word panicked my guest hyper-v 0xd1 \na word action my guest   restart\n"


async def test_a_blank_hook_is_none() -> None:
    """Nothing is run."""
    assert await lines_of(Settings(hook=" "), LINE) == []


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("/nowhere/hook", "No such file or directory"),
        ("false", "it exited with status 1"),
        ("sh -c 'sleep 1000 & sleep 1000'", "it took longer than 0.1 s and was killed"),
        ("'", "No closing quotation"),
        ("sh -c 'exit 3' ' '", "it exited with status 3"),
    ],
)
async def test_a_hook_that_fails_is_logged(
    command: str, message: str, mark: str, survivors: Callable[[str], dict[int, str]]
) -> None:
    """And none of its processes is left."""
    seconds = 0.1 if "sleep" in command else 60.0  # a busy host takes a while for the others, too
    logged = await lines_of(Settings(hook=command, hook_timeout=seconds), LINE)
    assert [(line.event, line.level) for line in logged] == [("problem", "warning")]
    assert message in logged[0].detail
    assert survivors(mark) == {}


async def test_a_hook_that_is_too_slow_for_all_lines() -> None:
    """Lines are dropped, and one line says how many."""
    logged: list[Line] = []
    hook = Hook(lambda: Settings(hook="true"), logged.append)
    for _ in range(10_003):
        hook(LINE)
    running = asyncio.create_task(hook.run())
    async with asyncio.timeout(60):
        while not logged:
            await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert "3 calls were dropped" in logged[0].detail


# Commands and their processes


async def test_a_command_ends_with_its_caller(mark: str, survivors: Callable[[str], dict[int, str]]) -> None:
    """Unless its process is known to a callback, which lets it outlive the watcher."""
    pids: list[int] = []
    for started in (None, pids.append):
        running = asyncio.create_task(run_command("sleep 1000", {"X": "1"}, 60, started))
        async with asyncio.timeout(60):
            while not pids if started else not _children(mark):
                await asyncio.sleep(0.001)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert started or not _children(mark)
    identity = identity_of(pids[0])
    assert is_alive(identity)
    os.kill(pids[0], 9)
    async with asyncio.timeout(60):
        while is_alive(identity):
            await asyncio.sleep(0.001)
        while Path(f"/proc/{pids[0]}").exists():
            await asyncio.sleep(0.001)
    assert survivors(mark) == {}


def test_a_start_command_goes_on_when_the_event_loop_ends(tmp_path: Path) -> None:
    """asyncio's own subprocesses are killed then, from Python 3.12 on."""
    go_on, done = tmp_path / "go-on", tmp_path / "done"
    command = f"sh -c 'until test -e {go_on}; do sleep 0.01; done; touch {done}'"
    pids: list[int] = []

    async def cancelled() -> None:
        running = asyncio.create_task(run_command(command, {}, 60, pids.append))
        while not pids:
            await asyncio.sleep(0.001)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(cancelled())
    gc.collect()
    go_on.touch()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pids[0]}").exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert done.exists()


def _children(mark: str) -> list[Path]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if path.parent.name != str(os.getpid()) and mark.encode() in path.read_bytes():
                found.append(path)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("identity", ["", "x", "1", "1:1", "-1:5", "9" * 5000, "\u0663:1"])
def test_an_identity_of_no_process(identity: str) -> None:
    """Whatever a journal file says."""
    assert not is_alive(identity)


# systemd


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_notified(abstract: bool, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its socket may be a path or an abstract name."""
    address = f"\0onpanic-test-{folder.name}" if abstract else str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", address.replace("\0", "@"))
        notify("READY=1", "STATUS=watching")
        assert listener.recv(100) == b"READY=1\nSTATUS=watching"


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "nonsense"])
def test_no_service_manager(address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent, not even to a socket with a relative path, which sd_notify(3) does not allow."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("nonsense")
        notify("READY=1")
        assert select.select([listener], [], [], 0)[0] == []
