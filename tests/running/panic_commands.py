"""Commands of a guest by which its Linux panics in many ways."""

from .linux_kernels import Linux, kernel, kernel_module
from .patched_module import CALL, NESTED, NULL, SPIN, patched

__all__ = ("TRIGGERS", "panicking_linux")

#: The lines of shell for each kind of panic.
TRIGGERS: dict[str, tuple[str, ...]] = {
    "sysrq": ("panic",),
    "null pointer": ("run settings panic_on_oops=1", "run insmod /null.ko"),
    "null pointer in the idle of init": ("run exec insmod /null.ko",),
    "BUG": ("run settings panic_on_oops=1", "run calls usercopy_abort 0 0"),
    "WARN": ("run settings panic_on_warn=1", "run calls refcount_warn_saturate @sysctl_hung_task_warnings 3"),
    "out of memory": ("run settings vm.panic_on_oom=1", "run fill"),
    "out of memory, always": ("run settings vm.panic_on_oom=2", "run fill"),
    "hung task": (
        "run settings hung_task_panic=1 hung_task_timeout_secs=1",
        "run calls schedule_timeout_uninterruptible 7fffffff 0",
    ),
    "init exits": ("run exit 3",),
    "soft lockup": ("run settings softlockup_panic=1 watchdog_thresh=1", "run insmod /spin.ko"),
    "RCU stall": (
        "run settings panic_on_rcu_stall=1",
        "run echo 3 > /sys/module/rcupdate/parameters/rcu_cpu_stall_timeout",
        "run insmod /spin.ko",
    ),
    "stack": ("run calls __stack_chk_fail 0 0",),
    "nested": ("run settings panic_on_oops=1", "run nested", "panic"),
    "nested, no panic_on_oops": ("run nested", "panic"),
    "page fault": ("run settings panic_on_oops=1", "run calls kfree deadbeef000 0"),
    "general protection": ("run settings panic_on_oops=1", "run calls strlen 1234567812345678 0"),
    "jump to nowhere": ("run settings panic_on_oops=1", "run calls 0 0 0"),
    "jump to 1234": ("run settings panic_on_oops=1", "run calls 1234 0 0"),
    "panic by a module": ("run calls panic @linux_banner 0",),
    "stack overflow": ("run settings panic_on_oops=1", "run insmod /deep.ko"),
    "divide": ("run settings panic_on_oops=1", "run insmod /divide.ko"),
}

_COMMANDS = """\
le() {{ for i in 14 12 10 8 6 4 2 0; do printf "\\\\x${{1:$i:2}}"; done; }}
symbol() {{
  case $1 in
    [0-9]*|deadbeef*) printf %016x 0x$1 ;;
    *) awk -v name=${{1#@}} '$3 == name {{ print $1; exit }}' /proc/kallsyms ;;
  esac
}}
poke() {{ le $(symbol $3) | dd of=$1 bs=1 seek=$2 conv=notrunc 2>/dev/null; }}
calls() {{
  poke /call.ko {function} $1
  poke /call.ko {first} $2
  poke /call.ko {second} $3
  insmod /call.ko &
}}
nested() {{
  for driver in pvpanic_mmio pvpanic_pci pvpanic; do rmmod $driver 2>/dev/null; done
  poke /nested.ko {list} panic_notifier_list
  poke /nested.ko {register} atomic_notifier_chain_register
  poke /nested.ko {sleep} schedule_timeout_uninterruptible
  insmod /nested.ko &
  sleep 1
  for driver in pvpanic pvpanic-mmio pvpanic-pci; do insmod /$driver.ko 2>/dev/null; done
}}
settings() {{
  for setting in $*; do
    case $setting in
      vm.*) name=vm/${{setting#vm.}} ;;
      *) name=kernel/$setting ;;
    esac
    echo ${{setting#*=}} > /proc/sys/${{name%%=*}}
  done
}}
fill() {{ mkdir /full; mount -t ramfs none /full; cat /dev/zero > /full/it; }}
"""

# div ecx, with a divisor of 0; a function that calls itself
_DIVIDE, _DEEP = bytes.fromhex("31c9 31d2 f7f1"), bytes.fromhex("50 e8faffffff")


def panicking_linux(suite: str, flavour: str = "cloud") -> Linux:
    """Return a Linux for amd64 that `TRIGGERS` make panic.

    :raise FetchError: When it cannot be fetched.
    """
    module = kernel_module(kernel(suite, flavour), "qemu_fw_cfg")
    files: dict[str, bytes] = {}
    places: dict[str, int] = {}
    for name, code in (("call", CALL), ("nested", NESTED)):
        files[f"{name}.ko"], place = patched(module, code.code)
        places |= {number: place + offset for number, offset in code.numbers.items()}
    for name, plain in (("null", NULL.code), ("spin", SPIN.code), ("divide", _DIVIDE), ("deep", _DEEP)):
        files[f"{name}.ko"], _ = patched(module, plain)
    files["commands"] = _COMMANDS.format(**places).encode()
    return kernel(suite, flavour, files=files)
