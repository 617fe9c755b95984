"""Values of ``-cpu``, ``-machine`` and ``-device`` that only KVM can carry out.

A probe emulates the CPU, and QEMU then refuses to start with these values.  They were found by setting
the properties of CPUs and machine types one by one: those of x86 with QEMU 7.2, others with 10.0 or 11.1.
"""

import re

__all__ = ("NEED_HYPERV", "cpu_without_kvm", "device_needs_kvm", "machine_without_kvm")

#: Devices that are refused without Hyper-V's interrupts.
NEED_HYPERV = "vmbus-bridge hv-balloon hv-syndbg"

# Targets that have -cpu max in every version that has -cpu host
_HAVE_MAX = ("i386", "x86_64", "arm", "aarch64", "s390x")
_X86 = ("i386", "x86_64")
_ARM = ("arm", "aarch64")
_ON = ("", "on", "yes", "true")
_OFF = ("off", "no", "false")
# IBM's machines, e.g. z14ZR1-base, gen15a: TCG lacks features of each but the oldest
_S390_MODEL = re.compile(r"(?:z\d|zEC\d|zBC\d|gen\d)[\w.]*(?:-base)?")
_LOONGARCH = ("lbt", "pmu", "kvm-steal-time")
_PSERIES = ("cap-htm", "cap-nested-hv", "cap-rpt-invalidate")


def cpu_without_kvm(value: str, target: str) -> str | None:
    """Return a CPU that can be emulated in place of one; None for the machine type's own.

    ``max`` is the same as ``host`` where KVM is used.

    :param value: The argument of ``-cpu``.
    :param target: The emulator's target, e.g. ``x86_64``.
    """
    model, *features = value.split(",")
    if model == "host" and target not in _HAVE_MAX:
        return None
    if target == "s390x" and (model == "host" or _S390_MODEL.fullmatch(model)):
        return "max"
    kept = [one for one in features if not _feature_needs_kvm(one, target)]
    return ",".join(("max" if model == "host" else model, *kept))


def _feature_needs_kvm(feature: str, target: str) -> bool:
    """Return whether a feature of a CPU is refused without KVM."""
    name, _, word = feature.lstrip("+").replace("_", "-").partition("=")
    if name == "enforce" or (name == "hv-vpindex" and target in _X86):
        return word in _ON
    if name == "phys-bits":
        return True
    if target in _ARM:
        return name.startswith("kvm-") or (name == "aarch64" and word in _OFF)
    return target == "loongarch64" and name in _LOONGARCH


def machine_without_kvm(key: str, word: str) -> str | None:
    """Return what a machine type's property can have for a value without KVM; None to leave it out.

    :param key: The property.
    :param word: Its value.
    """
    if (key, word) == ("gic-version", "host"):
        return "max"
    return None if key in _PSERIES and word in _ON else word


def device_needs_kvm(driver: str, key: str, word: str) -> bool:
    """Return whether a device with this property is refused without KVM.

    :param driver: The device's type.
    :param key: The property.
    :param word: Its value.
    """
    return (driver, key) == ("intel-iommu", "eim") and word in _ON
