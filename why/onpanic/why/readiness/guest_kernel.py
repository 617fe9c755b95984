"""What a running Linux says about how it would panic, read from its memory."""

from typing import NamedTuple

from onpanic.core.untrusted import printable
from onpanic.why.kernel.kernel_memory import kernel_memory
from onpanic.why.kernel.kernel_symbols import has_symbol_table, kernel_symbols
from onpanic.why.kernel.virtual_memory import VirtualMemory
from onpanic.why.kernel.vmcoreinfo import VmcoreInfo
from onpanic.why.locating.vmcoreinfo_search import release_of
from onpanic.why.memory.reading import MemoryFault, Reading, paged
from onpanic.why.readiness.pvpanic_driver import (
    GuestModule,
    PvpanicInstance,
    guest_modules,
    notifier_blocks,
    pvpanic_instances,
)

__all__ = ("GuestKernel", "guest_kernel")

_UTS = 4 + 3 * 65  # bytes
_SETTINGS = ("panic_timeout", "panic_on_oops")
_NOTIFY = "pvpanic_panic_notify"  # pvpanic's notifier
_FW_CFG = "fw_cfg_sysfs_probe"  # of qemu_fw_cfg
_SYMBOLS = (
    "panic_notifier_list",
    "modules",
    "kexec_crash_image",
    "crash_kexec_post_notifiers",
    "pvpanic_list",
    "vmlinux_build_id",
    _NOTIFY,
    _FW_CFG,
    *_SETTINGS,
)
_MAX_FETCHES = 2000  # 60 were enough for every kernel that was tried
_NEAR = 1 << 16  # bytes around a module's `struct module` in which its other data is


class GuestKernel(NamedTuple):
    """What a Linux says.  None stands for what is not known.

    :param release: The release that the running kernel has, e.g. ``6.1.0-41-cloud-amd64``.
    :param build: The id of its build, in hexadecimal digits; empty if it is not known.
    :param modules: The names of the modules that are loaded.
    :param built_in: Those of ``pvpanic`` and ``qemu_fw_cfg`` that are a part of the kernel.
    :param notified: Whether pvpanic is notified of a panic.
    :param devices: The devices that pvpanic serves; empty if none was found.
    :param crash_kernel: Whether a crash kernel (kdump) is loaded.
    :param after_notifiers: Whether it starts only after the notifiers: ``crash_kexec_post_notifiers``.
    :param settings: ``panic_timeout`` and ``panic_on_oops``.
    :param unknown: Why something is not known; empty if all is.
    """

    release: str = ""
    build: str = ""
    modules: frozenset[str] | None = None
    built_in: frozenset[str] = frozenset()
    notified: bool | None = None
    devices: tuple[PvpanicInstance, ...] = ()
    crash_kernel: bool | None = None
    after_notifiers: bool | None = None
    settings: dict[str, int] = {}  # noqa: RUF012  a tuple is not changed
    unknown: str = ""


def guest_kernel(note: bytes, architecture: str, byte_order: str = "<") -> "Reading[GuestKernel]":
    """Return what a running Linux says.  Handles every fault of memory.

    :param note: Its vmcoreinfo.
    :param architecture: As QEMU names it.
    :param byte_order: ``<`` or ``>``, as in `struct`.
    """
    try:
        return (yield from paged(_read(VmcoreInfo(note), architecture, byte_order), max_fetches=_MAX_FETCHES))
    except MemoryFault as fault:
        return GuestKernel(unknown=f"the kernel cannot be read: {fault}")


def _read(info: VmcoreInfo, architecture: str, byte_order: str) -> "Reading[GuestKernel]":
    memory = kernel_memory(info, architecture, byte_order)
    content = yield from memory.read(info.symbol("init_uts_ns"), _UTS)
    known = GuestKernel(printable(release_of(content).decode("ascii", "replace"), 64))
    if not has_symbol_table(info):
        return known._replace(unknown="Linux before 6.0 does not say where its symbols are")
    try:
        symbols = yield from kernel_symbols(info, memory, _SYMBOLS)
    except MemoryFault as fault:
        return known._replace(unknown=f"the kernel's symbols cannot be read: {fault}")
    if "panic_timeout" not in symbols:
        return known._replace(unknown="the kernel was built without CONFIG_KALLSYMS_ALL")
    try:
        known = yield from _settings(memory, symbols, known)
        return (yield from _drivers(memory, symbols, known))
    except MemoryFault as fault:
        return known._replace(unknown=f"a part of the kernel cannot be read: {fault}")


def _settings(
    memory: VirtualMemory, symbols: dict[str, list[int]], known: GuestKernel
) -> "Reading[GuestKernel]":
    settings = {}
    for name in _SETTINGS:
        if name in symbols:
            value = yield from memory.integer(symbols[name][0], 4)
            settings[name] = value - (1 << 32) if value >> 31 else value
    known = known._replace(settings=settings, crash_kernel=False, after_notifiers=False)
    if "vmlinux_build_id" in symbols:
        known = known._replace(build=(yield from memory.read(symbols["vmlinux_build_id"][0], 20)).hex())
    if "kexec_crash_image" in symbols:
        image = yield from memory.integer(symbols["kexec_crash_image"][0])
        known = known._replace(crash_kernel=image != 0)
    if "crash_kexec_post_notifiers" in symbols:
        flag = yield from memory.integer(symbols["crash_kexec_post_notifiers"][0], 1)
        known = known._replace(after_notifiers=flag != 0)
    return known


def _drivers(
    memory: VirtualMemory, symbols: dict[str, list[int]], known: GuestKernel
) -> "Reading[GuestKernel]":
    parts = {"pvpanic": _NOTIFY, "qemu_fw_cfg": _FW_CFG}
    known = known._replace(built_in=frozenset(name for name, symbol in parts.items() if symbol in symbols))
    modules: tuple[GuestModule, ...] = ()
    if "modules" in symbols:
        modules = yield from guest_modules(memory, symbols["modules"][0])
    known = known._replace(modules=frozenset(module.name for module in modules if module.live))
    blocks = yield from notifier_blocks(memory, _only(symbols, "panic_notifier_list"))
    module = next((m for m in modules if m.name == "pvpanic" and m.live), None)
    called = set(symbols.get(_NOTIFY, ()))
    notified = not called.isdisjoint(blocks.values()) or (
        module is not None and any(abs(block - module.address) < _NEAR for block in blocks)
    )
    devices = yield from pvpanic_instances(memory, symbols.get("pvpanic_list", ()), module)
    return known._replace(notified=notified, devices=devices)


def _only(symbols: dict[str, list[int]], name: str) -> int:
    if len(symbols.get(name, ())) != 1:
        raise MemoryFault(f"the kernel has {len(symbols.get(name, ()))} symbols {name}")
    return symbols[name][0]
