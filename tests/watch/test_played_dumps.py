"""Dumps by played QEMUs and a played libvirt: formats, limits, and what a dump leaves that is not made."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from onpanic.core.errors import UsageError
from onpanic.probe.decision.policy import Policy
from onpanic.watch import Line, Settings, watch_domains, watch_monitors
from onpanic.watch.guests.incomplete_dumps import locked, remove_incomplete_in

from ..played.libvirt import PlayedDomain, PlayedLibvirt
from .played_monitor import PlayedMonitor
from .running import RunningWatcher
from .test_played_domains import panic, policy_of, watching, xml

DUMPED = Policy("preserve", coredump=True)
OFFERED = ["elf", "kdump-zlib", "win-dmp"]
MEBIBYTE = 2**20
OLD, NEWER, NEWEST = (f"guest-2026010{day}T000000Z.core" for day in (1, 2, 3))


def watching_monitor(address: str, state: Path, settings: Settings, **options: Any) -> RunningWatcher:
    return RunningWatcher(partial(watch_monitors, [address], DUMPED), state, settings, **options)


async def dumped(monitor: PlayedMonitor, folder: Path, state: Path, **settings: Any) -> Line:
    """Let a guest panic whose policy is to dump it, and return the line about the dump."""
    place = folder / "dumps"
    place.mkdir(exist_ok=True)
    async with (
        monitor.at(folder / "qmp") as address,
        watching_monitor(address, state, Settings(dump_dir=str(place), **settings)) as watcher,
    ):
        await watcher.until("connected")
        monitor.panic()
        return await watcher.until("action", action="coredump")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "dumps").iterdir())


# Formats


@pytest.mark.parametrize(
    ("form", "extension"),
    [("elf", ".core"), ("kdump-zlib", ".kdump"), ("win-dmp", ".dmp"), ("kdump-lzo,elf", ".core")],
)
async def test_a_format(form: str, extension: str, folder: Path, tmp_path: Path) -> None:
    """The file's extension is that of the format that is used."""
    monitor = PlayedMonitor()
    monitor.answers["query-dump-guest-memory-capability"] = {"formats": OFFERED}
    line = await dumped(monitor, folder, tmp_path, dump_format=form)
    assert line.outcome == "done"
    assert Path(line.coredump).suffix == extension
    assert names(folder) == [Path(line.coredump).name]
    (arguments,) = monitor.dumped
    assert arguments.get("format", "elf") == form.rpartition(",")[2]
    assert arguments["paging"] is False


async def test_virtual_addresses(folder: Path, tmp_path: Path) -> None:
    """QEMU is asked for them."""
    monitor = PlayedMonitor()
    assert (await dumped(monitor, folder, tmp_path, dump_paging=True)).outcome == "done"
    assert monitor.dumped[0]["paging"] is True


async def test_a_format_that_is_not_offered(folder: Path, tmp_path: Path) -> None:
    """The message names it and what is offered; QEMU is not asked to dump."""
    monitor = PlayedMonitor()
    monitor.answers["query-dump-guest-memory-capability"] = {"formats": OFFERED}
    line = await dumped(monitor, folder, tmp_path, dump_format="kdump-snappy")
    assert line.outcome == "failed"
    assert line.detail == "this QEMU does not offer kdump-snappy; it offers elf, kdump-zlib, win-dmp"
    assert (monitor.dumped, names(folder)) == ([], [])


async def test_a_format_that_fails(folder: Path, tmp_path: Path) -> None:
    """The next one is used, and the line says why: what the guest wrote decides whether win-dmp works."""
    monitor = PlayedMonitor()
    monitor.failing_formats["win-dmp"] = "win-dump: invalid KDBG OwnerTag"
    line = await dumped(monitor, folder, tmp_path, dump_format="win-dmp,elf")
    assert line.outcome == "done"
    assert line.detail == "win-dmp: win-dump: invalid KDBG OwnerTag"
    assert [Path(name).suffix for name in names(folder)] == [".core"]


async def test_a_reason_that_comes_late(folder: Path, tmp_path: Path) -> None:
    """QEMU's state says that a dump has failed before its event says why."""
    monitor = PlayedMonitor()
    monitor.dump_error = "No space left on device"
    monitor.completion_delay = 0.1
    line = await dumped(monitor, folder, tmp_path)
    assert (line.outcome, line.detail) == ("failed", "No space left on device")


@pytest.fixture
def preserved(played_libvirt: PlayedLibvirt) -> PlayedDomain:
    return played_libvirt.add(xml(policy_of("preserve", attributes=" coredump='yes'")))


async def domain_dumped(domain: PlayedDomain, folder: Path, state: Path, **settings: Any) -> Line:
    """Let a domain panic whose policy is to dump it, and return the line about the dump."""
    place = folder / "dumps"
    place.mkdir(exist_ok=True)
    async with watching(state, Settings(dump_dir=str(place), **settings)) as watcher:
        await watcher.until("watching")
        await panic(domain)
        return await watcher.until("action", action="coredump")


@pytest.mark.parametrize(("form", "extension"), [("kdump-zlib", ".kdump"), ("kdump-raw-zlib,elf", ".core")])
async def test_a_format_of_libvirt(
    form: str, extension: str, preserved: PlayedDomain, folder: Path, tmp_path: Path
) -> None:
    """It has the same names and extensions; an older client of libvirt does not have all of them."""
    line = await domain_dumped(preserved, folder, tmp_path, dump_format=form)
    assert line.outcome == "done"
    assert names(folder) == [Path(line.coredump).name]
    assert Path(line.coredump).suffix == extension


async def test_a_format_that_libvirt_refuses(preserved: PlayedDomain, folder: Path, tmp_path: Path) -> None:
    """The message is libvirt's, with what QEMU offers."""
    preserved.answers["query-dump-guest-memory-capability"] = {"formats": [*OFFERED, "kdump-raw-zlib"]}
    line = await domain_dumped(preserved, folder, tmp_path, dump_format="kdump-lzo")
    assert line.outcome == "failed"
    assert "unsupported dumpformat" in line.detail
    assert line.detail.endswith("; elf, kdump-zlib, win-dmp are offered")
    assert names(folder) == []


async def test_a_format_of_libvirt_that_fails(preserved: PlayedDomain, folder: Path, tmp_path: Path) -> None:
    """The next one is used, and the line says why."""
    preserved.failing_formats[4] = "memory-only dump failed: win-dump: invalid header"
    line = await domain_dumped(preserved, folder, tmp_path, dump_format="win-dmp,elf")
    assert line.outcome == "done"
    assert "win-dump: invalid header" in line.detail
    assert [Path(name).suffix for name in names(folder)] == [".core"]


async def test_libvirt_has_no_dumps_with_virtual_addresses(
    preserved: PlayedDomain, folder: Path, tmp_path: Path
) -> None:
    """The watcher does not start with the setting, and a reload that brings it makes dumps fail."""
    paging = Settings(dump_dir=str(folder), dump_paging=True)
    with pytest.raises(UsageError, match="virtual addresses"):
        await watch_domains(None, paging, print, state=tmp_path)
    async with watching(tmp_path) as watcher:
        await watcher.until("watching")
        watcher.new_settings = paging
        watcher.reload.set()
        await watcher.until("reloaded")
        await panic(preserved)
        line = await watcher.until("action", action="coredump", outcome="failed")
        assert line.detail.startswith("dump-paging: ")


async def test_a_dump_of_libvirts_own_that_fails_by_its_format(
    played_libvirt: PlayedLibvirt, folder: Path, tmp_path: Path
) -> None:
    """libvirt makes no other dump and does nothing more, so the watcher does both."""
    policy = policy_of("destroy", "coredump-destroy", attributes=" coredump='yes'")
    domain = played_libvirt.add(xml(policy, "coredump-destroy"))
    async with watching(tmp_path, Settings(dump_dir=str(folder))) as watcher:
        await watcher.until("watching")
        domain.dump_fails = "win-dump: invalid header"
        await panic(domain)
        domain.dump_fails = ""
        error = {"result": {"status": "failed"}, "error": "win-dump: invalid header, expected 'PAGE'"}
        await asyncio.to_thread(played_libvirt.monitor_event, domain, "DUMP_COMPLETED", error)
        await watcher.until("action", action="destroy", outcome="done")
        assert watcher.actions == [("coredump", "failed"), ("coredump", "done"), ("destroy", "done")]
        assert [path.suffix for path in folder.iterdir()] == [".core"]
    assert not domain.active


# Limits


def old_dumps(folder: Path, *sizes: int) -> None:
    """Write dumps of the guest, and files of others."""
    place = folder / "dumps"
    place.mkdir()
    for number, (name, size) in enumerate(zip((OLD, NEWER, NEWEST), sizes, strict=False)):
        with (place / name).open("wb") as file:
            file.truncate(size * MEBIBYTE)
        os.utime(place / name, (number, number))
    (place / "4-guest-2026-01-01-00:00:00").write_bytes(b"libvirt's")
    (place / "other-20260101T000000Z.core").symlink_to(place / OLD)


OTHERS = ["4-guest-2026-01-01-00:00:00", "other-20260101T000000Z.core"]


async def test_the_oldest_dumps_make_room(folder: Path, tmp_path: Path) -> None:
    """As many as the quota asks for; files of others, and links, are left alone."""
    old_dumps(folder, 30, 30, 30)
    monitor = PlayedMonitor()
    monitor.answers["query-memory-size-summary"] = {"base-memory": 16 * MEBIBYTE, "plugged-memory": 0}
    line = await dumped(monitor, folder, tmp_path, dump_quota="80M")
    assert (line.outcome, line.detail) == ("done", "")
    assert names(folder) == sorted([NEWER, NEWEST, Path(line.coredump).name, *OTHERS])


@pytest.mark.parametrize("limits", [{"dump_quota": "40M"}, {"dump_reserve": "1024T"}])
async def test_a_dump_for_which_there_is_no_room(
    limits: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    """It is refused before it begins, and the only dump of the guest is kept."""
    old_dumps(folder, 30)
    monitor = PlayedMonitor()
    monitor.answers["query-memory-size-summary"] = {"base-memory": 16 * MEBIBYTE, "plugged-memory": 0}
    line = await dumped(monitor, folder, tmp_path, **limits)
    assert line.outcome == "failed"
    assert line.detail.startswith("the dump needs up to 16M; ")
    assert f"({next(iter(limits)).replace('_', '-')})" in line.detail
    assert names(folder) == sorted([OLD, *OTHERS])
    assert (monitor.dumped, monitor.status) == ([], "guest-panicked")


async def test_limits_on_dumps_of_domains(preserved: PlayedDomain, folder: Path, tmp_path: Path) -> None:
    """libvirt says how much memory the domain has: 16 MiB."""
    old_dumps(folder, 30, 30, 30)
    line = await domain_dumped(preserved, folder, tmp_path, dump_quota="50M", dump_reserve="1K")
    assert (line.outcome, line.detail) == ("done", "")
    assert names(folder) == sorted([NEWEST, Path(line.coredump).name, *OTHERS])
    assert preserved.state[0] == 6


async def test_limits_that_cannot_be_checked(folder: Path, tmp_path: Path) -> None:
    """They cost no dump, and the line says so: this QEMU does not say how much memory its guest has."""
    line = await dumped(PlayedMonitor(), folder, tmp_path, dump_quota="1K", dump_reserve="1024T")
    assert line.outcome == "done"
    assert line.detail == (
        "dump-quota and dump-reserve not applied: the size of the guest's memory is unknown"
    )


async def test_limits_on_a_libvirt_elsewhere(
    played_libvirt: PlayedLibvirt, folder: Path, tmp_path: Path
) -> None:
    """Its directory cannot be seen from here."""
    domain = played_libvirt.add(xml(policy_of("preserve", attributes=" coredump='yes'")))
    settings = Settings(dump_dir=str(folder), dump_quota="1K")
    elsewhere = "qemu+ssh://elsewhere/system"
    async with RunningWatcher(partial(watch_domains, elsewhere), tmp_path, settings) as watcher:
        await watcher.until("watching")
        await panic(domain)
        line = await watcher.until("action", action="coredump", outcome="done")
        assert line.detail == "dump-quota not applied: the directory may be on another host"


# What is left


def incomplete(folder: Path, name: str = OLD) -> Path:
    path = folder / f"{name}.partial"
    path.write_bytes(b"\x7fELF")
    return path


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Have a file open for writing, as a QEMU that dumps."""
    with path.open("ab"):
        yield


@contextmanager
def read(path: Path) -> Iterator[None]:
    with path.open("rb"):
        yield


@pytest.mark.parametrize(("user", "stays"), [(written, True), (locked, True), (read, False)])
def test_only_what_nothing_writes_is_removed(user: Any, stays: bool, tmp_path: Path) -> None:
    """QEMU goes on with a dump when the watcher has ended; another watcher may be about to rename it."""
    path = incomplete(tmp_path)
    with user(path):
        remove_incomplete_in(tmp_path)
        assert path.exists() == stays
    remove_incomplete_in(tmp_path)
    assert not path.exists()


def test_files_of_others_are_not_removed(tmp_path: Path) -> None:
    """They only end like incomplete dumps."""
    for path in (tmp_path / "x.partial", tmp_path / OLD, tmp_path / f"{OLD}.partial.gz"):
        path.write_bytes(b"")
    (tmp_path / f"{NEWER}.partial").symlink_to(tmp_path / OLD)
    os.mkfifo(tmp_path / f"{NEWEST}.partial")
    before = sorted(tmp_path.iterdir())
    remove_incomplete_in(tmp_path)
    remove_incomplete_in(tmp_path / "missing")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("dry_run", [False, True])
async def test_what_an_earlier_watcher_left_is_removed(dry_run: bool, folder: Path, tmp_path: Path) -> None:
    """At the start; a dry run removes nothing."""
    path = incomplete(folder)
    async with watching_monitor(
        str(folder / "qmp"), tmp_path, Settings(dump_dir=str(folder)), dry_run=dry_run
    ) as watcher:
        await watcher.until("waiting")
        assert path.exists() == dry_run


async def test_a_connection_that_is_lost_during_a_dump(folder: Path, tmp_path: Path) -> None:
    """QEMU has ended: its incomplete file is removed."""
    monitor = PlayedMonitor()
    monitor.dump_polls = 10**9
    async with (
        monitor.at(folder / "qmp") as address,
        watching_monitor(
            address, tmp_path, Settings(dump_dir=str(folder), progress=0.001), once=False
        ) as watcher,
    ):
        await watcher.until("connected")
        monitor.panic()
        await watcher.until("progress")
        assert list(folder.glob("*.partial"))
        await monitor.exit()
        await watcher.until_true(lambda: not list(folder.glob("*.partial")))
        await watcher.until("disconnected")
        await watcher.until("action", action="coredump", outcome="failed")
        assert list(folder.glob("*.core")) == []


async def test_a_dump_that_is_still_written_after_it_was_given_up(folder: Path, tmp_path: Path) -> None:
    """Its file is removed once QEMU has ended the dump."""
    monitor = PlayedMonitor()
    monitor.dump_polls = 10**9
    settings = Settings(dump_dir=str(folder), dump_timeout=0.5)
    async with (
        monitor.at(folder / "qmp") as address,
        watching_monitor(address, tmp_path, settings) as watcher,
    ):
        await watcher.until("connected")
        monitor.panic()
        await watcher.until_true(lambda: monitor.dumped)
        (path,) = folder.glob("*.partial")
        with written(path):
            failed = await watcher.until("action", action="coredump", outcome="failed")
            assert "longer than 0.5 s" in failed.detail
            assert path.exists()
        monitor.event("DUMP_COMPLETED", result={"status": "completed"})
        await watcher.until_true(lambda: not path.exists())


# libvirt's QEMUs


async def test_the_qemu_of_a_libvirt_guest_is_not_dumped(folder: Path, tmp_path: Path) -> None:
    """libvirt 9.0 crashes if something else starts a dump; the message says what to do instead."""
    monitor = PlayedMonitor()
    labels = [{"label": "compat_monitor0"}, {"label": "charmonitor"}]
    monitor.answers["query-chardev"] = labels
    line = await dumped(monitor, folder, tmp_path)
    assert line.outcome == "failed"
    assert "onpanic watch --connect URI" in line.detail
    assert monitor.dumped == []
