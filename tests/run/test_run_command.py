"""What a user's command says, and what is added to it."""

import pytest

from onpanic.core.errors import UsageError
from onpanic.run.run_command import read_command

ADDED = ["-no-shutdown", "-readconfig", "/proc/self/fd/9"]


def test_what_is_added_comes_last() -> None:
    """QEMU uses the last of some options, and the user's words stay as they are."""
    command = ["nice", "/usr/bin/qemu-system-x86_64", "-m", "1G", "-serial", "mon:stdio", "-no-reboot"]
    read = read_command(command)
    added = read.with_monitor(("pvpanic", "vmcoreinfo"), 9)
    assert added == [*command, "-device", "pvpanic", "-device", "vmcoreinfo", *ADDED]


@pytest.mark.parametrize(
    ("command", "notifier", "vmcoreinfo"),
    [
        ("qemu-system-x86_64", False, False),
        ("qemu-system-x86_64 -device pvpanic", True, False),
        ("qemu-system-x86_64 --device pvpanic-pci,addr=4", True, False),
        ("qemu-system-x86_64 -device vmcoreinfo", False, True),
        ('qemu-system-x86_64 -device {"driver":"pvpanic"}', True, False),
        ("qemu-system-aarch64 -M virt", False, False),
        ("qemu-system-s390x", True, False),
        ("qemu-system-ppc64", True, False),
        ("qemu-system-ppc64 -M pseries-9.0", True, False),
        ("qemu-system-ppc64 -M powernv", False, False),
        ("qemu-system-riscv64 -M virt", False, False),
    ],
)
def test_which_devices_it_has(command: str, notifier: bool, vmcoreinfo: bool) -> None:
    read = read_command(command.split())
    assert (read.has_notifier, read.has_vmcoreinfo) == (notifier, vmcoreinfo)


@pytest.mark.parametrize(
    ("command", "runs"),
    [
        ("qemu-system-x86_64 -m 1G", True),
        ("qemu-system-x86_64 -version", False),
        ("qemu-system-x86_64 -machine help", False),
        ("qemu-system-x86_64 -device pvpanic,?", False),
    ],
)
def test_whether_it_runs_a_machine(command: str, runs: bool) -> None:
    assert read_command(command.split()).runs == runs


@pytest.mark.parametrize(
    ("command", "wrapper"),
    [
        ("qemu-system-x86_64", ""),
        ("ssh host qemu-system-x86_64 -m 1G", "ssh"),
        ("timeout 10 /opt/bin/qemu-system-aarch64", "timeout"),
        ("/usr/libexec/qemu-kvm", ""),
    ],
)
def test_what_starts_it(command: str, wrapper: str) -> None:
    """The program before QEMU's is the wrapper; a path to QEMU is none."""
    assert read_command(command.split()).wrapper == wrapper


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["./run-tests.sh", "-k", "bzImage"], "names QEMU"),
        (["sh", "-c", "qemu-system-x86_64 -m 1G"], "names QEMU"),
        (["sh", "-c", "qemu-system-x86_64", "-m", "1G"], "names QEMU"),
        (["qemu-system-x86_64", "-daemonize"], "-daemonize"),
    ],
    ids=["script", "shell", "words", "daemon"],
)
def test_what_is_refused(command: list[str], said: str) -> None:
    """A command to which nothing can be added, and one whose end cannot be waited for."""
    with pytest.raises(UsageError, match=said) as refused:
        read_command(command)
    assert refused.value.hint
