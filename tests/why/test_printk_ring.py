"""The kernel's log, written by hand and read back."""

from hypothesis import given
from hypothesis import strategies as st

from onpanic.why.kernel.kernel_memory import kernel_memory
from onpanic.why.kernel.vmcoreinfo import VmcoreInfo
from onpanic.why.kernel_log.log_record import LogRecord
from onpanic.why.kernel_log.printk_ring import read_printk_ring
from onpanic.why.memory.reading import paged, read_with

from .built_kernel import NOTE, BuiltKernel

RECORDS = st.lists(
    st.builds(
        LogRecord,
        nanoseconds=st.integers(0, (1 << 64) - 1),
        facility=st.integers(0, 255),
        level=st.integers(0, 7),
        text=st.binary(max_size=100),
    ),
    min_size=1,
    max_size=80,
)


def read(kernel: BuiltKernel, limit: int = 1000) -> list[LogRecord]:
    info = VmcoreInfo(NOTE)
    reading = read_printk_ring(info, kernel_memory(info, "x86_64"), limit)
    return read_with(paged(reading), kernel.fetch)


@given(RECORDS, st.integers(2, 6), st.integers(8, 13))
def test_what_was_written_is_read(records: list[LogRecord], count_bits: int, size_bits: int) -> None:
    """Also where both rings have gone round, and where positions have passed 2**64."""
    kernel = BuiltKernel(records, count_bits, size_bits)
    assert read(kernel) == kernel.kept


@given(RECORDS, st.integers(1, 40))
def test_only_the_last_records_are_read(records: list[LogRecord], limit: int) -> None:
    kernel = BuiltKernel(records, 6, 14)
    assert read(kernel, limit) == kernel.kept[-limit:]
