"""The libvirts of Debian suites run beside each other with their own emulators, and leave nothing behind."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from onpanic.core.errors import FetchError, SourceError
from onpanic.matrix.debian import Root
from onpanic.matrix.sources.debian_libvirts import SuiteLibvirt, libvirt_of

from ..running.libvirtd import EVERY, HOST, process_behind
from ..running.processes import survivors_of

SUITES = [name for name in EVERY if name != HOST]
GUEST = """\
<domain type="qemu">
  <name>{name}</name>
  <memory unit="MiB">16</memory>
  <os><type arch="x86_64" machine="pc">hvm</type></os>
  <devices/>
</domain>
"""
# Starts a guest and is killed
KILLED = f"""\
import os, sys
from pathlib import Path
import libvirt
from onpanic.matrix.sources.debian_libvirts import libvirt_of
from onpanic.matrix.sources.debian_suites import Root
with libvirt_of(Root(Path(sys.argv[1]), sys.argv[2])) as daemon:
    libvirt.open(daemon.uri).createXML('''{GUEST.format(name="guest")}''')
    print(daemon.folder, flush=True)
    os.kill(os.getpid(), 9)
"""


def test_a_suite_that_was_fetched_without_libvirt(tmp_path: Path) -> None:
    """The error names the packages to fetch."""
    with (
        pytest.raises(FetchError, match=r"/usr/sbin/libvirtd is not in the sid .*\nfetch libvirt-daemon"),
        libvirt_of(Root(tmp_path, "sid")),
    ):
        raise AssertionError


@pytest.mark.libvirt
@pytest.mark.emulators
@pytest.mark.parametrize("suite", SUITES)
def test_a_guest_of_a_suite(suite: str, debian_root: Callable[[str], Root], libvirt: Any) -> None:
    """The suite's own emulator runs it, whose path is that of the same emulator outside."""
    with libvirt_of(debian_root(suite)) as daemon, libvirt_of(debian_root(suite)) as other:
        assert other.folder != daemon.folder
        connection = libvirt.open(daemon.uri)
        capabilities = connection.getDomainCapabilities(arch="x86_64")
        emulator = capabilities.partition("<path>")[2].partition("</path>")[0]
        said = subprocess.run([emulator, "--version"], capture_output=True, text=True, timeout=60, check=True)
        number = connection.getVersion()
        version = f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
        assert f"version {version} " in said.stdout
        domain = connection.createXML(GUEST.format(name="guest"))
        assert domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
        assert f"<emulator>{emulator}</emulator>" in domain.XMLDesc()
        connection.close()
        folders = [daemon.folder, other.folder]
    assert [survivors_of(str(folder)) for folder in folders] == [{}, {}]
    assert [folder for folder in folders if folder.exists()] == []


@pytest.mark.libvirt
@pytest.mark.emulators
def test_a_guest_is_not_left_when_its_owner_is_killed(
    debian_root: Callable[[str], Root], libvirt: Any, folder: Path
) -> None:
    """Nobody could end it afterwards."""
    root = debian_root("sid")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(root.path), root.suite],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert survivors_of(done.stdout.strip()) == {}


@pytest.mark.emulators
def test_a_daemon_that_ends(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error contains what it printed last; nothing is left."""
    programs = tmp_path / "root/usr"
    for name in ("bin/setpriv", "sbin/libvirtd"):
        (programs / name).parent.mkdir(parents=True)
        (programs / name).touch()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with (
        pytest.raises(FetchError, match=r"libvirtd of sid ended: .*Permission denied"),
        libvirt_of(Root(tmp_path / "root", "sid")),
    ):
        raise AssertionError
    assert list(folder.iterdir()) == []


@pytest.mark.emulators
@pytest.mark.parametrize(
    ("killed", "said"), [(True, r"libvirtd of sid ended with the exit status 137: "), (False, "^refused$")]
)
def test_an_error_tells_whether_the_daemon_has_ended(
    killed: bool, said: str, debian_root: Callable[[str], Root]
) -> None:
    """Its log is gone afterwards."""

    def refuse(daemon: SuiteLibvirt) -> NoReturn:
        if killed:
            os.kill(process_behind(daemon.folder / "libvirt/libvirt-sock"), signal.SIGKILL)
        raise SourceError("refused", "try again")

    with pytest.raises(SourceError) as caught, libvirt_of(debian_root("sid")) as daemon:
        refuse(daemon)
    assert re.search(said, caught.value.message)


@pytest.mark.emulators
def test_a_daemon_that_is_not_ready_in_time(
    debian_root: Callable[[str], Root], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says so, and nothing is left, not even of a bwrap that has hardly begun."""
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    for _ in range(20):
        with (
            pytest.raises(FetchError, match="libvirtd of sid does not accept connections after 0 s"),
            libvirt_of(debian_root("sid"), seconds=0),
        ):
            raise AssertionError
    assert survivors_of(str(folder)) == {}
