"""Guests without a note of their vmcoreinfo: real ones that run and panic, and forged ones."""

import asyncio
import json
import struct
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from onpanic.probe.asking.session import Session, open_monitor
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.domain_machine import machine_of
from onpanic.why.kernel_log.log_record import LogRecord
from onpanic.why.locating.processor_state import ProcessorState, state_in_note, state_in_registers
from onpanic.why.locating.unnoted_words import MemorySearch, find_note
from onpanic.why.memory.dump_file import open_dump
from onpanic.why.memory.elf_dump import ElfDump
from onpanic.why.memory.ram_ranges import ram_ranges
from onpanic.why.memory.reading import MemoryFault, MemoryRange, read_with
from onpanic.why.readers.domain_ranges import domain_ranges
from onpanic.why.readers.from_dump import words_in_dump
from onpanic.why.readers.from_monitor import words_of_session
from onpanic.why.readiness.monitor_readiness import readiness_of_session

from ..cli.conftest import Done, command  # noqa: F401  a fixture
from ..running.guest import Guest
from ..running.linux_kernels import READY, kernel
from ..watch.panicking_guests import send_command, until, wait_for_text
from .built_kernel import IMAGE, NOTE, PHYS_BASE, BuiltKernel

Result = TypeVar("Result")
Command = Callable[..., Done]

NAMES, PAGE = 0x900, 4096  # where the built kernel has its `init_uts_ns`, and a page
MEMORY = PHYS_BASE + (1 << 20)


def ask(guest: Guest, question: Callable[[Session], Awaitable[Result]]) -> Result:
    async def asked() -> Result:
        async with open_monitor(str(guest.path), 60) as session:
            return await question(session)

    return asyncio.run(asked())


@pytest.mark.emulators
def test_a_real_guest_without_the_device(guest: Callable[..., Guest], folder: Path) -> None:
    """It is read while it runs, without a stop, after its panic, and in its dump; all lines are equal."""
    linux = replace(kernel("bookworm"), command_line="quiet panic=0", mebibytes=128)
    running = guest("-device", "pvpanic", "-no-shutdown", *linux.options(folder))
    wait_for_text(folder / "serial.log", READY)

    words = ask(running, words_of_session)
    assert words.release.startswith("6.1.")
    assert words.torn
    assert not words.panicked
    assert any("Linux version 6.1." in line for line in words.lines)
    readiness = ask(running, readiness_of_session)
    assert {answer.name: answer.answer for answer in readiness.answers} == {
        "memory": "yes",
        "note": "no",
        "kernel": "yes",
        "log": "yes",
        "notifier": "yes",
        "driver": "yes",
        "kdump": "yes",
    }
    assert not readiness.fails
    assert readiness.settings == {"panic_timeout": 0, "panic_on_oops": 0}
    assert running.status == "running"
    assert running.events == []

    send_command(folder / "serial", "panic")
    until(lambda: running.status == "guest-panicked")
    panicked = ask(running, words_of_session)
    assert (panicked.panicked, panicked.torn) == (True, False)
    assert panicked.lines[: len(words.lines)] == words.lines

    path = folder / "dump.elf"
    running.ask("dump-guest-memory", paging=False, protocol=f"file:{path}")
    assert words_in_dump(path).lines == panicked.lines
    said: list[str] = []
    with open_dump(path) as file:
        dump = ElfDump.read(file)
        ranges = [MemoryRange(segment.address, segment.length) for segment in dump.segments]
        state = state_in_note(dump.notes[b"QEMU"])
        assert state
        nowhere = state._replace(idt=0)
        reading = find_note("x86_64", nowhere, ranges=ranges, search=MemorySearch(said.append), otherwise="")
        searched = read_with(reading, dump.fetch)
        pointed = read_with(find_note("x86_64", state, otherwise=""), dump.fetch)
    assert searched.text == pointed.text
    assert len(searched.notes) == 1
    assert said


@pytest.mark.emulators
def test_a_guest_that_would_not_report(
    guest: Callable[..., Guest],
    folder: Path,
    command: Command,  # noqa: F811
) -> None:
    """A driver that does not serve the device is told before the guest panics."""
    linux = kernel("trixie", files={"commands": b"rmmod pvpanic_pci\nrmmod qemu_fw_cfg\n"})
    linux = replace(linux, command_line="quiet pti=on panic=0", mebibytes=192)
    running = guest("-device", "pvpanic-pci", "-device", "vmcoreinfo", *linux.options(folder))
    wait_for_text(folder / "serial.log", READY)
    done = command("why", "--check", "--qmp", running.path, "--format", "json")
    found = {answer["name"]: answer["answer"] for answer in json.loads(done.out)["answers"]}
    assert (found["note"], found["log"], found["driver"]) == ("unknown", "yes", "no")
    assert done.status == 1
    assert running.status == "running"


def searched(
    memory: bytes, state: ProcessorState | None = None
) -> tuple[bytes | None, tuple[str, ...], list[str]]:
    """Return what a search of a memory finds, its notes, and what it reports."""
    said: list[str] = []

    def fetch(address: int, length: int) -> bytes:
        return memory[address : address + length]

    ranges = [MemoryRange(0, len(memory))]
    reading = find_note("x86_64", state, ranges=ranges, search=MemorySearch(said.append), otherwise="nothing")
    found = read_with(reading, fetch)
    return found.text, found.notes, said


def kernel_in_memory(*notes: bytes, aside: int = 0, release: bytes = b"6.1.0-built-by-hand") -> bytes:
    """Return memory with a kernel and with vmcoreinfos at the beginning of pages.

    :param aside: How many bytes after the page's beginning the texts are.
    """
    built = BuiltKernel([LogRecord(0, 0, 6, b"hello")], 4, 12)
    names = b"".join(word.ljust(65, b"\0") for word in (b"Linux", b"host", release))
    built.memory[NAMES : NAMES + len(names)] = names
    memory = bytearray(MEMORY)
    memory[PHYS_BASE : PHYS_BASE + len(built.memory)] = built.memory
    for number, note in enumerate(notes, 1):
        start = number * 16 * PAGE + aside
        memory[start : start + len(note)] = note
    return bytes(memory)


TEXT = NOTE + f"SYMBOL(init_uts_ns)={IMAGE + NAMES:x}\n".encode()
ELF = struct.pack("<III", 11, len(TEXT), 0) + b"VMCOREINFO\0\0" + TEXT


@pytest.mark.parametrize("page", [TEXT, ELF], ids=["text", "note"])
def test_a_vmcoreinfo_is_found_by_search(page: bytes) -> None:
    """It begins a page, as text or as an ELF note; that nothing confirms it is said."""
    text, notes, said = searched(kernel_in_memory(page))
    assert text == TEXT
    assert any("no processor is known to run this kernel" in note for note in notes)
    assert said[0].startswith("searching 17 MiB of memory for a vmcoreinfo takes about ")


@pytest.mark.parametrize(
    "memory",
    [
        kernel_in_memory(),
        kernel_in_memory(TEXT, aside=8),
        kernel_in_memory(TEXT.replace(b"built-by-hand", b"forged")),
        kernel_in_memory(TEXT.replace(b"phys_base)=16777216", b"phys_base)=4096")),
        kernel_in_memory(TEXT.replace(b"SYMBOL(swapper", b"SYMBOL(other")),
        kernel_in_memory(TEXT, release=b"6.1.0-of-today"),
        kernel_in_memory(*(b"OSRELEASE=%d\n" % n for n in range(200))),
        kernel_in_memory(b"OSRELEASE=" + b"\xff" * 4000),
    ],
    ids=["none", "no page", "release", "base", "symbols", "earlier boot", "many", "garbage"],
)
def test_what_no_kernel_confirms_is_not_taken(memory: bytes) -> None:
    text, notes, _ = searched(memory)
    assert text is None
    assert notes == (
        "there is no vmcoreinfo in the guest's memory: it runs no Linux, or its memory is encrypted",
    )


def test_several_kernels_are_told() -> None:
    """A vmcoreinfo of an earlier boot may look as good as the running kernel's."""
    text, notes, _ = searched(kernel_in_memory(TEXT, TEXT + b"SIZE(page)=64\n"))
    assert text == TEXT
    assert notes[-1] == "2 kernels' vmcoreinfos are in memory; this is the first of them"


def test_a_processor_confirms_its_kernel() -> None:
    """Its page tables lead to the kernel that it runs, so that another one before it is not taken."""
    memory = bytearray(kernel_in_memory(TEXT + b"SIZE(page)=64\n", TEXT))
    other, tables = PHYS_BASE - (2 << 20), 0x2000
    memory[other : other + (1 << 20)] = memory[PHYS_BASE : PHYS_BASE + (1 << 20)]
    first = (TEXT + b"SIZE(page)=64\n").replace(b"16777216", b"%d" % other)
    memory[16 * PAGE : 16 * PAGE + len(first)] = first
    rows = (
        (tables, 511, tables + PAGE),
        (tables + PAGE, 510, tables + 2 * PAGE),
        (tables + 2 * PAGE, 0, PHYS_BASE),
    )
    for table, index, address in rows:
        large = 0x80 if address == PHYS_BASE else 0
        memory[table + 8 * index : table + 8 * index + 8] = struct.pack("<Q", address | 1 | large)
    text, notes, _ = searched(bytes(memory), ProcessorState(tables | 0x1000, 0, 0))
    assert text == TEXT
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("arch", "machine", "mebibytes", "ranges"),
    [
        ("x86_64", "pc-i440fx-7.2", 512, [(1, 512)]),
        ("x86_64", "pc-i440fx-7.2", 3500, [(1, 3500)]),
        ("x86_64", "pc-i440fx-7.2", 8192, [(1, 3072), (4096, 9216)]),
        ("x86_64", "pc-q35-7.2", 2800, [(1, 2800)]),
        ("x86_64", "pc-q35-7.2", 8192, [(1, 2048), (4096, 10240)]),
        ("x86_64", "microvm", 512, []),
        ("aarch64", "virt-7.2", 512, [(1024, 1536)]),
        ("riscv64", "virt", 512, [(2048, 2560)]),
    ],
)
def test_where_a_domain_has_memory(
    arch: str, machine: str, mebibytes: int, ranges: list[tuple[int, int]]
) -> None:
    """Only memory is read: reading a device would change its state."""
    xml = f"<domain type='qemu'><os><type arch='{arch}' machine='{machine}'>hvm</type></os></domain>"
    found = domain_ranges(machine_of(Document(xml).root), mebibytes << 20)
    assert [(span.address >> 20, sum(span) >> 20) for span in found] == ranges


MAP = """\
FlatView #0
 AS "I/O", root: io
  0000000000000000-000000000000ffff (prio 0, ram): none

FlatView #1
 AS "memory", root: system
 AS "cpu-memory-0", root: system
 Root memory region: system
  0000000000000000-00000000000bffff (prio 0, ram): pc.ram
  00000000000c0000-00000000000dffff (prio 1, rom): pc.rom
  0000000000100000-0000000000ffffff (prio 0, ram): pc.ram @0000000000100000
  00000000fec00000-00000000fec00fff (prio 0, i/o): ioapic
"""


def test_where_a_machine_has_memory() -> None:
    """Neither devices nor another address space count."""
    assert ram_ranges(MAP) == [(0, 0xC0000), (0x10_0000, 0xF0_0000)]
    assert ram_ranges("unknown command: 'info mtree'") == []


def test_memory_that_cannot_be_read_is_told() -> None:
    """A dump may be truncated, and time may be over."""

    def fetch(_address: int, _length: int) -> bytes:
        raise MemoryFault("over")

    def nothing(ranges: list[MemoryRange]) -> tuple[str, ...]:
        search = MemorySearch(lambda _said: None)
        return read_with(find_note("x86_64", None, ranges=ranges, search=search, otherwise=""), fetch).notes

    assert nothing([MemoryRange(0, 32 << 20)])[1].startswith("32 MiB of memory could not be read")
    assert "cannot be searched" in nothing([])[0]


def test_registers_are_read_from_both_places() -> None:
    """QEMU prints them, and a dump has them in a note."""
    printed = "RIP=ffffffff81000000\nIDT=     fffffe0000000000 00000fff\nCR3=00000000029ae000 CR4=000016b0\n"
    note = bytearray(440)
    struct.pack_into("<II", note, 0, 1, 440)
    struct.pack_into("<Q", note, 384, 0xFFFF_FE00_0000_0000)
    struct.pack_into("<QQ", note, 416, 0x29AE000, 0x16B0)
    assert state_in_registers(printed) == state_in_note(bytes(note)) is not None
    assert state_in_registers("EIP=0\n") is None
    assert state_in_note(b"") is None
