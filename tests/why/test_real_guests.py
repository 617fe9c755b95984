"""Real kernels that really panic: every line is that of the serial console, and the panic is recognised."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, NoReturn

import msgspec
import pytest

from onpanic.core.errors import FetchError
from onpanic.matrix.debian import Root
from onpanic.why import LastWords, words_in_dump, words_through_monitor

from ..running.linux_kernels import ARCHITECTURES
from ..running.linux_lab import boot_linux, panicked_linux
from ..running.panic_commands import TRIGGERS, panicking_linux
from ..watch.panicking_guests import with_folder

pytestmark = pytest.mark.emulators


class Expected(NamedTuple):
    """What is said of a panic: its kind, and how its reason, its cause and the place of the error begin."""

    kind: str
    reason: str
    cause: str = ""
    place: str = ""


NULL = "BUG: kernel NULL pointer dereference, address: 0000000000000000"

#: By the names of `TRIGGERS`.
EXPECTED = {
    "sysrq": Expected("sysrq", "sysrq triggered crash", "", "dump_stack"),
    "nmi": Expected("nmi", "NMI: Not continuing", "Uhhuh. NMI received for unknown reason "),
    "overwritten log": Expected("sysrq", "sysrq triggered crash", "", "dump_stack"),
    "null pointer": Expected("null-pointer", "Fatal exception", NULL, "fw_cfg_sysfs_init+"),
    "null pointer of init": Expected("init-exited", "Attempted to kill init! exitcode=0x00000009", NULL),
    "null pointer of arm64": Expected(
        "null-pointer",
        "Oops: Fatal exception",
        "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000",
        "fw_cfg_sysfs_init+",
    ),
    "page fault": Expected(
        "page-fault", "Fatal exception", "BUG: unable to handle page fault for ", "kfree+"
    ),
    "bug": Expected("bug", "Fatal exception", "kernel BUG at mm/usercopy.c:", "usercopy_abort+"),
    "warning": Expected("warning", "kernel: panic_on_warn set", "WARNING: ", "refcount_warn_saturate+"),
    "stack protector": Expected("stack-corrupted", "stack-protector: Kernel stack is corrupted in: "),
    "stack overflow": Expected("stack-corrupted", "Fatal exception", "BUG: ", "fw_cfg_sysfs_init+"),
    "out of memory": Expected("out-of-memory", "Out of memory: ", "cat invoked oom-killer: "),
    "hung task": Expected("hung-task", "hung_task: blocked tasks", "INFO: task insmod:", "__schedule+"),
    "soft lockup": Expected(
        "soft-lockup",
        "softlockup: hung tasks",
        "watchdog: BUG: soft lockup - CPU#",
        "fw_cfg_sysfs_init+",
    ),
    "init exits": Expected("init-exited", "Attempted to kill init! exitcode=0x00000300"),
    "nested": Expected("sysrq", "sysrq triggered crash"),
}


class Case(NamedTuple):
    """A kernel on a QEMU.

    :param emulator: The Debian suite whose QEMU is used.
    :param suite: The Debian suite whose kernel is used.
    :param triggers: Names of `TRIGGERS`.
    :param options: QEMU's options.
    :param command_line: More of the kernel's command line.
    :param mebibytes: The guest's memory.
    :param flavour: Of the kernel.
    :param architecture: Debian's name of it.
    :param words: What distinguishes its rows of `EXPECTED`.
    """

    emulator: str
    suite: str
    triggers: tuple[str, ...]
    options: tuple[str, ...] = ("-device", "pvpanic")
    command_line: str = ""
    mebibytes: int = 96
    flavour: str = "cloud"
    architecture: str = "amd64"
    words: str = ""


CASES = {
    "5.10 on QEMU 5.2": Case(
        "bullseye", "bullseye", ("null pointer", "hung task", "overwritten log"), command_line="nokaslr"
    ),
    "6.1 on QEMU 7.2": Case(
        "bookworm",
        "bookworm",
        ("null pointer of init", "out of memory", "stack overflow"),
        command_line="log_buf_len=16M",
    ),
    "6.12 on QEMU 10.0, 4 CPUs, 5 GiB": Case(
        "trixie",
        "trixie",
        ("sysrq", "soft lockup", "page fault"),
        ("-machine", "q35", "-smp", "4", "-device", "pvpanic-pci"),
        mebibytes=5120,
    ),
    "sid's on QEMU 11.1, five levels": Case(
        "sid", "sid", ("bug", "nmi", "warning", "nested"), ("-cpu", "max", "-device", "pvpanic")
    ),
    "6.12 for arm64": Case(
        "trixie", "trixie", ("null pointer",), (), architecture="arm64", words=" of arm64"
    ),
    "generic 6.1": Case("bookworm", "bookworm", ("init exits", "stack protector"), flavour=""),
}


@pytest.mark.parametrize("name", CASES)
async def test_why_a_real_kernel_panicked(
    name: str,
    debian_root: Callable[[str], Root],
    folder: Path,
    unavailable: Callable[[str], NoReturn],
) -> None:
    """The words are the same from the monitor and from a dump."""
    case = CASES[name]
    try:
        linux = panicking_linux(case.suite, case.flavour, case.architecture)
    except FetchError as error:
        unavailable(f"no Linux: {' / '.join(str(error).splitlines())}")
    emulator = debian_root(case.emulator).command(ARCHITECTURES[case.architecture].emulator)
    second = linux.console.replace("0", "1")
    line = f"console={second} ignore_loglevel printk.devkmsg=on panic=0 {case.command_line}"
    linux = replace(linux.copied(folder), command_line=line, mebibytes=case.mebibytes)
    booted = await boot_linux(linux, with_folder(emulator, folder), folder, *case.options)
    for trigger in case.triggers:
        async with panicked_linux(booted, TRIGGERS[trigger]) as panicked:
            words = await words_through_monitor(panicked.client)
            lines, console = list(words.lines), panicked.console
            if trigger in ("stack overflow", "nmi"):  # the kernel has logged more than it could print
                assert len(console) < len(lines)
                lines = lines[: len(console)]
            if trigger == "overwritten log":
                assert 1000 < len(lines) < len(console)
                console = console[-len(lines) :]
            assert lines == console, trigger
            check(words, EXPECTED[f"{trigger}{case.words}"])
            assert words.architecture == ARCHITECTURES[case.architecture].emulator.removeprefix(
                "qemu-system-"
            )
            formats = ("elf", "kdump-zlib") if trigger == case.triggers[0] else ("elf",)
            for kind in formats if case.mebibytes < 256 else ():
                dump = folder / kind
                arguments = {"paging": False, "protocol": f"file:{dump}", "format": kind}
                await panicked.client.execute("dump-guest-memory", arguments)
                source = kind.partition("-")[0]
                assert words_in_dump(dump) == msgspec.structs.replace(words, source=source), trigger


def check(words: LastWords, expected: Expected) -> None:
    """Check what is said of a panic."""
    assert (words.guest, words.panicked, words.torn, words.notes) == ("linux", True, False, ())
    assert words.kind == expected.kind
    assert words.reason.startswith(expected.reason)
    assert words.cause.startswith(expected.cause)
    assert bool(words.cause) == bool(expected.cause)
    assert words.trace[0].startswith(expected.place)
