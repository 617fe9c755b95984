"""The journal: what a watcher has done, for the next one; and the locks that decide which one acts."""

import asyncio
import json
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpanic.core.errors import FileError
from onpanic.watch.rules.incident import Incident
from onpanic.watch.rules.policy_steps import Action
from onpanic.watch.supervision.journal import Journal, default_folder, subfolder


def journal(folder: Path | None, warnings: list[str] | None = None, boot_id: str = "boot") -> Journal:
    return Journal(folder, (warnings if warnings is not None else []).append, boot_id=boot_id)


def test_one_watcher_acts(tmp_path: Path) -> None:
    """The second one takes the lock, and finds the incidents, when the first has ended."""
    first, second = journal(tmp_path), journal(tmp_path)
    assert first.try_acquire()
    assert first.try_acquire()
    assert not second.try_acquire()
    saved = first.save(Incident("key", "guest", action=Action("restart")), restarts=[1.0])
    assert saved.restarts == [1.0]
    first.close()
    assert second.try_acquire()
    assert second.get("key") == saved
    second.remove("key")
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    second.close()


def test_one_watcher_acts_for_each_guest(tmp_path: Path) -> None:
    """Locks of different guests are independent."""
    first, second = journal(tmp_path), journal(tmp_path)
    assert first.try_acquire("qmp:a")
    assert second.try_acquire("qmp:b")
    assert not second.try_acquire("qmp:a")
    saved = first.save(Incident("qmp:a", "guest"))
    first.close()
    assert second.try_acquire("qmp:a")
    assert second.get("qmp:a") == saved
    second.close()


async def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    """The callback says so once."""
    first, second = journal(tmp_path), journal(tmp_path)
    assert first.try_acquire()
    standby: list[str] = []

    def on_standby() -> None:
        standby.append("standby")
        first.close()

    await asyncio.wait_for(second.acquire("", on_standby), 60)
    assert standby == ["standby"]
    second.close()


def test_a_file_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    """A domain's XML may contain passwords."""
    tmp_path.chmod(0o755)
    one = journal(tmp_path)
    assert one.try_acquire()
    one.save(Incident("key", "guest", xml="<domain/>"))
    assert (tmp_path / "key.json").stat().st_mode & 0o777 == 0o600
    one.close()


def test_incidents_of_an_earlier_boot_are_removed(tmp_path: Path) -> None:
    """Their guests may run on another host now."""
    one = journal(tmp_path)
    assert one.try_acquire()
    one.save(Incident("key", "guest", begun=True, finished=False))
    one.close()
    one = journal(tmp_path, boot_id="another")
    assert one.try_acquire()
    assert one.incidents() == []
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    one.close()


def test_a_file_of_version_0_1_0_is_read(tmp_path: Path) -> None:
    """Names in JSON do not change; this file is what it wrote."""
    old = {
        "key": "key",
        "name": "guest",
        "trouble": "panicked",
        "duty": {"action": "restart", "coredump": True},
        "instance": "7",
        "ran": 123,
        "at": 1.0,
        "failed": "no space",
        "over": False,
        "put_aside": "restart",
        "boot": "boot",
    }
    (tmp_path / "key.json").write_text(json.dumps(old), encoding="utf-8")
    one = journal(tmp_path)
    assert one.try_acquire()
    found = one.get("key")
    assert found
    assert (found.failure, found.action, found.cpu_time) == ("panicked", Action("restart", True), 123)
    assert (found.error, found.resolved, found.overridden) == ("no space", False, "restart")
    assert json.loads(msgspec.json.encode(found)) == old
    one.close()


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"",
        b"7",
        b'{"key": "a", "name": "\xff"}',
        b'{"x": ' + b"[" * 100_000,
        b'{"key": "a"}',
        b'{"key": "a", "name": 7}',
        b'{"key": "a", "name": "guest", "at": ' + b"9" * 5000 + b"}",
        b'{"key": "other", "name": "guest", "boot": "boot"}',
        b'{"key": "a", "name": "guest", "xml": "' + b"x" * 2**24 + b'"}',
    ],
    ids=lambda content: repr(content[:20]),
)
def test_a_file_that_cannot_be_used_is_left_out(content: bytes, tmp_path: Path) -> None:
    """A line says so, the others are used, and the watcher starts."""
    one = journal(tmp_path)
    assert one.try_acquire()
    one.save(Incident("b", "guest"))
    one.close()
    (tmp_path / "a.json").write_bytes(content)
    warnings: list[str] = []
    one = journal(tmp_path, warnings)
    assert one.try_acquire()
    assert [incident.key for incident in one.incidents()] == ["b"]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{tmp_path}/a.json: ")
    one.close()


def test_what_is_not_a_file_is_left_out(tmp_path: Path) -> None:
    """A directory, for example."""
    (tmp_path / "a.json").mkdir()
    warnings: list[str] = []
    one = journal(tmp_path, warnings)
    assert one.try_acquire()
    assert warnings == [f"{tmp_path}/a.json: not a regular file: it is left out"]
    one.close()


@given(st.binary(max_size=100))
def test_no_content_of_a_file_stops_the_start(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """Whatever was written there."""
    folder = tmp_path_factory.mktemp("journal")
    (folder / "a.json").write_bytes(content)
    one = journal(folder)
    assert one.try_acquire()
    one.close()


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_refused(mode: int, tmp_path: Path) -> None:
    """They could put an incident there, and with it the XML of a domain that is started again."""
    place = tmp_path / "state"
    place.mkdir()
    place.chmod(mode)
    with pytest.raises(FileError, match="other users may write to it"):
        Journal(place, print).try_acquire()
    assert list(place.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "state"
    place.mkdir(mode=0o700)
    os.chown(place, 65533, 65533)
    for folder in (place, place / "below"):
        with pytest.raises(FileError, match="other users may write to it"):
            Journal(folder, print).try_acquire()


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    """The error names the option."""
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="--state-dir"):
        journal(tmp_path / "file" / "state").try_acquire()


@given(st.text(min_size=1, max_size=300))
def test_every_key_has_a_file(tmp_path_factory: pytest.TempPathFactory, key: str) -> None:
    """Of its own name, which is valid however the guest is called."""
    folder = tmp_path_factory.mktemp("journal")
    one = journal(folder)
    assert one.try_acquire()
    one.save(Incident(key, "guest"))
    one.close()
    assert one.try_acquire(key)
    one.close()
    assert len(list(folder.glob("*.json"))) == 1
    again = journal(folder)
    assert again.try_acquire()
    assert again.get(key)
    again.close()


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd's, if it sets one up for the service."""
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two")
    assert default_folder() == Path("/var/lib/one")
    monkeypatch.delenv("STATE_DIRECTORY")
    assert default_folder().name == "onpanic"
    assert subfolder(Path("/x"), "a") != subfolder(Path("/x"), "b")
