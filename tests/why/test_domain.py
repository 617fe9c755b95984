"""Last words of libvirt domains, which stay as they are."""

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from onpanic.core.libvirt_api import register_monitor_events
from onpanic.why.memory.domain_memory import domain_memory
from onpanic.why.memory.reading import MemoryFault
from onpanic.why.readers.from_domain import words_in_domain

from ..running.libvirtd import EVERY, HOST, folder_of
from ..watch import panicking_guests as guests

pytestmark = [pytest.mark.libvirt, pytest.mark.emulators]

XML = """\
<domain type="qemu">
  <name>{name}</name>
  <memory unit="MiB">16</memory>
  <os><type arch="x86_64" machine="pc">hvm</type></os>
  <features><acpi/>{features}</features>
  <on_crash>preserve</on_crash>
  <devices>
    <disk type="file"><source file="{disk}"/><target dev="hda" bus="ide"/></disk>
    <panic model="isa"/>
  </devices>
</domain>
"""
PANICKED = [6, 1]
NOT_LOADED = (
    "the guest has not loaded qemu_fw_cfg, the driver of the vmcoreinfo device; "
    "onpanic why --search searches its memory"
)


def start(connection: Any, uri: str, content: bytes, features: str = "<vmcoreinfo state='on'/>") -> Any:
    disk = folder_of(uri) / "why.img"
    guests.disk(disk, content)
    return connection.createXML(XML.format(name="why", disk=disk, features=features))


def left(folder: Path) -> list[Path]:
    """Return what a reading has left in a folder."""
    return list(folder.glob("onpanic-why-*"))


@pytest.mark.libvirts(*EVERY)
def test_nothing_changes(connection: Any, uri: str) -> None:
    """A panicked domain can be read again and again; the notes are those of its dump."""
    events: list[str] = []
    register_monitor_events(connection, ".*", lambda _domain, event, _data: events.append(event))
    one = start(connection, uri, guests.panics())
    guests.until(lambda: one.state() == PANICKED)
    place = folder_of(uri)
    before, events[:] = threading.active_count(), []
    for _ in range(20):
        words = words_in_domain(one, folders=(place,))
        assert (words.architecture, words.notes) == ("i386", (NOT_LOADED,))  # it is in real mode
    assert one.state() == PANICKED
    assert one.jobStats() == {"type": 0}
    guests.until(lambda: len(events) >= 20)
    assert set(events) - {"GUEST_PANICKED", "STOP"} == {"DUMP_COMPLETED"}  # those of the panic may be late
    guests.until(lambda: threading.active_count() <= before)
    assert left(place) == []
    log = (place / "qemu/log/why.log").read_text()
    assert "tainted" not in log
    with domain_memory(one, time.monotonic() + 60) as memory:
        code = memory.fetch(0x7C00, 3 << 20)
        assert code[:512] == guests.panics()
        assert memory.fetch(0x7C00, 4) == code[:4]


def has_job(one: Any) -> bool:
    """Return whether libvirt works on a domain; it cannot say so while it notices that a dump has failed."""
    try:
        return bool(one.jobStats() != {"type": 0})
    except Exception as error:
        if "dump query failed" not in str(error):
            raise
        return True


@pytest.mark.libvirts(HOST)
def test_nothing_is_left_if_it_is_killed(connection: Any, uri: str) -> None:
    """libvirt is done with the domain, and the FIFO is gone, soon after."""
    one = start(connection, uri, guests.panics())
    guests.until(lambda: one.state() == PANICKED)
    place = folder_of(uri)
    command = [sys.executable, "-m", "onpanic", "why", "--connect", uri, "--domain", "why"]
    for number in range(6):
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(place)}
        )
        while not has_job(one) and process.poll() is None:
            pass  # until the dump has begun
        time.sleep(0.01 * number)  # it is also killed when it has read what it needs
        process.kill()
        process.wait()
        guests.until(lambda: not left(place))
        guests.until(lambda: not has_job(one))
    assert words_in_domain(one, folders=(place,)).architecture == "i386"


def commands_with(word: str) -> list[bytes]:
    """Return the command lines with a word in them, of all users' processes."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            lines.append(file.read_bytes())
    return [line for line in lines if word.encode() in line]


def test_no_other_user_learns_the_name_of_the_fifo(tmp_path: Path) -> None:
    """Everybody may write to it, since libvirt may run as another user; no command line names it."""
    seen: list[Path] = []

    class Domain:
        def coreDumpWithFormat(self, path: str, *_: int) -> None:  # noqa: N802
            seen.append(Path(path))
            assert not commands_with(path)
            assert not Path(path).stat().st_mode & 0o044
            assert not Path(path).parent.stat().st_mode & 0o044
            raise OSError

    with (
        domain_memory(Domain(), time.monotonic() + 10, (tmp_path,)) as memory,
        pytest.raises(MemoryFault, match="OSError"),
    ):
        memory.headers()
    assert len(seen[0].name) == 32
    assert left(tmp_path) == []


def test_a_domain_that_runs_is_left_alone(connection: Any, uri: str) -> None:
    one = start(connection, uri, guests.waits())
    words = words_in_domain(one)
    assert (words.torn, words.panicked) == (True, False)
    assert words.notes[0].startswith("the guest is running")
    assert one.state()[0] == 1
    one.suspend()
    assert words_in_domain(one).notes == (NOT_LOADED,)
    assert one.state()[0] == 3
    one.destroy()


def test_a_domain_without_the_device(connection: Any, uri: str) -> None:
    """The note says how to add it."""
    one = start(connection, uri, guests.panics(), "")
    guests.until(lambda: one.state() == PANICKED)
    (note,) = words_in_domain(one).notes
    assert "<features><vmcoreinfo state='on'/></features>" in note


def test_a_folder_that_libvirt_cannot_open(connection: Any, uri: str, tmp_path: Path) -> None:
    """Another one is tried; otherwise the note says so in libvirt's words, and nothing is left."""
    if os.geteuid() != 0:
        pytest.skip("libvirt runs as the same user")
    one = start(connection, uri, guests.panics())
    guests.until(lambda: one.state() == PANICKED)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert words_in_domain(one, folders=(closed, None)).notes == (NOT_LOADED,)
    (note,) = words_in_domain(one, folders=(closed,)).notes
    assert note.startswith("libvirt: ")
    assert "Permission denied" in note
    assert left(closed) == []


def test_a_libvirt_that_is_busy(connection: Any, libvirt: Any, uri: str) -> None:
    """What it does is not waited for, and not disturbed."""
    one = start(connection, uri, guests.panics())
    guests.until(lambda: one.state() == PANICKED)
    place = folder_of(uri)
    fifo = place / "why.fifo"
    with suppress(FileExistsError):
        os.mkfifo(fifo)
    fifo.chmod(0o666)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    other = libvirt.open(uri)

    def dump() -> None:
        with suppress(libvirt.libvirtError):  # given up below
            flags = libvirt.VIR_DUMP_MEMORY_ONLY
            other.lookupByName("why").coreDumpWithFormat(str(fifo), 0, flags)

    dumping = threading.Thread(target=dump)
    dumping.start()
    try:
        guests.until(lambda: one.jobStats()["type"] != 0)
        (note,) = words_in_domain(one).notes
        assert note.startswith("libvirt works on the domain")
        with domain_memory(one, time.monotonic() + 0.2, (place,)) as memory, pytest.raises(MemoryFault):
            memory.headers()
    finally:
        os.close(reader)
        dumping.join(guests.DEADLINE)
    assert not dumping.is_alive()
    guests.until(lambda: left(place) == [])  # what was too late has been taken back
    assert one.state() == PANICKED
    other.close()


def test_another_driver(test_driver: Any) -> None:
    """A domain of libvirt's test driver has no QEMU whose memory could be read."""
    (domain,) = test_driver.listAllDomains()
    assert words_in_domain(domain).notes == ("only domains of libvirt's QEMU driver can be read",)
