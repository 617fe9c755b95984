"""What a host says about itself: KVM, the operating system, and an identifier that is not its machine ID."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from onpanic.fleet.collecting.host_kvm import host_kvm
from onpanic.fleet.collecting.host_system import APPLICATION_ID, host_id, host_system

VERSION, EXTENSION = 0xAE00, 0xAE03


def kvm(answers: dict[int, int | OSError], architecture: str = "x86_64") -> tuple[str, str, str]:
    """Return what is recorded of a KVM with these answers to requests."""

    def ioctl(_descriptor: int, request: int, _argument: int) -> int:
        answer = answers[request]
        if isinstance(answer, OSError):
            raise answer
        return answer

    found = host_kvm(Path(os.devnull), architecture, ioctl)
    return found.usable, found.hyperv, found.detail


def test_kvm_with_hyperv() -> None:
    detail = "KVM's API has version 12; KVM_CAP_HYPERV: 1"
    assert kvm({VERSION: 12, EXTENSION: 1}) == ("yes", "yes", detail)
    assert kvm({VERSION: 12, EXTENSION: 0})[:2] == ("yes", "no")


def test_kvm_of_another_architecture_is_not_asked_about_hyperv() -> None:
    assert kvm({VERSION: 12}, "s390x")[:2] == ("yes", "no")


def test_kvm_of_another_version() -> None:
    assert kvm({VERSION: 10}) == ("no", "unknown", "KVM's API has version 10, not 12")


def test_a_device_that_is_not_kvm() -> None:
    """The kernel's own words."""
    found = host_kvm(Path(os.devnull), "x86_64")
    assert (found.usable, found.hyperv) == ("no", "unknown")
    assert found.detail == f"{os.devnull}: ioctl: {os.strerror(25)}"


def test_no_kvm(tmp_path: Path) -> None:
    found = host_kvm(tmp_path / "kvm", "x86_64")
    assert (found.usable, found.hyperv) == ("no", "no")
    assert found.detail == f"{tmp_path}/kvm: {os.strerror(2)}"


def test_kvm_that_may_not_be_opened(tmp_path: Path) -> None:
    """Whether it has Hyper-V's enlightenments is then not known."""
    found = host_kvm(tmp_path, "x86_64")
    assert (found.usable, found.hyperv, found.detail) == ("no", "unknown", f"{tmp_path}: {os.strerror(21)}")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('NAME=a\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n', "Debian GNU/Linux 12 (bookworm)"),
        ("PRETTY_NAME=Arch\n", "Arch"),
        ("PRETTY_NAME='it'\"'\"'s'\n", "it's"),
        ('PRETTY_NAME="open\x1b[31m\n', '"open [31m'),
        ("NAME=a\n", ""),
        ("", ""),
    ],
)
def test_the_operating_system(text: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text(text)
    files = (tmp_path / "missing", tmp_path / "os-release", tmp_path)
    assert host_system(files, os.uname()).os == name


def test_a_host_without_os_release(tmp_path: Path) -> None:
    found = host_system((tmp_path / "missing", tmp_path), os.uname())
    assert (found.os, found.kernel) == ("", os.uname().release)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_not_read(make: Callable[[Path], None], tmp_path: Path) -> None:
    """Nothing may ever be written to a pipe."""
    make(tmp_path / "odd")
    assert host_system((tmp_path / "odd",), os.uname()).os == ""
    assert host_id(tmp_path / "odd") is None


def test_the_identifier_does_not_disclose_the_machine_id(tmp_path: Path) -> None:
    """It is that of sd_id128_get_machine_app_specific(3): a UUID of version 4, the same each time."""
    file = tmp_path / "machine-id"
    file.write_text("b642b4217b34b1e8d3bd915fc65c4452\n")
    assert host_id(file) == host_id(file) == "b070699599224b3791197366be82fef9"


@pytest.mark.parametrize("text", ["", "uninitialized\n", "0" * 32, "b642b421", "ü" * 32])
def test_a_host_without_a_machine_id_has_no_identifier(text: str, tmp_path: Path) -> None:
    assert host_id(tmp_path / "missing") is None
    (tmp_path / "machine-id").write_text(text)
    assert host_id(tmp_path / "machine-id") is None


@pytest.mark.consumers
def test_systemd_derives_the_same_identifier(unavailable: Callable[[str], NoReturn]) -> None:
    program = shutil.which("systemd-id128") or unavailable("no systemd-id128 here")
    command = [program, "machine-id", f"--app-specific={APPLICATION_ID.hex}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        unavailable(done.stderr)
    assert host_id(Path("/etc/machine-id")) == done.stdout.strip()
