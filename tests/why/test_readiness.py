"""Whether a panic would be reported and could be read: from what is seen to answers."""

import json
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onpanic.why.kernel.kernel_symbols import kernel_symbols
from onpanic.why.kernel.virtual_memory import VirtualMemory
from onpanic.why.kernel.vmcoreinfo import VmcoreInfo
from onpanic.why.locating.kernel_pointers import find_in_image
from onpanic.why.memory.reading import MemoryFault, MemoryRange, Reading, paged, read_with
from onpanic.why.readers.from_domain import words_in_domain
from onpanic.why.readers.machine_devices import MachineDevices
from onpanic.why.readiness.assessment import SeenGuest, assess
from onpanic.why.readiness.domain_readiness import readiness_of_domain
from onpanic.why.readiness.guest_kernel import GuestKernel, guest_kernel
from onpanic.why.readiness.pvpanic_driver import (
    GuestModule,
    PvpanicInstance,
    guest_modules,
    notifier_blocks,
    pvpanic_instances,
)
from onpanic.why.readiness.readiness_result import Readiness
from onpanic.why.readiness.readiness_text import readiness_lines
from onpanic.why.words.last_words import LastWords

from ..running.libvirtd import HOST
from ..running.linux_kernels import READY, kernel
from ..schemas import undescribed
from ..watch.panicking_guests import wait_for_text

SCHEMA = Path(__file__).parent.parent.parent / "why/onpanic/why/readiness/readiness.schema.json"

READ = LastWords(guest="linux", source="monitor", lines=("hello",))
UNREAD = LastWords(source="monitor", notes=("nothing leads to it",))
WINDOWS = LastWords(guest="windows", source="monitor")
GOOD = GuestKernel(
    release="6.1.0",
    modules=frozenset({"pvpanic", "pvpanic_mmio", "qemu_fw_cfg"}),
    notified=True,
    devices=(PvpanicInstance(3, 3),),
    crash_kernel=False,
    after_notifiers=False,
)
UNKNOWN = GuestKernel(release="6.1.0", unknown="it does not say")
DEVICES = MachineDevices(frozenset({"pvpanic", "vmcoreinfo"}), "", {"pvpanic": 3})
NONE = MachineDevices(frozenset(), "", {})
SEEN = SeenGuest(True, "x86_64", DEVICES, b"OSRELEASE=6.1.0\n", None, GOOD, READ)

S390X = SEEN._replace(architecture="s390x", devices=NONE._replace(notifiers={"s390": None}))


def answers(seen: SeenGuest) -> dict[str, str]:
    return {answer.name: answer.answer for answer in assess(seen).answers}


def test_the_schema_that_ships_is_current() -> None:
    """`make schema` writes it."""
    current = json.loads(msgspec.json.encode(msgspec.json.schema(Readiness)))
    assert undescribed(json.loads(SCHEMA.read_text())) == undescribed(current)


def test_json_follows_its_schema() -> None:
    document = json.loads(msgspec.json.encode(assess(SEEN)))
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))


def test_all_is_well() -> None:
    readiness = assess(SEEN)
    assert set(answers(SEEN).values()) == {"yes"}
    assert not readiness.fails
    assert (
        readiness_lines(readiness)[0] == "Linux 6.1.0 (x86_64): a panic would be reported, and could be read"
    )


@pytest.mark.parametrize(
    ("seen", "name", "answer", "fails"),
    [
        (SEEN._replace(devices=DEVICES._replace(encryption="AMD SEV")), "memory", "no", True),
        (SEEN._replace(devices=NONE), "notifier", "no", True),
        (SEEN._replace(devices=DEVICES._replace(notifiers={"pvpanic": 2})), "notifier", "no", True),
        (SEEN._replace(devices=NONE), "note", "no", True),
        (SEEN._replace(devices=NONE._replace(notifiers={"pvpanic": None})), "note", "no", False),
        (SEEN._replace(noted=False), "note", "no", False),
        (SEEN._replace(noted=False, note=None, words=UNREAD), "note", "no", True),
        (SEEN._replace(noted=True, kernel=UNKNOWN), "note", "yes", False),
        (SEEN._replace(kernel=GOOD._replace(modules=frozenset({"pvpanic"}))), "note", "unknown", True),
        (SEEN._replace(kernel=UNKNOWN), "note", "unknown", False),
        (SEEN._replace(note=b"OSRELEASE=5.10.0\n"), "kernel", "no", True),
        (
            SEEN._replace(note=b"OSRELEASE=6.1.0\nBUILD-ID=ab\n", kernel=GOOD._replace(build="cd")),
            "kernel",
            "no",
            True,
        ),
        (SEEN._replace(note=None, words=UNREAD), "kernel", "unknown", False),
        (SEEN._replace(note=None, words=UNREAD), "log", "unknown", False),
        (SEEN._replace(words=UNREAD), "log", "no", True),
        (SEEN._replace(note=None, noted=True, words=WINDOWS), "log", "yes", False),
        (SEEN._replace(kernel=GOOD._replace(modules=frozenset({"qemu_fw_cfg"}))), "driver", "no", True),
        (
            SEEN._replace(kernel=GOOD._replace(modules=frozenset({"pvpanic", "pvpanic_pci"}))),
            "driver",
            "no",
            True,
        ),
        (SEEN._replace(kernel=GOOD._replace(devices=())), "driver", "unknown", False),
        (SEEN._replace(kernel=GOOD._replace(devices=(PvpanicInstance(3, 2),))), "driver", "no", True),
        (SEEN._replace(kernel=GOOD._replace(notified=False)), "driver", "no", True),
        (
            SEEN._replace(kernel=GOOD._replace(modules=frozenset(), built_in=frozenset({"pvpanic"}))),
            "driver",
            "yes",
            False,
        ),
        (SEEN._replace(kernel=UNKNOWN), "driver", "unknown", False),
        (SEEN._replace(devices=DEVICES._replace(notifiers={"hyperv": None})), "driver", "unknown", False),
        (SEEN._replace(kernel=GOOD._replace(crash_kernel=True)), "kdump", "no", True),
        (SEEN._replace(kernel=GOOD._replace(crash_kernel=True, after_notifiers=True)), "kdump", "yes", False),
        (
            SEEN._replace(
                kernel=GOOD._replace(
                    crash_kernel=True, after_notifiers=True, devices=(PvpanicInstance(1, 1),)
                )
            ),
            "kdump",
            "no",
            True,
        ),
        (SEEN._replace(kernel=UNKNOWN), "kdump", "unknown", False),
        (S390X, "note", "yes", False),
        (S390X._replace(note=None, words=UNREAD), "note", "no", True),
        (S390X, "driver", "unknown", False),
        (S390X._replace(kernel=GOOD._replace(crash_kernel=True)), "kdump", "unknown", False),
    ],
)
def test_what_is_seen_decides(seen: SeenGuest, name: str, answer: str, fails: bool) -> None:
    assert answers(seen)[name] == answer
    assert assess(seen).fails == fails


class Same:
    """Translates an address to itself."""

    def translate(self, address: int) -> Reading[MemoryRange]:
        return MemoryRange(address, 1 << 40)
        yield


class Written:
    """Memory that is written by hand."""

    def __init__(self, *parts: tuple[int, bytes]) -> None:
        self.content = bytearray(1 << 18)
        for address, content in parts:
            self.content[address : address + len(content)] = content

    def fetch(self, address: int, length: int) -> bytes:
        if not 0 <= address <= address + length <= len(self.content):
            raise MemoryFault(f"{address:#x}")
        return bytes(self.content[address : address + length])

    def result(self, reading: Reading[Any]) -> Any:
        return read_with(paged(reading), self.fetch)


MEMORY = VirtualMemory(Same())
NAMES, COUNT, TABLE, INDEX, OFFSETS, BASE = 0x1000, 0x2000, 0x2100, 0x3000, 0x4000, 0x5000
TEXT_AT, NAMES_AT = 0x10000, 0x20000


def symbols(named: Iterable[tuple[str, int]], kind: str) -> tuple[Written, VmcoreInfo]:
    """Return a table of symbols whose tokens are characters, and the vmcoreinfo that leads to it."""
    named = list(named)
    names, values = b"", b""
    for number, (name, address) in enumerate(named):
        text = b"D" + name.encode()
        length = len(text)
        names += bytes([length] if length < 128 else [length & 0x7F | 0x80, length >> 7]) + text
        place = OFFSETS + 4 * number
        values += {
            "addresses": struct.pack("<Q", address),
            "relative": struct.pack("<I", address - TEXT_AT),
            "absolute": struct.pack("<i", TEXT_AT - 1 - address),
            "place": struct.pack("<i", address - place),
        }[kind]
    table = b"".join(bytes([token, 0]) for token in range(256))
    index = b"".join(struct.pack("<H", 2 * token) for token in range(256))
    written = Written(
        (NAMES, names),
        (COUNT, struct.pack("<I", len(named))),
        (TABLE, table),
        (INDEX, index),
        (OFFSETS, values),
        (BASE, struct.pack("<Q", TEXT_AT)),
    )
    lines = {
        "kallsyms_names": NAMES,
        "kallsyms_num_syms": COUNT,
        "kallsyms_token_table": TABLE,
        "kallsyms_token_index": INDEX,
        "init_uts_ns": NAMES_AT,
        "_stext": TEXT_AT,
        ("kallsyms_addresses" if kind == "addresses" else "kallsyms_offsets"): OFFSETS,
    }
    if kind in ("relative", "absolute"):
        lines["kallsyms_relative_base"] = BASE
    written.content += bytes(1 << 20)  # names are read in pieces of 1 MiB
    return written, VmcoreInfo("".join(f"SYMBOL({name})={at:x}\n" for name, at in lines.items()).encode())


TABLE_OF = [
    ("_stext", TEXT_AT),
    ("x" * 200, 0x11000),
    ("init_uts_ns", NAMES_AT),
    ("one", 0x12345),
    ("one", 0x12349),
]


@pytest.mark.parametrize("kind", ["addresses", "relative", "absolute", "place"])
def test_symbols_of_every_format(kind: str) -> None:
    """Without relative addresses; with them; with those of processors beside them; and Linux 7's."""
    written, info = symbols(TABLE_OF, kind)
    found = written.result(kernel_symbols(info, MEMORY, ("one", "x" * 200, "none")))
    assert found == {
        "_stext": [TEXT_AT],
        "init_uts_ns": [NAMES_AT],
        "one": [0x12345, 0x12349],
        "x" * 200: [0x11000],
    }


def test_a_table_that_contradicts_the_vmcoreinfo_is_refused() -> None:
    written, info = symbols([("_stext", TEXT_AT + 16), ("init_uts_ns", NAMES_AT)], "relative")
    with pytest.raises(MemoryFault, match="contradicts"):
        written.result(kernel_symbols(info, MEMORY, ("one",)))


KERNEL = 1 << 63


class High(Same):
    """Translates the addresses of a kernel's half."""

    def translate(self, address: int) -> Reading[MemoryRange]:
        return MemoryRange(address & ~KERNEL, 1 << 40)
        yield


@pytest.mark.parametrize("pointer", [b"", bytes(8)], ids=["6.1", "6.8"])
def test_the_driver_tells_its_devices(pointer: bytes) -> None:
    """A list of devices in the module's data, beside lists of other things."""
    module, other, head, item = KERNEL + 0x8100, KERNEL + 0x8800, KERNEL + 0x8900, KERNEL + 0x20000
    before = struct.pack("<QII", 0x10505, 3, 1) + pointer
    written = Written(
        (other - KERNEL, struct.pack("<QQ", other, other)),
        (head - KERNEL, struct.pack("<QQ", item, item)),
        (item - KERNEL - len(before), before + struct.pack("<QQ", head, head)),
    )
    memory = VirtualMemory(High())
    found = written.result(pvpanic_instances(memory, (), GuestModule("pvpanic", module, live=True)))
    assert found == (PvpanicInstance(3, 1),)
    written.content[head - KERNEL : head - KERNEL + 16] = struct.pack("<QQ", head, head)
    assert written.result(pvpanic_instances(memory, (head,), None)) == ()


def test_modules_and_notifiers_are_lists() -> None:
    first, second, head = 0x1000, 0x2000, 0x3000

    def module(state: int, following: int, name: bytes) -> bytes:
        return struct.pack("<I4xQQ", state, following, 0) + name.ljust(56, b"\0")

    chain = 0x4000
    written = Written(
        (head, struct.pack("<Q", first + 8)),
        (first, module(0, second + 8, b"pvpanic")),
        (second, module(2, head, b"leaving")),
        (chain, struct.pack("<QQ", 0, 0x5000)),
        (0x5000, struct.pack("<QQ", 0xAA, 0x5100)),
        (0x5100, struct.pack("<QQ", 0xBB, 0)),
    )
    assert written.result(guest_modules(MEMORY, head)) == (
        GuestModule("pvpanic", first, live=True),
        GuestModule("leaving", second, live=False),
    )
    assert written.result(notifier_blocks(MEMORY, chain)) == {0x5000: 0xAA, 0x5100: 0xBB}


@pytest.mark.parametrize("reading", [guest_modules, notifier_blocks])
def test_lists_without_an_end_are_refused(reading: Any) -> None:
    """A malicious guest's lists lead in circles."""
    written = Written((0x1008, struct.pack("<Q", 0x2000)), (0x1000, struct.pack("<Q", 0x2000)))
    written.content[0x2000:0x2010] = struct.pack("<QQ", 0x2000, 0x2000)
    with pytest.raises(MemoryFault):
        written.result(reading(MEMORY, 0x1000))


@settings(max_examples=settings().max_examples * 2 // 5)
@given(
    kind=st.sampled_from(["addresses", "relative", "absolute", "place"]),
    changes=st.lists(st.tuples(st.integers(0, 0x50FF), st.binary(min_size=1, max_size=8)), max_size=20),
    note=st.lists(st.tuples(st.integers(0, 400), st.sampled_from(b"0123456789abcdefgf=()\n")), max_size=3),
)
def test_a_malicious_kernel_only_causes_faults(
    kind: str, changes: list[tuple[int, bytes]], note: list[tuple[int, int]]
) -> None:
    """Whatever its tables and lists hold, a reading returns or faults, within its limits."""
    written, info = symbols(TABLE_OF, kind)
    text = bytearray("\n".join(f"{name}={value}" for name, value in info.values.items()).encode())
    for place, character in note:
        text[place % len(text)] = character
    for place, content in changes:
        written.content[place : place + len(content)] = content
    module = GuestModule("pvpanic", 0x1000, live=True)
    for reading in (
        kernel_symbols(VmcoreInfo(bytes(text)), MEMORY, ("one", "two")),
        guest_modules(MEMORY, NAMES),
        notifier_blocks(MEMORY, TABLE),
        pvpanic_instances(MEMORY, (OFFSETS,), module),
        find_in_image(MEMORY, TABLE),
        guest_kernel(bytes(text), "x86_64"),
    ):
        with suppress(MemoryFault):
            written.result(reading)


@pytest.mark.libvirt
@pytest.mark.libvirts(HOST)
def test_a_domain_is_neither_stopped_nor_tainted(connection: Any, folder: Path) -> None:
    """Its log is read, and its readiness told, without the vmcoreinfo device."""
    folder.chmod(0o777)
    linux = replace(kernel("bookworm"), command_line="quiet panic=0", mebibytes=128).copied(folder)
    domain = connection.createXML(f"""
        <domain type='qemu'><name>ready</name><memory unit='MiB'>128</memory><features><acpi/></features>
        <os><type arch='x86_64' machine='pc'>hvm</type>{linux.os()}</os>
        <devices>{linux.serial(folder)}<panic model='isa'/><memballoon model='none'/></devices></domain>""")
    wait_for_text(folder / "serial.log", READY)
    words = words_in_domain(domain)
    assert words.torn
    assert any("Linux version 6.1." in line for line in words.lines)
    found = {answer.name: answer.answer for answer in readiness_of_domain(domain).answers}
    assert found.pop("note") == "no"
    assert set(found.values()) == {"yes"}
    running = 1
    assert domain.state()[0] == running
