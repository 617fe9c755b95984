"""The machine of a played emulator: its devices and run state, and what a panic does to them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from onpanic.probe.testing.played_emulator import PlayedEmulator, PlayedNotifier

__all__ = ("PlayedDevice", "PlayedMachine", "StartRefused")

_ISA = ("pvpanic", "isa-pvpanic")
_PCI = "pvpanic-pci"
_STEPS = {"at-once": 0, "after-reply": 1, "after-next-reply": 2}
_NEEDS_RESET = ("internal-error", "shutdown")
_NO_KVM = {"absent": "No such file or directory", "denied": "Permission denied"}


class StartRefused(Exception):  # noqa: N818
    """The emulator does not start.

    :param words: What it prints.
    """

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class PlayedDevice(NamedTuple):
    """A pvpanic in the machine.

    :param type: Its QOM type.
    :param path: Its QOM path.
    :param port: Its I/O port; None for a PCI device.
    :param does: What a panic does.
    """

    type: str
    path: str
    port: int | None
    does: PlayedNotifier

    @property
    def builtin(self) -> bool:
        """True if the machine type created it."""
        return not self.path.startswith("/machine/peripheral")


class PlayedMachine:
    """A machine that was started with options; what it says meanwhile is in `said`.

    :param like: The emulator.
    :param options: Its command line.
    :raise StartRefused: When QEMU would refuse to start.
    :ivar status: The run state.
    :ivar exit_status: With which status the emulator has ended; None while it runs.
    :ivar said: QMP messages that are still to be sent.
    """

    def __init__(self, like: PlayedEmulator, options: Sequence[str]) -> None:
        self.like = like
        self.status = like.run_state
        self.exit_status: int | None = None
        self.said: list[dict[str, Any]] = []
        self.marker = 0
        self.register: int | None = None  # where the PCI device's register is mapped
        self._later: list[tuple[int, Callable[[], None]]] = []
        self._lost: dict[str, int] = {}
        self._has_run = False
        pairs = list(zip(options, options[1:], strict=False))
        self.name = _machine_type(like, pairs)
        if self.name in like.unstartable:
            raise StartRefused(like.unstartable[self.name])
        self.kvm = any("accel=kvm" in value for flag, value in pairs if flag == "-machine")
        if self.kvm and like.kvm in _NO_KVM:
            why = _NO_KVM[like.kvm]
            raise StartRefused(f"Could not access KVM kernel module: {why}\nfailed to initialize kvm: {why}")
        self.hyperv = any("hv-crash" in value for flag, value in pairs if flag == "-cpu")
        if self.hyperv and not like.hv_crash:
            raise StartRefused(
                "can't apply global qemu64-x86_64-cpu.hv-crash=on: Property '.hv-crash' not found"
            )
        self.boots_image = any(flag == "-bios" and value != "none" for flag, value in pairs)
        self.devices = [self._builtin()] if self.name in like.builtin else []
        for value in [value for flag, value in pairs if flag == "-device"]:
            self.devices.append(self._added(value))
        for value in [value for flag, value in pairs if flag == "-global"]:
            self._move(value)
        if like.early_event:
            self.event("GUEST_PANICKED", action="pause")

    def _builtin(self) -> PlayedDevice:
        like = self.like
        name = "builtin" if "builtin" in like.notifiers else like.builtin_type
        return PlayedDevice(like.builtin_type, like.builtin_path, like.builtin_port, like.notifier(name))

    def _added(self, value: str) -> PlayedDevice:
        """Return a device that was asked for."""
        like = self.like
        kind, _, identity = value.partition(",id=")
        if kind not in like.types:
            raise StartRefused(f"-device {value}: '{kind}' is not a valid device model name")
        bus = "PCI" if kind == _PCI else "ISA"
        if self.name in (like.without_pci if bus == "PCI" else like.without_isa) or self.name == "none":
            raise StartRefused(f"-device {value}: No '{bus}' bus found for device '{kind}'")
        if bus == "ISA" and not like.beside_builtin and self.devices:
            raise StartRefused("duplicate fw_cfg file name: etc/pvpanic-port")
        port = None if bus == "PCI" else like.port
        return PlayedDevice(kind, f"/machine/peripheral/{identity}", port, like.notifier(kind))

    def _move(self, value: str) -> None:
        """Carry out ``-global TYPE.ioport=PORT``."""
        name, _, port = value.partition("=")
        self.devices = [
            device._replace(port=int(port, 0)) if name == f"{device.type}.ioport" else device
            for device in self.devices
        ]

    # What happens in it

    def event(self, name: str, **data: Any) -> None:
        """Send an event."""
        stamp = {"seconds": 0, "microseconds": 0}
        self.said.append({"event": name, "timestamp": stamp} | ({"data": data} if data else {}))

    def replied(self) -> None:
        """Note that a command was answered: a panic may take effect after that."""
        due = [act for steps, act in self._later if steps == 1]
        self._later = [(steps - 1, act) for steps, act in self._later if steps > 1]
        for act in due:
            if self.exit_status is None:
                act()

    def at(self, port: int) -> PlayedDevice | None:
        """Return the ISA device that answers at a port."""
        return next((d for d in self.devices if d.port == port and d.does.mask is not None), None)

    def write(self, device: PlayedDevice, value: int) -> None:
        """Write a device's register."""
        known = self.like.schema or self.like.events or ()
        if value == 1:
            self.panic(device.does, device.path)
        elif value == 2 and device.does.crashloaded and device.does.event and "GUEST_CRASHLOADED" in known:
            self.event("GUEST_CRASHLOADED", action="run")

    def panic(self, does: PlayedNotifier, name: str, info: dict[str, Any] | None = None) -> None:
        """Report a panic.

        :param does: What that does.
        :param name: Distinguishes the notifiers of this machine.
        :param info: The event's ``info``.
        """
        self._lost[name] = self._lost.get(name, 0) + 1
        if self._lost[name] <= does.lost:
            return
        steps = _STEPS[does.when]
        if steps:
            self._later.append((steps, lambda: self._take_effect(does, info)))
        else:
            self._take_effect(does, info)

    def _take_effect(self, does: PlayedNotifier, info: dict[str, Any] | None) -> None:
        if does.event and not (does.ends is not None and does.ends_first):
            for _ in range(does.times):
                self.event("GUEST_PANICKED", action=does.event, **({"info": info} if info else {}))
        if does.ends is not None:
            self.exit_status = does.ends
        elif self.status == "running" and does.state != "running":
            self.status = does.state
            self.event("SHUTDOWN" if does.state == "shutdown" else "STOP")

    def cont(self) -> str:
        """Carry out ``cont``, and return why it is refused; empty if it is not."""
        if self.status == "guest-panicked" and self.like.cont_stays:
            return ""
        if self.status == "guest-panicked" and not self.like.resumable:
            return self.like.cont_refusal
        if self.status in _NEEDS_RESET:
            return "Resetting the Virtual Machine is required"
        if self.status != "running":
            self.status = "running"
            self.event("RESUME")
            self._run()
        return ""

    def _run(self) -> None:
        """Do what the guest's firmware does first."""
        if self._has_run:
            return
        self._has_run = True
        if self.like.pci == "by-firmware" and any(d.type == _PCI for d in self.devices):
            self.register = 0xFEBFF000
        if self.like.target == "s390x" and self.name != "none":
            info = {"type": "s390", "core": 0, "reason": "disabled-wait"}
            self.panic(self.like.notifier("s390"), "s390", info)
        if self.boots_image and self.like.target == "ppc64" and self.name.startswith("pseries"):
            self.marker = 1
            self.panic(self.like.notifier("pseries"), "pseries")
        if self.hyperv and self.name != "none":
            there = self.kvm and self.like.kvm == "hyperv"
            self.marker = 2 if self.kvm and not there else 1
            if there:
                self.panic(self.like.notifier("hyperv"), "hyperv", {"type": "hyper-v", "arg1": 0})

    def stop(self) -> None:
        """Carry out ``stop``."""
        if self.status == "running":
            self.status = "paused"
            self.event("STOP")

    def reset(self) -> None:
        """Carry out ``system_reset``."""
        self.event("RESET")
        self._has_run = False
        self.register = None
        if self.status != "running":
            self.status = "paused"


def _machine_type(like: PlayedEmulator, pairs: Sequence[tuple[str, str]]) -> str:
    """Return the machine type that a command line names."""
    names = like.machine_names
    words = [v.split(",")[0] for f, v in pairs if f == "-machine" and "=" not in v.split(",")[0]]
    if not words and not like.has_default:
        raise StartRefused(
            "No machine specified, and there is no default\nUse -machine help to list supported machines"
        )
    for word in words[-1:]:
        found = [name for name, alias in names.items() if word in (name, alias)]
        if not found:
            raise StartRefused(
                f"-machine {word}: unsupported machine type\nUse -machine help to list supported machines"
            )
        return found[0]
    return next(iter(names))
