"""Records of real libvirts: collected as users do, equal to the published ones, and nothing is left."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest

from onpanic.matrix import LibvirtRecord, published
from onpanic.matrix.libvirts.libvirt_files import libvirt_files, read_libvirt
from onpanic.matrix.libvirts.libvirt_table import libvirt_changes
from onpanic.matrix.lint import lint_libvirt

from ..running.libvirtd import folder_of, restarted

pytestmark = [pytest.mark.libvirt, pytest.mark.emulators, pytest.mark.processes]

Run = Callable[..., subprocess.CompletedProcess[str]]


def published_record(version: str) -> LibvirtRecord | None:
    """Return the published record of a version of libvirt; None if there is none."""
    found = (one for one in published().libvirts.values() if one.libvirt.version == version)
    return next(found, None)


def test_a_libvirt_is_collected(
    onpanic: Run, libvirt: Any, libvirtd: Callable[[], AbstractContextManager[str]], tmp_path: Path
) -> None:
    """What is seen is what is published.  Nothing of the guests is left, and the user's domain is."""
    own = "<domain type='qemu'><name>own</name><memory>16384</memory><os><type>hvm</type></os></domain>"
    with libvirtd() as uri, closing(libvirt.open(uri)) as connection:
        connection.defineXML(own)
        done = onpanic("matrix", "collect", "-q", "-o", str(tmp_path / "records"), "--libvirt", uri)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert [domain.name() for domain in connection.listAllDomains()] == ["own"]
        files = [path for path in folder_of(uri).rglob("*onpanic-*") if path.is_file()]
        assert files == []
        [path] = libvirt_files(tmp_path / "records")
        record = read_libvirt(path)
        assert record.libvirt.version == version_of(connection)
    assert lint_libvirt(path.stem, record) == []
    expected = published_record(record.libvirt.version)
    assert expected is None or libvirt_changes(expected, record) == []


@pytest.mark.libvirts("host")
def test_dumps_are_found_where_the_configuration_puts_them(
    onpanic: Run, libvirtd: Callable[[], AbstractContextManager[str]], tmp_path: Path
) -> None:
    """The record has their format, and none is left in ``auto_dump_path``."""
    with libvirtd() as uri:
        folder = folder_of(uri)
        with (folder / "qemu.conf").open("a") as conf:
            conf.write(f'auto_dump_path = "{folder}/elsewhere"\n')
        with restarted(uri):
            done = onpanic("matrix", "collect", "-q", "-o", str(tmp_path / "records"), "--libvirt", uri)
            assert (done.returncode, done.stderr) == (0, "")
            assert list((folder / "elsewhere").iterdir()) == []
    [path] = libvirt_files(tmp_path / "records")
    ends = [guest.end for guest in read_libvirt(path).guests if guest.on_crash == "coredump-destroy"]
    assert "elf" in [end.dump for end in ends if end]


def version_of(connection: Any) -> str:
    number = connection.getLibVersion()
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


@pytest.mark.libvirts("host")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_collection_that_is_ended_leaves_no_guest(
    libvirt: Any, libvirtd: Callable[[], AbstractContextManager[str]], tmp_path: Path, number: signal.Signals
) -> None:
    """It removes its guests before it exits; if it is killed, libvirt ends them."""
    with libvirtd() as uri, closing(libvirt.open(uri)) as connection:
        command = [sys.executable, "-m", "onpanic", "matrix", "collect", "-q", "-o", str(tmp_path)]
        with subprocess.Popen([*command, "--libvirt", uri], stderr=subprocess.PIPE) as process:
            try:
                wait_for(lambda: len(connection.listDomainsID()) >= 3)
                process.send_signal(number)
                assert process.wait(90) != 0
            finally:
                process.kill()
        if number == signal.SIGTERM:
            assert connection.listAllDomains() == []
            assert [path for path in folder_of(uri).rglob("*onpanic-*") if path.is_file()] == []
        wait_for(lambda: connection.listDomainsID() == [])


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; fail after a minute and a half."""
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
