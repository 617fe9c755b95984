"""Which dumps are the watcher's, and what the limits on them ask for."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from onpanic.core.errors import FailedError, SettingsError
from onpanic.probe.decision.policy import Policy
from onpanic.watch.guests.dump_space import space_for_dump
from onpanic.watch.rules.dump_files import FORMATS, DumpFile, dump_name, guest_of, with_format
from onpanic.watch.rules.dump_limits import room_for_dump
from onpanic.watch.rules.observation import Assignment, GuestState, Observation
from onpanic.watch.rules.reconcile import reconcile
from onpanic.watch.rules.reconcile_settings import ReconcileSettings
from onpanic.watch.rules.restart_limit import RestartLimit
from onpanic.watch.rules.settings import Settings, with_unit

MEBIBYTE = 2**20


def dump(name: str, guest: str, size: int, modified: int) -> DumpFile:
    return DumpFile(name, guest, size, size, modified)


@st.composite
def directories(draw: st.DrawFn) -> list[DumpFile]:
    """Return dumps, some of which are still being written."""
    found = []
    for number in range(draw(st.integers(0, 12))):
        size, complete = draw(st.integers(0, 1000)), draw(st.integers(0, 4)) > 0
        guest = draw(st.sampled_from("abc"))
        written = size if complete else draw(st.integers(0, size))
        modified = draw(st.integers(0, 5))
        found.append(DumpFile(f"{number}", guest, size, written, modified, complete=complete))
    return found


@given(directories(), st.integers(0, 2000), st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 3000))
def test_limits_hold_after_every_dump(
    dumps: list[DumpFile], needed: int, free: int, quota: int, reserve: int
) -> None:
    """Or the dump is refused, and nothing is removed; the newest dump of a guest never is."""
    room = room_for_dump(dumps, needed, free, quota, reserve)
    if room.refusal:
        assert room.remove == ()
        return
    left = [one for one in dumps if one.name not in room.remove]
    removed = [one for one in dumps if one.name in room.remove]
    assert all(one.complete for one in removed)
    assert {one.guest for one in left} == {one.guest for one in dumps}
    for guest in {one.guest for one in dumps if one.complete}:
        complete = [one for one in dumps if one.guest == guest and one.complete]
        assert max(one.modified for one in complete) in [one.modified for one in left if one.guest == guest]
    if quota:
        assert sum(one.size for one in left) + needed <= quota
    else:
        assert removed == []
    pending = sum(one.size - one.written for one in dumps if not one.complete)
    if reserve:
        assert free + sum(one.written for one in removed) - pending - needed >= reserve


@given(directories(), st.integers(0, 2000), st.integers(1, 5000))
def test_no_dump_is_removed_without_need(dumps: list[DumpFile], needed: int, quota: int) -> None:
    """The new dump would not fit with the last one that is removed, and what is removed is the oldest."""
    room = room_for_dump(dumps, needed, None, quota, 0)
    by_name = {one.name: one for one in dumps}
    ages = [by_name[name].modified for name in room.remove]
    assert ages == sorted(ages)
    if room.remove:
        left = sum(one.size for one in dumps if one.name not in room.remove)
        assert left + by_name[room.remove[-1]].size + needed > quota


def test_a_refusal_has_figures() -> None:
    """They are as the settings take them."""
    only = [dump("1", "a", 900 * MEBIBYTE, 1), dump("2", "b", 500 * MEBIBYTE, 2)]
    room = room_for_dump(only, 700 * MEBIBYTE, None, 2048 * MEBIBYTE, 0)
    assert room.refusal == (
        "the dump needs up to 700M; 1.4G of 2G (dump-quota) are in use by dumps that must be kept "
        "(the newest of each guest)"
    )
    room = room_for_dump([], 3 * 1024 * MEBIBYTE, 4 * 1024 * MEBIBYTE, 0, 2 * 1024 * MEBIBYTE)
    assert room.refusal == ("the dump needs up to 3G; 4G are free, of which 2G (dump-reserve) must stay free")
    assert room_for_dump([], 3, None, 2, 0).refusal == "the dump needs up to 3; dump-quota is 2"
    assert room_for_dump(only, 3, None, 2, 0).refusal == "the dump needs up to 3; dump-quota is 2"


async def test_a_reserve_alone_counts_dumps_in_progress(tmp_path: Path) -> None:
    """Two dumps that begin together have not taken their space yet, and do not fit together."""
    found = os.statvfs(tmp_path)
    size = found.f_bavail * found.f_frsize * 2 // 5
    settings = Settings(dump_reserve=size)
    first, second = (str(tmp_path / f"{name}-20260101T000000Z.core") for name in "ab")
    async with space_for_dump(first, size, settings, here=True):
        with pytest.raises(FailedError, match="dump-reserve"):
            async with space_for_dump(second, size, settings, here=True):
                pass


# Names


@given(
    st.text(min_size=1),
    st.text("0123456789abcdef", max_size=36),
    st.floats(0, 4e9),
    st.sampled_from(list(FORMATS)),
)
def test_the_watchers_dumps_are_recognised(name: str, uuid: str, at: float, form: str) -> None:
    """In every format; the guest is the same in all of them."""
    path = f"/dumps/{dump_name(name, uuid, at)}"
    found = with_format(path, form)
    assert with_format(found, "elf") == path
    assert guest_of(found.removeprefix("/dumps/")) == guest_of(path.removeprefix("/dumps/")) != ""


@given(st.text(), st.text(), st.floats(0, 4e9))
def test_a_guest_names_no_other_folder(name: str, uuid: str, at: float) -> None:
    """Its QEMU may say any name and any UUID."""
    found = dump_name(name, uuid, at)
    assert found == Path(found).name
    assert guest_of(found)


@pytest.mark.parametrize(
    "name",
    [
        "1-guest-2026-11-27-02:01:26",  # libvirt's own
        "guest.core",
        "guest-20261127T020126Z.core.gz",
        "guest-20261127T020126Z.core.partial",
        "guest-20261127T020126Z.txt",
        ".guest-20261127T020126Z.core",
        "-20261127T020126Z.core",
        "guest-20261127T020126Z.core\n",
        "../guest-20261127T020126Z.core",
        "core.1234",
        "",
    ],
)
def test_files_of_others_are_not_the_watchers(name: str) -> None:
    assert guest_of(name) == ""


# Settings


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (0, 0),
        (1500, 1500),
        ("0", 0),
        ("1K", 1024),
        (" 2M", 2 * MEBIBYTE),
        ("1.5G", 1536 * MEBIBYTE),
        ("1T", 2**40),
    ],
)
def test_sizes(value: int | str, size: int) -> None:
    """As systemd writes them."""
    assert Settings(dump_quota=value).quota_bytes == size
    assert Settings(dump_reserve=value).reserve_bytes == size


@given(st.integers(0, 2**50))
def test_a_size_that_is_shown_can_be_set(size: int) -> None:
    """It differs by the decimal places that are not shown."""
    shown = Settings(dump_quota=with_unit(size)).quota_bytes
    assert abs(shown - size) <= size * 0.051


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"dump_quota": "many"},
            "dump-quota must be a number of bytes, or one with K, M, G or T, not 'many'",
        ),
        ({"dump_reserve": -1}, "dump-reserve must be a number of bytes"),
        ({"dump_reserve": "1GB"}, "not '1GB'"),
        ({"dump_quota": "9" * 100}, "dump-quota must be a number"),
        ({"dump_format": "kdump"}, "dump-format has no 'kdump'; the formats are elf, kdump-zlib, "),
        ({"dump_format": "elf,"}, "dump-format has no ''"),
        ({"dump_format": "win-dmp,elf", "dump_paging": True}, "dump-paging is for dump-format elf alone"),
    ],
)
def test_invalid_limits(settings: dict[str, object], message: str) -> None:
    """The message names the setting."""
    with pytest.raises(SettingsError, match=message):
        Settings(**settings)  # type: ignore[arg-type]


# Times


@pytest.mark.parametrize(
    ("times", "named"),
    [
        ((100.2, 100.4, 100.9, 107.0), (100, 101, 102, 107)),
        ((5000.0, 1400.0), (5000, 1400)),  # the clock was set back by an hour
    ],
)
def test_dumps_of_a_guest_have_different_names(times: tuple[float, ...], named: tuple[int, ...]) -> None:
    """Also of panics within a second: the time in the name is that of a later second."""
    settings = ReconcileSettings(RestartLimit(0, 300.0))
    assignment = Assignment(Policy("restart", coredump=True))
    incident, found = None, []
    for number, epoch in enumerate(times):
        state = GuestState("panicked", cpu_time=number * 10**9)
        observation = Observation(state, at=10.0, epoch=epoch, assignment=assignment)
        incident = reconcile(incident, observation, settings, 10.0).incident
        assert incident
        found.append(int(incident.at))
        incident = replace(incident, finished=True, resolved=True)
    assert tuple(found) == named
