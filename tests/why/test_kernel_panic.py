"""What a kernel's log says about a panic: lines as real kernels print them."""

import pytest

from onpanic.why.kernel_log.kernel_panic import KINDS, find_panic
from onpanic.why.kernel_log.log_record import LOG_KERN, LogRecord

PANIC = "Kernel panic - not syncing: "


def log(*lines: str, facility: int = LOG_KERN) -> list[LogRecord]:
    """Return a log with a line in each record."""
    return [LogRecord(n * 1_000_000, facility, 0, line.encode()) for n, line in enumerate(lines)]


#: Lines of real guests, with the kernel and what was done to it; then the kind, the cause and the trace.
REAL = {
    "5.10, aarch64, a null pointer of the first process": (
        (
            "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000",
            "Mem abort info:",
            "  ESR = 0x96000004",
            "Internal error: Oops: 96000004 [#1] SMP",
            "Modules linked in: onpanic_lab(E+) qemu_fw_cfg",
            "pc : fw_cfg_sysfs_init+0x10/0x1000 [onpanic_lab]",
            "lr : do_one_initcall+0x4c/0x2d0",
            "Call trace:",
            " fw_cfg_sysfs_init+0x10/0x1000 [onpanic_lab]",
            " do_init_module+0x50/0x260",
            "Code: 00000000 00000000 d503201f d503233f (f9400000) ",
            "---[ end trace 3a5ad24ba2a13c8d ]---",
            PANIC + "Attempted to kill init! exitcode=0x0000000b",
        ),
        "init-exited",
        "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000",
        ("fw_cfg_sysfs_init+0x10/0x1000 [onpanic_lab]", "do_init_module+0x50/0x260"),
    ),
    "6.1, an NMI": (
        (
            "Uhhuh. NMI received for unknown reason 21 on CPU 0.",
            PANIC + "NMI: Not continuing",
            "CPU: 0 PID: 0 Comm: swapper/0 Not tainted 6.1.0-56-cloud-amd64 #1  Debian 6.1.192-2",
            "Call Trace:",
            " <NMI>",
            " dump_stack_lvl+0x44/0x5c",
            " panic+0x118/0x2f4",
        ),
        "nmi",
        "Uhhuh. NMI received for unknown reason 21 on CPU 0.",
        ("<NMI>", "dump_stack_lvl+0x44/0x5c", "panic+0x118/0x2f4"),
    ),
    "6.12, a machine check": (
        (
            "mce: [Hardware Error]: CPU 0: Machine Check Exception: 4 Bank 0: b200000000000000",
            "mce: [Hardware Error]: TSC 0 ",
            PANIC + "Fatal local machine check",
        ),
        "machine-check",
        "mce: [Hardware Error]: CPU 0: Machine Check Exception: 4 Bank 0: b200000000000000",
        (),
    ),
    "6.1, a stall": (
        (
            "rcu: INFO: rcu_preempt self-detected stall on CPU",
            "rcu: \t0-....: (749 ticks this GP) idle=2f14/1/0x4000000000000000 softirq=284/284 fqs=375",
            "RIP: 0010:fw_cfg_sysfs_init+0x5/0x1000 [onpanic_lab]",
            "Call Trace:",
            " <TASK>",
            " do_one_initcall+0x59/0x220",
            " entry_SYSCALL_64_after_hwframe+0x6e/0xd8",
            "RIP: 0033:0x47fbe9",
            " </TASK>",
            PANIC + "RCU Stall",
        ),
        "rcu-stall",
        "rcu: INFO: rcu_preempt self-detected stall on CPU",
        (
            "fw_cfg_sysfs_init+0x5/0x1000 [onpanic_lab]",
            "do_one_initcall+0x59/0x220",
            "entry_SYSCALL_64_after_hwframe+0x6e/0xd8",
        ),
    ),
    "sid's, a warning": (
        (
            "------------[ cut here ]------------",
            "refcount_t: underflow; use-after-free.",
            "WARNING: lib/refcount.c:28 at refcount_warn_saturate+0x59/0x90, CPU#0: insmod/114",
            "RIP: 0010:refcount_warn_saturate+0x59/0x90",
            PANIC + "kernel: panic_on_warn set ...",
            "Call Trace:",
            " <TASK>",
            " dump_stack_lvl+0x5d/0x80",
        ),
        "warning",
        "WARNING: lib/refcount.c:28 at refcount_warn_saturate+0x59/0x90, CPU#0: insmod/114",
        ("refcount_warn_saturate+0x59/0x90", "dump_stack_lvl+0x5d/0x80"),
    ),
    "6.12, a general protection fault": (
        (
            "Oops: general protection fault, probably for non-canonical address 0x1234567812345678",
            "RIP: 0010:strlen+0x4/0x30",
            PANIC + "Fatal exception",
        ),
        "oops",
        "Oops: general protection fault, probably for non-canonical address 0x1234567812345678",
        ("strlen+0x4/0x30",),
    ),
    "6.1, a panic in a panic": (
        (
            "sysrq: Trigger a crash",
            PANIC + "sysrq triggered crash",
            "Call Trace:",
            " sysrq_handle_crash+0x16/0x20",
            "BUG: kernel NULL pointer dereference, address: 0000000000000000",
            "RIP: 0010:fw_cfg_sysfs_init+0x51/0x1000 [onpanic_lab]",
            PANIC + "Fatal exception",
        ),
        "sysrq",
        "",
        ("sysrq_handle_crash+0x16/0x20",),
    ),
}


#: As the sources of kernels print them of which no real one was read.
OLD = (
    "SysRq : Trigger a crash",
    "BUG: unable to handle kernel NULL pointer dereference at           (null)",
    "IP: [<ffffffff813b8a26>] sysrq_handle_crash+0x16/0x20",
    "PGD 3b7a5067 PUD 3b7a6067 PMD 0 ",
    "Oops: 0002 [#1] SMP ",
    "RIP: 0010:[<ffffffff813b8a26>]  [<ffffffff813b8a26>] sysrq_handle_crash+0x16/0x20",
    "Call Trace:",
    " [<ffffffff813b9247>] __handle_sysrq+0x107/0x170",
    " [<ffffffff813b96af>] write_sysrq_trigger+0x2f/0x40",
    "Code: eb 9b 45 01 f4 45 39 65 34 ",
    PANIC + "Fatal exception",
)


def test_a_kernel_that_uses_a_null_pointer_to_panic() -> None:
    panic = find_panic(log(*OLD))
    assert panic is not None
    assert (panic.reason, panic.kind, panic.cause) == ("Fatal exception", "sysrq", OLD[1])
    assert panic.trace == (
        "sysrq_handle_crash+0x16/0x20",
        "__handle_sysrq+0x107/0x170",
        "write_sysrq_trigger+0x2f/0x40",
    )
    panic = find_panic(log(*OLD[1:]))
    assert panic is not None
    assert panic.kind == "null-pointer"


@pytest.mark.parametrize("name", REAL)
def test_what_real_kernels_say(name: str) -> None:
    lines, kind, cause, trace = REAL[name]
    panic = find_panic(log(*lines))
    assert panic is not None
    assert (panic.kind, panic.cause, panic.trace) == (kind, cause, trace)
    assert panic.reason == next(line for line in lines if line.startswith(PANIC)).removeprefix(PANIC)
    assert panic.kind in KINDS


def test_a_long_trace_does_not_hide_the_cause() -> None:
    """A stack that overflowed has a line for each of its frames."""
    cause = "BUG: TASK stack guard page was hit at (____ptrval____)"
    frames = [" deep+0xb/0x1000"] * 1000
    panic = find_panic(log(cause, "Call Trace:", *frames, PANIC + "Fatal exception in interrupt"))
    assert panic is not None
    assert (panic.kind, panic.cause) == ("stack-corrupted", cause)


@pytest.mark.parametrize(
    "reason", ["sysrq triggered crash", "VFS: Unable to mount root fs on unknown-block(0,0)"]
)
def test_an_older_warning_is_not_the_cause(reason: str) -> None:
    panic = find_panic(log("WARNING: CPU: 0 PID: 1 at lib/refcount.c:28", "Call Trace:", PANIC + reason))
    assert panic is not None
    assert panic.cause == ""


def test_what_is_far_from_the_end_of_init_is_not_its_cause() -> None:
    rest = ["a line"] * 200
    panic = find_panic(
        log("BUG: scheduling while atomic", *rest, PANIC + "Attempted to kill init! exitcode=0")
    )
    assert panic is not None
    assert (panic.kind, panic.cause) == ("init-exited", "")


def test_a_program_cannot_invent_a_panic() -> None:
    """What it writes to /dev/kmsg has another facility."""
    assert find_panic(log(PANIC + "sysrq triggered crash", facility=1)) is None


def test_a_line_feed_in_a_text_of_a_users_invents_no_panic() -> None:
    """The kernel logs an option that mount does not know, and any user of the guest can choose its name."""
    option = f"tmpfs: Unknown parameter 'x\n{PANIC}made up'"
    assert find_panic(log("a line", option)) is None
    found = find_panic(
        log(f"x: Unknown parameter 'x\nBUG: made up\n{PANIC}made up'", PANIC + "Fatal exception")
    )
    assert found
    assert (found.reason, found.cause) == ("Fatal exception", "")


@pytest.mark.parametrize(
    "line",
    [
        "Krnl PSW : 0704c00180000000 000000000076dd6e (sysrq_handle_crash+0x2e/0x30)",
        "NIP [c0000000008e5c68] sysrq_handle_crash+0x2e/0x30",
    ],
)
def test_the_place_in_the_words_of_s390x_and_ppc64(line: str) -> None:
    """As arch/s390/kernel/dumpstack.c and arch/powerpc/kernel/process.c print it; no real one was read."""
    cause = "Unable to handle kernel pointer dereference in virtual kernel address space"
    panic = find_panic(log(cause, line, "Call Trace:", " kfree+0x10/0x20", PANIC + "Fatal exception"))
    assert panic is not None
    assert panic.trace == ("sysrq_handle_crash+0x2e/0x30", "kfree+0x10/0x20")
