"""Why a guest panicked is read before anything ends it, and told in a line, a file, the hook and metrics."""

import asyncio
import os
from pathlib import Path

import pytest

from onpanic.core.errors import BusyError
from onpanic.probe.decision.policy import Policy
from onpanic.watch.reporting.hook import Hook
from onpanic.watch.reporting.lines import Line
from onpanic.watch.reporting.metric_values import MetricValues
from onpanic.watch.reporting.panic_labels import REASONS
from onpanic.watch.rules.dump_files import dump_name
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.panic_details import PanicDetails
from onpanic.watch.rules.panic_reason import shortened
from onpanic.watch.rules.settings import Settings
from onpanic.watch.rules.why_files import old_why_files, why_content, why_name
from onpanic.why.words.last_words import LastWords

from .played_guest import DEADLINE, Killed, PlayedGuest, Watch

WORDS = LastWords(
    guest="linux",
    release="6.1.0",
    source="libvirt",
    panicked=True,
    kind="null-pointer",
    reason="Fatal exception",
    cause="BUG: kernel NULL pointer dereference, address: 0",
    lines=("[    1.000000] one", "[    2.000000] Kernel panic - not syncing: Fatal exception"),
)
REASON = "Fatal exception: BUG: kernel NULL pointer dereference, address: 0"


@pytest.mark.parametrize("value", ["restart", "destroy", "preserve", "ignore", "rename-restart"])
async def test_it_is_read_first(value: str, tmp_path: Path) -> None:
    """Before the dump as well, and once for each panic."""
    coredump = value != "ignore"
    guest = PlayedGuest(Policy(value, coredump), words=WORDS)
    async with Watch(guest, tmp_path) as watch:
        guest.panic()
        await watch.panicked()
        assert guest.log[: 1 + coredump] == ["explain", "coredump"][: 1 + coredump]
        assert guest.log.count("explain") == 1
        (line,) = [line for line in watch.lines if line.event == "why"]
        assert (line.level, line.kind, line.reason) == ("notice", "null-pointer", REASON)
        assert watch.events[:2] == [("panicked",), ("why",)]
        await watch.reconcile(retry=True)
        assert guest.log.count("explain") == 1


async def test_a_second_panic_is_read_again(tmp_path: Path) -> None:
    guest = PlayedGuest(Policy("restart"), words=WORDS, panics_again=1)
    async with Watch(guest, tmp_path) as watch:
        guest.panic()
        await watch.panicked()
        assert guest.log == ["explain", "restart", "explain", "restart"]


async def test_the_file(tmp_path: Path) -> None:
    """It has all that was read, is named as the dump, and nobody else may read it."""
    place = tmp_path / "dumps"
    place.mkdir()

    class Guest(PlayedGuest):
        async def dump_path(self, at: float) -> str:
            return str(place / dump_name(self.name, self.uuid, at))

    guest = Guest(Policy("destroy", coredump=True), words=WORDS)
    async with Watch(guest, tmp_path / "state") as watch:
        guest.panic()
        await watch.panicked()
    (file,) = place.iterdir()
    (line,) = [line for line in watch.lines if line.event == "why"]
    assert line.why == str(file)
    assert file.stat().st_mode & 0o777 == 0o600
    (dump,) = guest.dumps
    assert file.name == f"{Path(dump).stem}.why.txt"
    text = file.read_text(encoding="utf-8")
    assert text.startswith("guest played\nread at ")
    assert "Linux 6.1.0 panicked: Fatal exception\n" in text
    assert text.endswith(f"{WORDS.lines[0]}\n{WORDS.lines[1]}\n")


@pytest.mark.parametrize("planted", ["link", "pipe"])
async def test_the_file_replaces_what_another_user_has_put_in_its_place(planted: str, tmp_path: Path) -> None:
    """QEMU's user may own the folder of the dumps: a link is not followed, and no pipe is waited for."""
    target, place = tmp_path / "target", tmp_path / "dumps"
    target.write_text("another's")
    place.mkdir()

    class Guest(PlayedGuest):
        async def dump_path(self, at: float) -> str:
            path = place / dump_name(self.name, self.uuid, at)
            file = path.with_suffix(".why.txt")
            if planted == "link":
                file.symlink_to(target)
            else:
                os.mkfifo(file)
            return str(path)

    guest = Guest(Policy("destroy"), words=WORDS)
    async with Watch(guest, tmp_path / "state") as watch:
        guest.panic()
        await watch.panicked()
    assert guest.log == ["explain", "destroy"]
    assert target.read_text() == "another's"
    (file,) = place.iterdir()
    assert WORDS.lines[0] in file.read_text()


async def test_the_file_where_dumps_cannot_be_seen(tmp_path: Path) -> None:
    """It is in the directory of the journal then, and the line says why."""
    guest = PlayedGuest(Policy("destroy"), words=WORDS)  # its dumps go to /dumps
    async with Watch(guest, tmp_path) as watch:
        guest.panic()
        await watch.panicked()
    (line,) = [line for line in watch.lines if line.event == "why"]
    assert Path(line.why).parent == tmp_path / "why"
    assert line.detail == "no file in /dumps: No such file or directory"


@pytest.mark.parametrize(
    ("words", "detail"),
    [
        (LastWords(source="libvirt", notes=("there is no vmcoreinfo",)), "not known: there is no vmcoreinfo"),
        (LastWords(source="libvirt"), None),
        (WORDS, "not known: it cannot"),
    ],
)
async def test_a_reason_that_is_not_known(words: LastWords, detail: str | None, tmp_path: Path) -> None:
    """The policy is carried out, and a line says what kept the reason from being known."""
    fails = {"explain": "it cannot"} if words is WORDS else {}
    guest = PlayedGuest(Policy("destroy"), words=words, fails=fails)
    async with Watch(guest, tmp_path) as watch:
        guest.panic()
        await watch.panicked()
        assert [line.detail for line in watch.lines if line.event == "why"] == ([detail] if detail else [])
        assert guest.log[-1] == "destroy"


@pytest.mark.parametrize("error", [BusyError("libvirt is busy", wait=60.0), KeyError("bug")])
async def test_what_keeps_it_from_being_read_delays_nothing(error: Exception, tmp_path: Path) -> None:
    class Guest(PlayedGuest):
        async def read_words(self, incident: Incident, timeout: float, folder: Path | None) -> LastWords:  # noqa: ARG002, ASYNC109
            raise error

    guest = Guest(Policy("destroy"))
    async with Watch(guest, tmp_path) as watch:
        guest.panic()
        await watch.panicked()
        assert guest.log == ["destroy"]


@pytest.mark.parametrize("off", ["setting", "dry-run"])
async def test_it_is_not_read(off: str, tmp_path: Path) -> None:
    """Only if it is switched off, or nothing may be done."""
    guest = PlayedGuest(Policy("destroy"), words=WORDS)
    settings = Settings(why_timeout=0.0 if off == "setting" else 2.0)
    async with Watch(guest, tmp_path, settings, dry_run=off == "dry-run") as watch:
        guest.panic()
        await watch.panicked()
        assert "explain" not in guest.log


async def test_a_reading_that_ends_each_watcher(tmp_path: Path) -> None:
    """It is tried twice; the next watcher then does what the policy says."""
    killed = 0

    class Guest(PlayedGuest):
        async def read_words(self, incident: Incident, timeout: float, folder: Path | None) -> LastWords:  # noqa: ARG002, ASYNC109
            nonlocal killed
            killed += 1
            raise Killed

    guest = Guest(Policy("destroy"))
    guest.panic()
    for _ in range(3):
        watch = Watch(guest, tmp_path)
        watch.supervisor.trigger()
        async with asyncio.timeout(DEADLINE):
            await watch.supervisor.wait_idle()
        watch.journal.close()
    assert (killed, guest.log) == (2, ["destroy"])


async def test_the_hook_runs_for_a_reason_that_is_known(tmp_path: Path) -> None:
    """Its environment has the reason, the kind and the file."""
    program, heard = tmp_path / "hook", tmp_path / "heard"
    program.write_text(f'#!/bin/sh\necho "$ONPANIC_KIND $ONPANIC_WHY $ONPANIC_REASON" >> {heard}\n')
    program.chmod(0o755)
    hook = Hook(lambda: Settings(hook=str(program)), print)
    running = asyncio.create_task(hook.run())
    hook(Line("why", detail="not known: there is no vmcoreinfo"))
    hook(Line("why", kind="oops", reason=REASON, why="/x.why.txt"))
    async with asyncio.timeout(DEADLINE):
        await hook.drained()
    running.cancel()
    assert heard.read_text() == f"oops /x.why.txt {REASON}\n"


def test_the_metric_has_a_bounded_label() -> None:
    """Whatever a guest can make the kind of its panic."""
    values = MetricValues()
    for kind in ("oops", "oops", "", "made up"):
        values(Line("why", kind=kind, reason="x"))
    found = next(samples for metric, samples in values.samples() if metric.name == "onpanic_panic_reasons")
    counted = {labels[0]: value for labels, value in found if value}
    assert counted == {"oops": 2.0, "unknown": 1.0, "other": 1.0}
    assert {labels[0] for labels, _ in found} == set(REASONS)


def test_a_reason_has_at_most_256_bytes() -> None:
    assert shortened("ä" * 128) == "ä" * 128
    long = shortened("ä" * 129)
    assert long.endswith("ä…")
    assert len(long.encode()) <= 256


def test_a_file_has_at_most_256_kibibytes() -> None:
    """The beginning and the last lines stay."""
    lines = ["first", *(f"{number} {'x' * 80}" for number in range(10_000)), "last"]
    content = why_content(lines)
    assert len(content) <= 256 * 1024
    assert content.startswith(b"first\n0 x")
    assert content.endswith(b"\nlast\n")
    assert b" lines are left out)\n" in content
    assert why_content(["one", "two"]) == b"one\ntwo\n"


def test_the_newest_files_of_a_guest_are_kept() -> None:
    """Those of other guests, and other files, are left alone."""
    names = [why_name(dump_name("web", "", 1e9 + second)) for second in range(20)]
    new, others = names.pop(), [why_name(dump_name("mail", "", 1e9)), "notes.txt"]
    assert old_why_files([*reversed(names), *others], new) == names[:4]


@pytest.mark.parametrize("libvirt_action", ["", "coredump-restart"])
async def test_a_reading_by_something_else(libvirt_action: str, tmp_path: Path) -> None:
    """Its dump, which is given up, is no dump that has failed, unless libvirt makes dumps of its own."""
    guest = PlayedGuest(Policy("preserve", coredump=True), libvirt_action=libvirt_action)
    async with Watch(guest, tmp_path, Settings(why_timeout=0.0)) as watch:
        watch.supervisor.on_panicked(PanicDetails())
        await watch.idle()
        before = len(watch.lines)
        watch.supervisor.on_dump_completed("dump: failed to save memory: Broken pipe")
        await watch.idle()
        assert (len(watch.lines) > before) == bool(libvirt_action)
