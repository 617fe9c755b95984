"""What operators see: lines, what is known of a panic, counters, the hook; and the journal and settings."""

import asyncio
import json
import re
import shutil
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from onpanic.probe.errors import OnpanicError
from onpanic.watch.details import details, parsed
from onpanic.watch.duty import Duty
from onpanic.watch.hook import Hook
from onpanic.watch.journal import Entry, Journal
from onpanic.watch.metrics import Metrics
from onpanic.watch.notify import notify
from onpanic.watch.report import Line, Printer, as_json, as_text, members
from onpanic.watch.settings import Settings, read_settings

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
    assert as_text(LINE) == (
        '2026-11-24T12:00:00.000Z notice  action domain="my guest" '
        "uuid=c7a5fdbd-edaf-9455-926a-d65c16db1809 policy=<on_panic>restart</on_panic> action=restart "
        "outcome=done by=libvirt seconds=0.062"
    )


def test_a_line_for_journald() -> None:
    """It begins with the priority that journald takes off, and has no time, as that is journald's."""
    assert as_text(LINE, journald=True).startswith('<5>action domain="my guest" ')
    assert as_text(replace(LINE, level="error"), journald=True).startswith("<3>action ")


def test_a_line_in_json() -> None:
    assert json.loads(as_json(LINE)) == members(LINE)
    assert "coredump" not in members(LINE)


@given(
    st.builds(Line, event=st.just("action"), domain=st.text(), detail=st.text(), seconds=st.floats(0, 1e9))
)
def test_nothing_that_a_guest_is_called_breaks_a_line(line: Line) -> None:
    text = as_text(line)
    assert text.isprintable()
    assert json.loads(as_json(line))["event"] == "action"
    found = dict(re.findall(r' ([a-z]+)=("(?:[^"\\]|\\.)*"|\S+)', text))
    if found.get("domain", "").startswith('"'):
        assert json.loads(found["domain"]) == " ".join(
            "".join(c if c.isprintable() else " " for c in line.domain).split()
        )


def test_lines_are_printed(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    forms: tuple[Literal["text", "json"], ...] = ("text", "json")
    for form in forms:
        printer = Printer(form)
        printer(LINE)
        printer.close()
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    printer = Printer("text")
    printer(LINE)
    printer.close()
    assert [line[:2] for line in capfd.readouterr().out.splitlines()] == ["20", '{"', "<5"]


# What is known of a panic


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
def test_what_is_known_of_a_panic(data: dict[str, object], text: str) -> None:
    assert details(data) == text


@pytest.mark.parametrize("text", [None, "", "nonsense", "[1]", "{"])
def test_an_event_without_members(text: str | None) -> None:
    assert parsed(text) == {}


# Counters


def counted(path: Path) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in path.read_text().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines if "_created" not in name}


def test_counters_for_node_exporter(tmp_path: Path) -> None:
    """They are in the file as soon as something was counted."""
    path = tmp_path / "onpanic.prom"
    metrics = Metrics(path)
    assert counted(path)["onpanic_watching"] == 0
    metrics(Line("watching"))
    for event in ("panicked", "crashloaded", "internal-error", "panicked"):
        metrics(Line(event, domain="guest", uuid="u"))
    metrics(LINE)
    metrics(Line("progress", domain="guest"))
    found = counted(path)
    assert found["onpanic_watching"] == 1
    assert found['onpanic_panics_total{domain="guest",uuid="u"}'] == 2
    assert found['onpanic_crashloads_total{domain="guest",uuid="u"}'] == 1
    assert found['onpanic_internal_errors_total{domain="guest",uuid="u"}'] == 1
    labels = f'action="restart",by="libvirt",domain="my guest",outcome="done",uuid="{LINE.uuid}"'
    assert found[f"onpanic_actions_total{{{labels}}}"] == 1
    assert found['onpanic_action_seconds_sum{action="restart"}'] == LINE.seconds
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_counters_over_http() -> None:
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    metrics = Metrics()
    metrics.listen(str(port))
    metrics(Line("panicked", domain="guest", uuid="u"))
    with urllib.request.urlopen(f"http://localhost:{port}/metrics", timeout=60) as answer:
        assert b'onpanic_panics_total{domain="guest",uuid="u"} 1.0' in answer.read()
    with pytest.raises(OnpanicError, match="Address already in use"):
        Metrics().listen(str(port))


@pytest.mark.parametrize("address", ["", "x", "localhost:", "1:99999999", ":-1"])
def test_no_place_to_serve_counters_at(address: str) -> None:
    with pytest.raises(OnpanicError, match="is no port"):
        Metrics().listen(address)


def test_counters_that_cannot_be_written_any_more(tmp_path: Path) -> None:
    """It is said once; guests come first."""
    said: list[str] = []
    folder = tmp_path / "folder"
    folder.mkdir()
    metrics = Metrics(folder / "onpanic.prom", said.append)
    shutil.rmtree(folder)
    metrics(Line("disconnected"))
    metrics(LINE)
    assert len(said) == 1
    assert "No such file or directory" in said[0]
    folder.mkdir()
    metrics(Line("watching"))
    assert counted(folder / "onpanic.prom")["onpanic_watching"] == 1


def test_counters_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OnpanicError, match="No such file or directory"):
        Metrics(tmp_path / "nowhere" / "onpanic.prom")


# The hook


async def called(settings: Settings, *lines: Line) -> list[Line]:
    said: list[Line] = []
    hook = Hook(lambda: settings, said.append)
    running = asyncio.create_task(hook.run())
    for line in lines:
        hook(line)
    await asyncio.wait_for(hook.drained(), 60)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return said


async def test_the_hook_has_the_facts_in_its_environment(tmp_path: Path) -> None:
    """It is called for guests, in order, and not for what is about the watcher alone."""
    program = tmp_path / "hook"
    program.write_text('#!/bin/sh\necho "$1 $ONPANIC_EVENT $ONPANIC_DOMAIN $ONPANIC_ACTION" >> "$0.out"\n')
    program.chmod(0o755)
    panicked = Line("panicked", domain="my guest")
    assert await called(Settings(hook=f"{program} 'a word'"), panicked, Line("watching"), LINE) == []
    assert (
        tmp_path / "hook.out"
    ).read_text() == "a word panicked my guest \na word action my guest restart\n"


async def test_a_hook_of_blanks_is_none() -> None:
    assert await called(Settings(hook=" "), LINE) == []


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("/nowhere/hook", "No such file or directory"),
        ("false", "it ended with status 1"),
        ("sh -c 'sleep 1000 & sleep 1000'", "it took longer than 0.2 s, and was ended"),
        ("'", "No closing quotation"),
        ("sh -c 'exit 3' ' '", "it ended with status 3"),
    ],
)
async def test_a_hook_that_fails_is_told_of(
    command: str, words: str, mark: str, survivors: Callable[[str], dict[int, str]]
) -> None:
    """Nothing of it is left."""
    said = await called(Settings(hook=command, hook_timeout=0.2), LINE)
    assert [(line.event, line.level) for line in said] == [("problem", "warning")]
    assert words in said[0].detail
    assert survivors(mark) == {}


# The journal


def test_one_watcher_acts(tmp_path: Path) -> None:
    """Another one has to wait until it has ended."""
    first, second = Journal(tmp_path, print), Journal(tmp_path, print)
    assert first.acquire()
    assert first.acquire()
    assert not second.acquire()
    kept = first.keep(Entry("key", "guest", duty=Duty("restart")), restarts=[1.0])
    assert kept.restarts == [1.0]
    first.close()
    assert second.acquire()
    assert second.get("key") == kept
    second.drop("key")
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    second.close()


def test_one_watcher_acts_for_each_guest(tmp_path: Path) -> None:
    first, second = Journal(tmp_path, print), Journal(tmp_path, print)
    assert first.acquire("qmp:a")
    assert second.acquire("qmp:b")
    assert not second.acquire("qmp:a")
    kept = first.keep(Entry("qmp:a", "guest"))
    first.close()
    assert second.acquire("qmp:a")
    assert second.get("qmp:a") == kept
    second.close()


def test_what_is_written_down_is_for_nobody_else(tmp_path: Path) -> None:
    """A domain's XML may have passwords in it."""
    tmp_path.chmod(0o755)
    journal = Journal(tmp_path, print)
    assert journal.acquire()
    journal.keep(Entry("key", "guest", xml="<domain/>"))
    assert (tmp_path / "key.json").stat().st_mode & 0o777 == 0o600
    journal.close()


def test_what_was_begun_before_the_host_booted_is_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its guest may run on another host by now."""
    journal = Journal(tmp_path, print)
    assert journal.acquire()
    journal.keep(Entry("key", "guest", begun=True, finished=False))
    journal.close()
    monkeypatch.setattr("onpanic.watch.journal._boot", lambda: "another boot")
    journal = Journal(tmp_path, print)
    assert journal.acquire()
    assert journal.entries() == []
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    journal.close()


def test_an_entry_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path, print)
    assert journal.acquire()
    journal.keep(Entry("b", "guest"))
    journal.close()
    (tmp_path / "a.json").write_text("{")
    said: list[str] = []
    journal = Journal(tmp_path, said.append)
    assert journal.acquire()
    assert [entry.key for entry in journal.entries()] == ["b"]
    assert len(said) == 1
    assert "a.json" in said[0]
    journal.close()


def test_a_journal_that_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OnpanicError, match="--state-dir"):
        Journal(tmp_path / "file" / "state", print).acquire()


@given(st.text(min_size=1, max_size=300))
def test_any_guest_has_a_file(key: str) -> None:
    from onpanic.watch.journal import _file_name

    assert "/" not in _file_name(key)
    assert len(_file_name(key).encode()) < 256


# Settings


def test_the_command_line_counts_more_than_the_file(tmp_path: Path) -> None:
    path = tmp_path / "watch.toml"
    path.write_text('start-limit = 3\nhook = "logger"\n')
    assert read_settings(path, {"start_limit": 7}) == Settings(start_limit=7, hook="logger")
    assert read_settings(None, {}) == Settings()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("start-limit = ", "Invalid value"),
        ("start-limt = 3", "unknown field `start-limt`"),
        ("start-limit = 'x'", "Expected `int`, got `str` - at `$.start-limit`"),
        ("start-limit = -1", "start-limit at least 0"),
        ("progress = 0.0", "progress has to be more than 0 seconds"),
        ("dump-timeout = nan", "dump-timeout has to be more than 0 seconds"),
        ("\xff", "watch.toml"),
    ],
)
def test_settings_that_make_no_sense(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "watch.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(OnpanicError) as caught:
        read_settings(path, {})
    assert words in caught.value.message
    assert str(path) in caught.value.message


def test_settings_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(OnpanicError, match="No such file"):
        read_settings(tmp_path / "nowhere", {})


# systemd


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told(abstract: bool, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"\0onpanic-test-{folder.name}" if abstract else str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", address.replace("\0", "@"))
        notify("READY=1", "STATUS=watching")
        assert listener.recv(100) == b"READY=1\nSTATUS=watching"


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "nonsense"])
def test_nobody_is_told(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")
