"""Domains of a played libvirt whose state libvirt alone does not know."""

from functools import partial
from pathlib import Path

import pytest

from onpanic.core.errors import RefusedError
from onpanic.core.libvirt_api import libvirt_module
from onpanic.shims.guests.dump_folder import dump_folder
from onpanic.shims.guests.guest_status import status_of_domain
from onpanic.shims.guests.resume import resume_domain
from onpanic.watch import watch_domains
from onpanic.watch.guests.libvirt_connection import LibvirtConnection
from onpanic.watch.guests.libvirt_guest import LibvirtGuest
from onpanic.watch.guests.watched_domain import WatchedDomain
from onpanic.watch.rules.settings import Settings

from ..played.libvirt import PlayedDomain, PlayedLibvirt
from .running import RunningWatcher
from .test_played_domains import policy_of, xml

RUNNING, PAUSED, CRASHED, SHUT_DOWN = 1, 3, 6, 4
USER, MIGRATION, IO_ERROR, FROM_SNAPSHOT, API_ERROR = 1, 2, 5, 7, 14
RUNNING_CRASHED = 9

# What libvirt shows of a guest that has panicked: it is running, or paused for another reason
UNNOTICED = [
    (RUNNING, RUNNING_CRASHED),
    (PAUSED, USER),
    (PAUSED, MIGRATION),
    (PAUSED, FROM_SNAPSHOT),
    (PAUSED, API_ERROR),
]


def unnoticed(
    played: PlayedLibvirt, policy: str, state: tuple[int, int], on_crash: str = "preserve"
) -> PlayedDomain:
    """Return a domain that has panicked, which only QEMU knows."""
    domain = played.add(xml(policy_of(policy, on_crash), on_crash))
    domain.run_state, domain.state = "guest-panicked", state
    return domain


@pytest.mark.parametrize("state", UNNOTICED)
@pytest.mark.parametrize(
    ("policy", "last"),
    [
        ("ignore", ("continue", "done")),
        ("restart", ("restart", "done")),
        ("destroy", ("destroy", "done")),
        ("pause", ("pause", "kept")),
        ("rename-restart", ("start", "done")),
    ],
)
async def test_the_watcher_asks_qemu(
    policy: str, last: tuple[str, str], state: tuple[int, int], played_libvirt: PlayedLibvirt, tmp_path: Path
) -> None:
    """The policy is carried out."""
    domain = unnoticed(played_libvirt, policy, state)
    async with RunningWatcher(partial(watch_domains, None), tmp_path, once=True) as watcher:
        await watcher.end()
        assert watcher.actions[-1] == last
    ends = {"destroy": "", "pause": "guest-panicked"}
    assert domain.run_state == ends.get(policy, "running")


@pytest.mark.parametrize("state", UNNOTICED)
def test_status_and_resume_ask_qemu(state: tuple[int, int], played_libvirt: PlayedLibvirt) -> None:
    """The guest panicked, and is continued."""
    domain = unnoticed(played_libvirt, "preserve", state)
    found = libvirt_module().open(None).lookupByName("guest")
    status = status_of_domain(found)
    assert (status.state, status.said["QEMU"]) == ("panicked", "guest-panicked")
    done = resume_domain(found)
    assert (done.how, done.before) == ("cont", "guest-panicked")
    assert done.after.startswith("running")
    assert domain.run_state == "running"
    assert status_of_domain(found).state == "running"


@pytest.mark.parametrize("state", UNNOTICED)
async def test_a_guest_that_did_not_panic_is_left_alone(
    state: tuple[int, int], played_libvirt: PlayedLibvirt, tmp_path: Path
) -> None:
    """It runs after a panic, or was paused."""
    domain = unnoticed(played_libvirt, "destroy", state, "destroy")
    domain.run_state = "running" if state[0] == RUNNING else "paused"
    async with RunningWatcher(partial(watch_domains, None), tmp_path, once=True) as watcher:
        await watcher.end()
        assert watcher.actions == []
    assert domain.state == state


def test_a_connection_that_may_only_read_cannot_tell(played_libvirt: PlayedLibvirt) -> None:
    """The state is unknown, with libvirt's reason."""
    unnoticed(played_libvirt, "preserve", (PAUSED, USER))
    status = status_of_domain(libvirt_module().openReadOnly(None).lookupByName("guest"))
    assert status.state == "unknown"
    assert "read only access" in status.meaning


@pytest.mark.parametrize("reset_ends", ["", "<on_reboot>destroy</on_reboot>"])
def test_a_reset_that_would_end_the_guest_is_refused(reset_ends: str, played_libvirt: PlayedLibvirt) -> None:
    """Neither `resume` nor the commands that `status` prints use one."""
    document = xml(policy_of("preserve")).replace("<on_crash>", f"{reset_ends}<on_crash>")
    domain = played_libvirt.add(document)
    domain.stop("internal-error")
    found = libvirt_module().open(None).lookupByName("guest")
    resets = [how for _, how in status_of_domain(found).remedies if "reset" in how]
    if not reset_ends:
        assert resets
        assert resume_domain(found, allow_reset=True).how == "reset"
        return
    assert resets == []
    with pytest.raises(RefusedError, match="reset-ends-guest"):
        resume_domain(found, allow_reset=True)
    assert domain.run_state == "internal-error"


async def test_a_libvirt_that_still_connects_to_its_qemus(
    played_libvirt: PlayedLibvirt, tmp_path: Path
) -> None:
    """Its states are those of before, until it has; no event reports the change."""
    domain = played_libvirt.add(xml(policy_of("ignore")))
    domain.occupied = True
    reads = 0

    def connect_to_qemu() -> None:
        nonlocal reads
        reads += 1
        if reads == 3:
            domain.occupied, domain.run_state, domain.state = False, "guest-panicked", (CRASHED, 1)

    played_libvirt.on("controlInfo", connect_to_qemu, times=3)
    async with RunningWatcher(partial(watch_domains, None), tmp_path, once=True) as watcher:
        await watcher.end()
        assert watcher.actions == [("continue", "done")]


async def test_a_guest_that_libvirt_ends_is_no_reason_to_wait(played_libvirt: PlayedLibvirt) -> None:
    """Its process is gone before libvirt shows it as off, so its CPU time cannot be read."""
    domain = played_libvirt.add()
    domain.panic()
    connection = LibvirtConnection(None, lambda _: None, print)
    await connection.open()
    guest = LibvirtGuest(WatchedDomain(connection, domain.uuid, "guest", Settings, lambda: False, print))
    assert not (await guest.read_state(ask_qemu=True)).busy
    code = libvirt_module().VIR_ERR_SYSTEM_ERROR
    played_libvirt.fail("vcpus", code, "cannot get CPU affinity of process 1: No such process")
    domain.occupied = True
    assert (await guest.read_state(ask_qemu=True)).busy
    await connection.close()


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ('auto_dump_path = "/srv/dumps"', "/srv/dumps"),
        ("auto_dump_path='/srv/dumps'\n", "/srv/dumps"),
        ('#auto_dump_path = "/not"\n  auto_dump_path = "/srv/dumps" # here', "/srv/dumps"),
        ('auto_dump_path = "/first"\nauto_dump_path = "/srv/dumps"', "/srv/dumps"),
        ('auto_dump_path = ""', ""),
        ('save_image_format = "raw"', ""),
        ("auto_dump_path = 3", ""),
    ],
)
def test_auto_dump_path(setting: str, expected: str, tmp_path: Path) -> None:
    """Of the system's libvirt, an embedded one, and one that its socket names."""
    conf = tmp_path / "etc/qemu.conf"
    conf.parent.mkdir()
    for path in (conf, tmp_path / "qemu.conf"):
        path.write_text(f"# a comment\n{setting}\n")
    assert dump_folder("qemu:///system", (str(conf), "/default")) == (expected or "/default")
    embed = dump_folder(f"qemu:///embed?root={tmp_path}")
    assert embed == (expected or f"{tmp_path}/lib/qemu/dump")
    session = dump_folder(f"qemu+unix:///session?socket={tmp_path}/libvirt-sock")
    assert session == (expected or f"{tmp_path}/qemu/dump")
    assert dump_folder("qemu+ssh://elsewhere/system", (str(conf), "/default")) == "/default"


def test_auto_dump_path_of_the_users_libvirt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the same whether the URI names the socket or not."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    conf = tmp_path / "config/libvirt/qemu.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text('auto_dump_path = "/srv/dumps"\n')
    assert dump_folder("qemu:///session") == "/srv/dumps"
    socket = tmp_path / "run/libvirt/libvirt-sock"
    assert dump_folder(f"qemu+unix:///session?socket={socket}") == "/srv/dumps"


async def test_a_panic_that_libvirt_has_not_come_to(played_libvirt: PlayedLibvirt, tmp_path: Path) -> None:
    """libvirt handles one panic after the other; the guest that waits is shown as paused."""
    slow = played_libvirt.add(xml(policy_of("preserve"), name="slow"))
    domain = unnoticed(played_libvirt, "restart", (PAUSED, 0), "restart")
    slow.state, slow.run_state, slow.occupied = (CRASHED, 1), "guest-panicked", True
    connection = LibvirtConnection(None, lambda _: None, print)
    await connection.open()
    guest = LibvirtGuest(
        WatchedDomain(connection, domain.uuid, "guest", Settings, lambda: False, print), unhandled=0.0
    )
    for _ in range(2):
        assert (await guest.read_state(ask_qemu=True)).condition == "changing"
    slow.occupied = False
    assert (await guest.read_state(ask_qemu=True)).condition == "panicked"
    await connection.close()
