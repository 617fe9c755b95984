"""Commands of a guest by which its Linux panics in many ways."""

from .linux_kernels import Linux, kernel, kernel_module
from .patched_module import CALL, DEEP, DIVIDE, NESTED, NULL, NULL_AARCH64, SPIN, patched

__all__ = ("TRIGGERS", "panicking_linux")

#: The lines that are sent to the guest for each kind of panic.
TRIGGERS: dict[str, tuple[str, ...]] = {
    "sysrq": ("panic",),
    "null pointer": ("run settings panic_on_oops=1", "run insmod /null.ko"),
    "null pointer of init": ("run exec insmod /null.ko",),
    "jump to 0": ("run settings panic_on_oops=1", "run calls 0 0 0"),
    "page fault": ("run settings panic_on_oops=1", "run calls kfree deadbeef000 0"),
    "general protection": ("run settings panic_on_oops=1", "run calls strlen 1234567812345678 0"),
    "divide": ("run settings panic_on_oops=1", "run insmod /divide.ko"),
    "bug": ("run settings panic_on_oops=1", "run calls usercopy_abort 0 0"),
    "warning": (
        "run settings panic_on_warn=1",
        "run calls refcount_warn_saturate sysctl_hung_task_warnings 3",
    ),
    "stack protector": ("run calls __stack_chk_fail 0 0",),
    "stack overflow": ("run settings panic_on_oops=1", "run insmod /deep.ko"),
    "out of memory": ("run settings vm.panic_on_oom=1", "run fill"),
    "out of memory, always": ("run settings vm.panic_on_oom=2", "run fill"),
    "hung task": (
        "run settings hung_task_panic=1 hung_task_timeout_secs=1",
        "run calls schedule_timeout_uninterruptible 7fffffff 0",
    ),
    "soft lockup": ("run settings softlockup_panic=1 watchdog_thresh=1", "run insmod /spin.ko"),
    "init exits": ("run exit 3",),
    "panic of a module": ("run calls panic linux_banner 0",),
    "nmi": ("run settings unknown_nmi_panic=1", "monitor inject-nmi"),
    "overwritten log": ("run flood", "panic"),
    "nested": ("run settings panic_on_oops=1", "run nested", "panic"),
}

# calls: a function and two arguments, each in hexadecimal digits, or the name of a symbol of the kernel;
# nested: pvpanic's driver reports after the notifiers that were registered before it
_COMMANDS = """\
symbol() {{
  case $1 in
    [0-9]*|deadbeef*) printf %016x 0x$1 ;;
    *) grep -F " $1" /proc/kallsyms | grep -m1 " $1$" | cut -c1-16 ;;
  esac
}}
poke() {{
  number=$(symbol $3)
  for place in 14 12 10 8 6 4 2 0; do printf "\\\\x${{number:$place:2}}"; done |
    dd of=$1 bs=1 seek=$2 conv=notrunc 2>/dev/null
}}
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
flood() {{
  seq 10000000 10002500 | while read n; do echo $n-$n-$n-$n-$n-$n-$n; done > /dev/kmsg
}}
fill() {{
  mkdir /full
  mount -t ramfs none /full
  cat /dev/zero > /full/it
}}
"""

_MODULES = {"call": CALL, "deep": DEEP, "divide": DIVIDE, "nested": NESTED, "null": NULL, "spin": SPIN}


def panicking_linux(suite: str, flavour: str = "cloud", architecture: str = "amd64") -> Linux:
    """Return a Linux that `TRIGGERS` make panic; one for arm64 has no `calls`, and only the module `null`.

    :raise FetchError: When it cannot be fetched.
    """
    module = kernel_module(kernel(suite, flavour, architecture), "qemu_fw_cfg")
    files: dict[str, bytes] = {}
    places: dict[str, int] = {}
    if architecture == "arm64":
        files["null.ko"], _ = patched(module, NULL_AARCH64.code)
        places = dict.fromkeys(("function", "first", "second", "list", "register", "sleep"), 0)
    for name, code in _MODULES.items() if architecture == "amd64" else ():
        files[f"{name}.ko"], place = patched(module, code.code)
        places |= {number: place + offset for number, offset in code.numbers.items()}
    return kernel(
        suite, flavour, architecture, files={**files, "commands": _COMMANDS.format(**places).encode()}
    )
