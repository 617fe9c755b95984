"""libvirt's models of panic notifiers, what QEMU calls them, and the vmcoreinfo device beside them."""

from typing import Literal

from onpanic.core.errors import UsageError

__all__ = (
    "HYPERV_CPUS",
    "ISA_TYPES",
    "NOTIFIER_MODELS",
    "PCI_TYPE",
    "VMCOREINFO_TYPE",
    "NotifierModel",
    "require_model",
)

#: libvirt's model of ``<panic>``.
NotifierModel = Literal["isa", "pvpanic", "hyperv", "pseries", "s390"]

#: Every model, in the order in which records list them.
NOTIFIER_MODELS: tuple[NotifierModel, ...] = ("isa", "pvpanic", "hyperv", "pseries", "s390")

#: The QOM types of the ISA device: QEMU's name, and the one proposed in 2013.
ISA_TYPES = ("pvpanic", "isa-pvpanic")

#: The QOM type of the PCI device.
PCI_TYPE = "pvpanic-pci"

#: The QOM type of the device through which a guest says where its kernel's log is.
VMCOREINFO_TYPE = "vmcoreinfo"

#: The CPUs that the probe starts to find out about Hyper-V's notifier, the second one where a build lacks
#: the first.  KVM and TCG have ``qemu64`` on every host; ``host`` and ``max`` abort some QEMUs on a KVM
#: that lacks an MSR.
HYPERV_CPUS = ("qemu64,hv-crash", "max,hv-crash")


def require_model(model: str | None) -> None:
    """Check that a value is a model, or None.

    :raise UsageError: When it is not.
    """
    if model not in (None, *NOTIFIER_MODELS):
        raise UsageError(f"there is no notifier {model!r}", f"it is one of {', '.join(NOTIFIER_MODELS)}")
