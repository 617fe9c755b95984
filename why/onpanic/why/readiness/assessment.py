"""From what a machine has and a kernel says to whether a panic would be reported and could be read."""

from typing import Literal, NamedTuple

from onpanic.probe.emulator.command_line import X86
from onpanic.probe.emulator.notifier_models import ISA_TYPES, PCI_TYPE
from onpanic.why.kernel.vmcoreinfo import VmcoreInfo
from onpanic.why.readers.machine_devices import MachineDevices
from onpanic.why.readiness.guest_kernel import GuestKernel
from onpanic.why.readiness.readiness_result import Readiness, ReadinessAnswer
from onpanic.why.words.last_words import LastWords

__all__ = ("SeenGuest", "assess")

_PANICKED, _CRASH_LOADED = 1, 2  # events of pvpanic, see QEMU's docs/specs/pvpanic.rst

#: The module that serves a device; all of them need ``pvpanic``.
_MODULES = {
    **dict.fromkeys(ISA_TYPES, "pvpanic_mmio"),
    "pvpanic-mmio": "pvpanic_mmio",
    PCI_TYPE: "pvpanic_pci",
}

_NO_DEVICE = "start QEMU with -device vmcoreinfo; in libvirt: <features><vmcoreinfo state='on'/></features>"
_NO_FW_CFG = "load the module qemu_fw_cfg in the guest, and at each of its boots"
_NO_NOTIFIER = "onpanic to-libvirt adds one to a domain; without libvirt: -device"
_LOWCORE = "the kernel keeps the place of its vmcoreinfo at a fixed address"
_S390 = "a panic ends in a disabled wait unless /sys/firmware/shutdown_actions/on_panic says otherwise"
_KDUMP = "boot the guest with crash_kexec_post_notifiers=1, or stop its kdump service"
_EVENTS = "let the device and the driver report all events: their property and sysfs attribute events"


class SeenGuest(NamedTuple):
    """What is seen of a guest from outside.

    :param running: Whether it runs.
    :param architecture: As QEMU names it.
    :param devices: What its machine has.
    :param note: Its vmcoreinfo; None if there is none.
    :param noted: Whether QEMU has the note; None if a running guest would have to be stopped to know.
    :param kernel: What its kernel says.
    :param words: Its log as it is now.
    """

    running: bool
    architecture: str
    devices: MachineDevices
    note: bytes | None
    noted: bool | None
    kernel: GuestKernel
    words: LastWords


def assess(seen: SeenGuest) -> Readiness:
    """Return whether a panic of a guest would be reported and could be read."""
    answers = [_memory(seen)]
    if answers[0].answer != "no":
        log = _log(seen)
        answers += [_note(seen, log), _kernel(seen), log]
    answers.append(_notifier(seen))
    if answers[0].answer != "no" and seen.devices.notifiers:
        answers += [_driver(seen), _kdump(seen)]
    return Readiness(
        guest=seen.words.guest,
        architecture=seen.architecture,
        release=seen.kernel.release,
        answers=tuple(answers),
        settings=seen.kernel.settings,
    )


def _memory(seen: SeenGuest) -> ReadinessAnswer:
    if seen.devices.encryption:
        return _answer("memory", "no", f"the guest's memory is encrypted: {seen.devices.encryption}")
    return _answer("memory", "yes", "nothing encrypts the guest's memory")


def _note(seen: SeenGuest, log: ReadinessAnswer) -> ReadinessAnswer:
    """Without the note a log may be readable all the same, by the kernel's own pointers."""
    if seen.architecture == "s390x":
        return _answer("note", "no" if seen.note is None else "yes", _LOWCORE)
    matters = log.answer != "yes"
    known = seen.kernel.modules
    if seen.noted or (seen.noted is None and _has(seen.kernel, "qemu_fw_cfg") and _noting(seen)):
        how = "QEMU has it" if seen.noted else "the machine has the vmcoreinfo device, the guest its driver"
        return _answer("note", "yes", how)
    if not _noting(seen):
        how = "the machine has no vmcoreinfo device" + ("" if matters else "; its log can be read without it")
        return _answer("note", "no", how, _NO_DEVICE, matters=matters)
    if seen.noted is None and known is None:
        how = f"whether the guest has loaded qemu_fw_cfg is not known: {seen.kernel.unknown}"
        return _answer("note", "unknown", how, matters=matters)
    # the note outlives the driver, so that its absence now proves nothing of a running guest
    how = "qemu_fw_cfg is not loaded in the guest"
    if seen.noted is None:
        return _answer("note", "unknown", how, _NO_FW_CFG, matters=matters)
    return _answer("note", "no", how, _NO_FW_CFG, matters=matters)


def _kernel(seen: SeenGuest) -> ReadinessAnswer:
    if seen.note is None or not seen.kernel.release:
        return _answer("kernel", "unknown", seen.kernel.unknown or "there is no vmcoreinfo")
    info = VmcoreInfo(seen.note)
    build = info.values.get("BUILD-ID", "")
    if info.release != seen.kernel.release or (seen.kernel.build and build and build != seen.kernel.build):
        how = f"the vmcoreinfo is of {info.release}, the guest runs {seen.kernel.release}"
        return _answer("kernel", "no", how, "reboot the guest")
    which = " and its build's id" if seen.kernel.build and build else ""
    return _answer("kernel", "yes", f"the vmcoreinfo has the running kernel's release{which}")


def _log(seen: SeenGuest) -> ReadinessAnswer:
    if seen.words.lines:
        return _answer("log", "yes", f"{len(seen.words.lines)} lines are readable now")
    if seen.words.guest == "windows":
        return _answer("log", "yes", "the header of its crash dump is readable")
    how = seen.words.notes[0] if seen.words.notes else "there are no lines"
    return _answer("log", "unknown" if seen.note is None and seen.running else "no", how)


def _notifier(seen: SeenGuest) -> ReadinessAnswer:
    notifiers = seen.devices.notifiers
    if not notifiers:
        device = ISA_TYPES[0] if seen.architecture in X86 else PCI_TYPE
        return _answer("notifier", "no", "the machine has no panic notifier", f"{_NO_NOTIFIER} {device}")
    if all(events is not None and not events & _PANICKED for events in notifiers.values()):
        return _answer("notifier", "no", f"{_names(seen)} does not report that a guest panicked", _EVENTS)
    return _answer("notifier", "yes", f"the machine has {_names(seen)}")


def _driver(seen: SeenGuest) -> ReadinessAnswer:
    kernel, kinds = seen.kernel, [kind for kind in seen.devices.notifiers if kind in _MODULES]
    if not kinds:
        how = f"whether the guest reports panics through {_names(seen)} is not read from its memory"
        return _answer("driver", "unknown", _S390 if "s390" in seen.devices.notifiers else how)
    modules = sorted({_MODULES[kind] for kind in kinds})
    remedy = f"load the module {' or '.join(modules)} in the guest, and at each of its boots"
    if kernel.modules is None or kernel.notified is None:
        return _answer("driver", "unknown", kernel.unknown)
    if not _has(kernel, "pvpanic"):
        return _answer("driver", "no", "the guest has not loaded pvpanic", remedy)
    if "pvpanic" not in kernel.built_in and kernel.modules.isdisjoint(modules):
        how = f"the guest has loaded pvpanic, but not {' or '.join(modules)}"
        return _answer("driver", "no", how, remedy)
    if not kernel.devices:
        return _answer(
            "driver", "unknown", "the guest has loaded pvpanic; no device that it serves was found"
        )
    if not any(device.events & _PANICKED for device in kernel.devices):
        return _answer("driver", "no", "the guest's pvpanic does not report that it panicked", _EVENTS)
    if not kernel.notified:
        return _answer("driver", "no", "the guest's pvpanic is not notified of panics", remedy)
    return _answer("driver", "yes", "the guest's pvpanic serves the device, and is notified of panics")


def _kdump(seen: SeenGuest) -> ReadinessAnswer:
    kernel = seen.kernel
    if kernel.crash_kernel is None:
        return _answer("kdump", "unknown", kernel.unknown or "there is no vmcoreinfo")
    if not kernel.crash_kernel:
        return _answer("kdump", "yes", "no crash kernel is loaded that would take over without a word")
    if not any(kind in _MODULES for kind in seen.devices.notifiers):
        how = f"a crash kernel is loaded; whether {_names(seen)} reports that it takes over is not known"
        return _answer("kdump", "unknown", how)
    if not kernel.after_notifiers:
        how = "a crash kernel is loaded, and takes over before the notifier is told"
        return _answer("kdump", "no", how, _KDUMP)
    if kernel.devices and not any(device.events & _CRASH_LOADED for device in kernel.devices):
        how = "a crash kernel is loaded, and the notifier does not report that one takes over"
        return _answer("kdump", "no", how, _EVENTS)
    return _answer("kdump", "yes", "a crash kernel is loaded; that it takes over is reported before it does")


def _noting(seen: SeenGuest) -> bool:
    return "vmcoreinfo" in seen.devices.types


def _has(kernel: GuestKernel, part: str) -> bool:
    return part in kernel.built_in or part in (kernel.modules or ())


def _names(seen: SeenGuest) -> str:
    return " and ".join(sorted(seen.devices.notifiers))


def _answer(
    name: str, answer: Literal["yes", "no", "unknown"], how: str, remedy: str = "", *, matters: bool = True
) -> ReadinessAnswer:
    return ReadinessAnswer(name=name, answer=answer, how=how, remedy=remedy, matters=matters)
