"""What a kernel's log says about a panic."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from onpanic.why.kernel_log.log_record import LOG_KERN, LogRecord
from onpanic.why.kernel_log.log_text import safe_text

__all__ = ("KINDS", "KernelPanic", "find_panic")


class KernelPanic(NamedTuple):
    """What a kernel's log says about a panic.

    :param reason: What the kernel panicked with, e.g. ``sysrq triggered crash``.
    :param cause: The line that told of the error before, e.g. ``BUG: kernel NULL pointer dereference,
        address: 0000000000000000``; empty if the reason says it all.
    :param kind: One of `KINDS`.
    :param trace: The lines of the call trace, without their times.
    """

    reason: str
    cause: str
    kind: str
    trace: tuple[str, ...]


_PANIC = b"Kernel panic - not syncing: "
_END = b"---[ end Kernel panic"

#: What the kernel reports before it panics for it: arch/*/mm/fault.c, arch/*/kernel/traps.c, lib/bug.c.
_CAUSES = re.compile(
    rb"BUG: |Oops|Unable to handle kernel |Internal error: |general protection fault|kernel BUG at "
    rb"|WARNING: |divide error|invalid opcode|stack segment|traps: PANIC: "
)

#: What the kernel reports before a panic whose reason has a kind, by that kind.  Sources: kernel/hung_task.c,
#: kernel/watchdog.c, kernel/rcu/tree_stall.h, mm/oom_kill.c, arch/x86/kernel/cpu/mce/core.c,
#: arch/x86/kernel/nmi.c.
_REPORTS = {
    "hung-task": re.compile(rb"INFO: task "),
    "nmi": re.compile(rb"Uhhuh\. NMI received|NMI: (?:PCI system|IOCK) error"),
    "soft-lockup": re.compile(rb"(?:watchdog|NMI watchdog): BUG: soft lockup"),
    "hard-lockup": re.compile(rb".*[Ww]atchdog detected hard LOCKUP"),
    "rcu-stall": re.compile(rb"(?:rcu: )?INFO: rcu_"),
    "out-of-memory": re.compile(rb".* invoked oom-killer: "),
    "machine-check": re.compile(rb"mce: \[Hardware Error\]: CPU "),
    "init-exited": _CAUSES,
}

#: Kinds of panics by what the kernel says; the first that matches the reason, else the cause.
_KINDS: tuple[tuple[str, str], ...] = (
    ("sysrq", r"sysrq triggered crash"),
    ("out-of-memory", r"out of memory|Out of memory|deadlocked on memory"),
    ("hung-task", r"hung_task: blocked tasks"),
    ("soft-lockup", r"softlockup: hung tasks"),
    ("hard-lockup", r"[Hh]ard LOCKUP"),
    ("rcu-stall", r"RCU Stall"),
    ("init-exited", r"Attempted to kill init|Requested init .* failed|No working init found"),
    ("no-root", r"VFS: Unable to mount root fs"),
    ("stack-corrupted", r"stack-protector|corrupted stack|kernel stack overflow|stack guard page"),
    ("nmi", r"NMI"),
    ("machine-check", r"[Mm]achine check"),
    ("warning", r"panic_on_warn set|kernel: panic_on_warn"),
    ("null-pointer", r"NULL pointer dereference"),
    ("page-fault", r"unable to handle (page fault|kernel paging request)|Unable to handle kernel"),
    ("bug", r"kernel BUG at"),
    ("oops", r"Oops|[Ff]atal exception|Internal error|general protection|divide error|invalid opcode"),
)

#: The kinds of panics, a bounded set.
KINDS = (*(kind for kind, _ in _KINDS), "other")

_TRACE_HEAD = re.compile(rb"\s*Call [Tt]race:")
_TRACE_ENTRY = re.compile(rb"\s+\[?<?[\w?.\[( ]|\[<?[0-9a-f]{8,16}>?\]")
_MAX_LINES = 1 << 18
#: Where an error happened: in the words of x86, aarch64, riscv64, ppc64 and s390x; a user's program has
#: only an address.
_PLACE = re.compile(
    rb"\s*(?:RIP: \w+:|IP: |pc : |epc : |NIP \[[0-9a-f]+\] |Krnl PSW : [0-9a-f]+ [0-9a-f]+ \()"
    rb"(?:\[<\w+>\]\s+){0,2}([A-Za-z_][^ )]*(?: \[\w+\])?)"
)
_ADDRESS = re.compile(rb"\[<\w+>\]\s*")  # before each entry of a trace, in kernels before 4.10
#: What sysrq-c printed when it used a null pointer to panic, before Linux 5.2 (drivers/tty/sysrq.c).
_OLD_SYSRQ = re.compile(rb"SysRq ?: Trigger a crash", re.IGNORECASE)
_NEAR = 100  # lines between the oops of the first process and the panic
_MAX_CAUSE, _MAX_TRACE, _BEFORE = 200, 60, 300  # lines before the panic in which its cause is looked for


def find_panic(records: Sequence[LogRecord]) -> KernelPanic | None:
    """Return what the log says about a panic; None if it has none.

    Only what the kernel itself has logged counts: a program of the guest can write to /dev/kmsg.  Of that,
    only how a record begins: any user can have the kernel log a text of theirs, with line feeds, as the name
    of an option that mount does not know.

    :param records: The log, oldest record first.
    """
    lines, heads = _kernel_lines(records)
    # The first: a kernel panics once; what follows is about the same or caused by it
    place = next((n for n in heads if lines[n].startswith(_PANIC)), None)
    if place is None:
        return None
    reason = safe_text(lines[place].removeprefix(_PANIC)).strip()
    kind = _kind(reason)
    cause_at = _cause(lines, heads, place, kind)
    cause = "" if cause_at is None else safe_text(lines[cause_at]).strip()[:_MAX_CAUSE]
    if cause and kind in ("oops", "other"):
        kind = _kind(cause) if _kind(cause) != "other" else kind
    if cause_at and any(_OLD_SYSRQ.match(line) for line in lines[max(0, cause_at - 3) : cause_at]):
        kind = "sysrq"
    trace = _trace(lines, cause_at, place) if cause_at is not None else ()
    if len(trace) < 2:  # the report has no trace, only the panic has one
        trace += _trace(lines, place, len(lines))
    return KernelPanic(reason, cause, kind, trace)


def _kernel_lines(records: Sequence[LogRecord]) -> tuple[list[bytes], list[int]]:
    """Return the lines that the kernel itself has logged, and which of them begin a record."""
    lines: list[bytes] = []
    heads: list[int] = []
    for record in records:
        if record.facility == LOG_KERN:
            heads.append(len(lines))
            lines += record.text.split(b"\n", max(0, _MAX_LINES - len(lines)))
    return lines, heads


def _kind(text: str) -> str:
    return next((kind for kind, pattern in _KINDS if re.search(pattern, text)), "other")


def _cause(lines: Sequence[bytes], heads: Sequence[int], place: int, kind: str) -> int | None:
    """Return the line that began the report of the error for which the kernel panicked."""
    report = _CAUSES if kind in ("oops", "other", "warning") else _REPORTS.get(kind)
    if report is None:
        return None
    # An oops is what such a panic is about, however long its trace is; others may have a cause of their own
    start = 0 if kind == "oops" else max(0, place - (_NEAR if kind == "init-exited" else _BEFORE))
    places = [n for n in heads if start <= n < place and report.match(lines[n])]
    return _first_of_last(places) if places else None


def _first_of_last(places: list[int]) -> int:
    """Return the first line of the last report: its lines are at most 20 lines apart."""
    first = places[-1]
    for place in reversed(places):
        if first - place > 20:
            break
        first = place
    return first


def _trace(lines: Sequence[bytes], start: int, end: int) -> tuple[str, ...]:
    """Return the lines of the first call trace in a part of the log, after where it happened."""
    head = next((n for n in range(start, end) if _TRACE_HEAD.match(lines[n])), None)
    places = (_PLACE.match(line) for line in lines[start : end if head is None else head])
    trace = [safe_text(place[1]) for place in places if place][:1]
    if head is None:
        return tuple(trace)
    if trace and trace[0] in safe_text(
        lines[min(head + 1, len(lines) - 1)]
    ):  # aarch64 begins its trace with it
        trace = []
    for line in lines[head + 1 : head + 1 + _MAX_TRACE]:
        if not _TRACE_ENTRY.match(line) or line.strip().startswith(_END):
            break
        if line.strip() not in (b"<TASK>", b"</TASK>"):
            trace.append(safe_text(_ADDRESS.sub(b"", line.strip())))
    return tuple(trace)
