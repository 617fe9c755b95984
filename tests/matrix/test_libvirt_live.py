"""Records of real libvirts: collected as users do, equal to the published ones, and nothing is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from onpanic.core.errors import SourceError
from onpanic.matrix import LibvirtRecord, published
from onpanic.matrix.collecting.suite_libvirts import record_suite_libvirt
from onpanic.matrix.debian import Root
from onpanic.matrix.libvirts.libvirt_files import libvirt_files, read_libvirt
from onpanic.matrix.libvirts.libvirt_questions import GuestPlan
from onpanic.matrix.libvirts.libvirt_table import libvirt_changes
from onpanic.matrix.lint import lint_libvirt

from ..running.libvirtd import HOST, folder_of, process_behind, restarted

pytestmark = [pytest.mark.libvirt, pytest.mark.emulators, pytest.mark.processes]

Run = Callable[..., subprocess.CompletedProcess[str]]


def published_record(version: str) -> LibvirtRecord | None:
    """Return the published record of a version of libvirt with QEMU; None if there is none."""
    of_qemu = (one for one in published().libvirts.values() if one.libvirt.driver == "QEMU")
    found = (one for one in of_qemu if one.libvirt.version == version)
    return next(found, None)


def test_a_libvirt_is_collected(
    onpanic: Run,
    libvirt: Any,
    libvirt_name: str,
    libvirtd: Callable[[], AbstractContextManager[str]],
    tmp_path: Path,
) -> None:
    """What is seen is what is published.  Nothing of the guests is left, and the user's domain is.

    The host's libvirt has another ``auto_dump_path``, and its socket is in another folder than its files: the
    dumps are found there, and none is left.
    """
    own = "<domain type='qemu'><name>own</name><memory>16384</memory><os><type>hvm</type></os></domain>"
    with ExitStack() as stack:
        uri = stack.enter_context(libvirtd())
        folder = folder_of(uri)
        if libvirt_name == HOST:
            with (folder / "qemu.conf").open("a") as conf:
                conf.write(f'auto_dump_path = "{folder}/elsewhere"\n')
            stack.enter_context(restarted(uri))
        connection = stack.enter_context(closing(libvirt.open(uri)))
        connection.defineXML(own)
        linked = tmp_path / "sock"
        linked.symlink_to(folder / "libvirt-sock")
        named = f"qemu+unix:///session?socket={linked}" if libvirt_name == HOST else uri
        done = onpanic("matrix", "collect", "-q", "-o", str(tmp_path / "records"), "--libvirt", named)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert [domain.name() for domain in connection.listAllDomains()] == ["own"]
        files = [path for path in folder.rglob("*onpanic-*") if path.is_file()]
        assert files == []
        assert libvirt_name != HOST or list((folder / "elsewhere").iterdir()) == []
        [path] = libvirt_files(tmp_path / "records")
        record = read_libvirt(path)
        assert record.libvirt.version == version_of(connection)
    ends = [guest.end for guest in record.guests if guest.on_crash == "coredump-destroy"]
    assert "elf" in [end.dump for end in ends if end]
    assert lint_libvirt(path.stem, record) == []
    expected = published_record(record.libvirt.version)
    assert expected is None or libvirt_changes(expected, record) == []


def version_of(connection: Any) -> str:
    number = connection.getLibVersion()
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


@pytest.mark.parametrize("times", [1, 9])
def test_a_suite_whose_daemon_ends_is_started_again(
    times: int,
    libvirt: Any,
    debian_root: Callable[[str], Root],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not for ever: the error is then that of the last attempt."""
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    announced: list[str] = []
    killed: list[int] = []

    def end_it(plan: GuestPlan) -> bool:
        """Choose one guest, but kill the daemon before it is started, in the first attempts."""
        attempts = sum("starting guests" in text for text in announced)
        if len(killed) < min(attempts, times):
            [path] = folder.glob("*/libvirt/libvirt-sock")
            killed.append(process_behind(path))
            os.kill(killed[-1], signal.SIGKILL)
        return plan == GuestPlan("preserve", persistent=True)

    if times == 1:
        record = record_suite_libvirt(debian_root("sid"), announced.append, wanted=end_it)
        assert [(guest.on_crash, guest.problem) for guest in record.guests] == [("preserve", "")]
        assert record.source == "Debian sid"
    else:
        with pytest.raises(SourceError, match="libvirtd of sid ended with the exit status 137"):
            record_suite_libvirt(debian_root("sid"), announced.append, wanted=end_it)
    assert len(killed) == min(times, 3)
    assert announced[1].startswith("libvirtd of sid ended with the exit status 137: ")


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
