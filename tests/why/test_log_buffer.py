"""The log of kernels before 5.10, written by hand and read back; no real one was read."""

import random

from hypothesis import given
from hypothesis import strategies as st

from onpanic.why.kernel.virtual_memory import VirtualMemory
from onpanic.why.kernel.vmcoreinfo import VmcoreInfo
from onpanic.why.kernel_log.log_buffer import read_log_buffer
from onpanic.why.kernel_log.log_record import LogRecord
from onpanic.why.memory.reading import MemoryFault, MemoryRange, Reading, read_with
from onpanic.why.words.linux_words import linux_words

from .built_log_buffer import (
    BUFFER,
    CONTINUED,
    NAMES,
    NEWLINE,
    PHYS_BASE,
    PREFIX,
    VARIABLES,
    BuiltLogBuffer,
    Logged,
)

KERNEL, USER = 0, 1  # facilities

RECORDS = st.lists(
    st.builds(
        Logged,
        st.builds(
            LogRecord,
            nanoseconds=st.integers(0, (1 << 64) - 1),
            facility=st.integers(0, 255),
            level=st.integers(0, 7),
            text=st.binary(max_size=100),
        ),
        st.sampled_from((0, NEWLINE, PREFIX, NEWLINE | PREFIX, CONTINUED, CONTINUED | NEWLINE)),
        st.binary(max_size=20),
    ),
    max_size=60,
)


class Identity:
    """Virtual addresses are physical ones."""

    def translate(self, address: int) -> Reading[MemoryRange]:
        yield from ()
        return MemoryRange(address, 1 << 32)


def read(log: BuiltLogBuffer, byte_order: str = "<", limit: int = 1000) -> list[LogRecord]:
    memory = VirtualMemory(Identity(), byte_order)
    return read_with(read_log_buffer(VmcoreInfo(log.note), memory, limit), log.fetch)


def lines_of(*logged: Logged, release: str = "3.10.0-1160.el7.x86_64") -> list[str]:
    """Return the lines of a kernel that has stored records, without their times."""
    log = BuiltLogBuffer(4096, release=release)
    for one in logged:
        log.store(one)
    words = read_with(linux_words(log.note, "x86_64", "<", "elf"), log.fetch)
    assert words.notes == ()
    return [line.partition("] ")[2] for line in words.lines]


def part(text: str, flags: int, facility: int = KERNEL) -> Logged:
    return Logged(LogRecord(5_000_000, facility, 4, text.encode()), flags)


@given(
    RECORDS,
    st.integers(64, 1500).map(lambda size: size * 4),
    st.sampled_from(("log", "printk_log")),
    st.sampled_from((16, 20, 24)),
    st.sampled_from("<>"),
)
def test_what_was_stored_is_read(
    records: list[Logged], size: int, name: str, header: int, byte_order: str
) -> None:
    """Also where the buffer has gone round, and with members that later kernels added."""
    log = BuiltLogBuffer(size, PHYS_BASE, "4.18.0", name, header, byte_order)
    for one in records:
        log.store(one)
        assert read(log, byte_order) == [kept.record for kept in log.kept]


@given(RECORDS, st.integers(1, 20))
def test_only_the_last_records_are_returned(records: list[Logged], limit: int) -> None:
    log = BuiltLogBuffer(4096, PHYS_BASE)
    for one in records:
        log.store(one)
    assert read(log, limit=limit) == [kept.record for kept in log.kept][-limit:]


@given(RECORDS, st.randoms(use_true_random=False))
def test_a_damaged_buffer_is_read_or_refused(records: list[Logged], chance: random.Random) -> None:
    log = BuiltLogBuffer(1024, PHYS_BASE)
    for one in records:
        log.store(one)
    for _ in range(chance.randrange(1, 20)):
        place = chance.choice(
            (chance.randrange(VARIABLES, VARIABLES + 20), chance.randrange(BUFFER, BUFFER + 1024))
        )
        log.memory[place] = chance.choice((0, 1, 255, chance.randrange(256)))
    try:
        found = read(log)
    except MemoryFault:
        return
    assert sum(len(record.text) for record in found) <= 1024


@given(st.binary(min_size=20, max_size=20), st.binary(max_size=600))
def test_a_buffer_of_anything_is_read_or_refused(variables: bytes, content: bytes) -> None:
    log = BuiltLogBuffer(1024, PHYS_BASE)
    log.memory[VARIABLES + 8 : VARIABLES + 20] = variables[8:]
    log.memory[BUFFER : BUFFER + len(content)] = content
    try:
        found = read(log)
    except MemoryFault:
        return
    assert sum(len(record.text) for record in found) <= 1024


def test_the_reason_of_a_panic_is_read() -> None:
    log = BuiltLogBuffer(4096)
    for number in range(200):
        log.store(Logged(LogRecord(number * 10**9, KERNEL, 6, b"message %d" % number)))
    log.store(Logged(LogRecord(201 * 10**9, KERNEL, 0, b"Kernel panic - not syncing: sysrq triggered crash")))
    words = read_with(linux_words(log.note, "x86_64", "<", "elf"), log.fetch)
    assert (words.reason, words.kind, words.notes) == ("sysrq triggered crash", "sysrq", ())
    assert words.lines[-2:] == (
        "[  199.000000] message 199",
        "[  201.000000] Kernel panic - not syncing: sysrq triggered crash",
    )


def test_parts_of_a_line_are_one_line() -> None:
    """Kernels before 4.10 store each part, and print them together."""
    parts = (
        part("first", PREFIX | NEWLINE),
        part("a ", PREFIX | CONTINUED),
        part("b ", CONTINUED),
        part("c", CONTINUED | NEWLINE),
        part("last", PREFIX | NEWLINE),
    )
    assert lines_of(*parts) == ["first", "a b c", "last"]
    assert lines_of(*parts, release="4.18.0-553.el8.x86_64") == ["first", "a ", "b ", "c", "last"]


def test_a_line_that_was_interrupted_is_not_joined() -> None:
    assert lines_of(part("a ", PREFIX | CONTINUED), part("other", PREFIX | NEWLINE)) == ["a ", "other"]


def test_what_a_program_wrote_is_joined_to_no_line_of_the_kernel() -> None:
    """A program could otherwise hide the reason of a panic behind text of its own."""
    reason = "Kernel panic - not syncing: Fatal exception"
    assert lines_of(part("x ", CONTINUED, USER), part(reason, NEWLINE)) == ["x ", reason]


def test_an_image_that_is_looked_for() -> None:
    """Kernels before 4.10 do not state where it is; most have it where their addresses say."""
    log = BuiltLogBuffer(4096, release="3.10.0-1160.el7.x86_64", states_phys_base=False)
    log.store(part("one", PREFIX | NEWLINE))
    words = read_with(linux_words(log.note, "x86_64", "<", "elf"), log.fetch)
    assert (words.lines, words.notes) == (("[    0.005000] one",), ())
    log.memory[NAMES : NAMES + 300] = bytes(300)
    words = read_with(linux_words(log.note, "x86_64", "<", "elf"), log.fetch)
    assert "image is not found" in words.notes[0]
