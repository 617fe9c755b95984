"""The machine types that hosts are asked about, and that a verdict has rows for, unless others are named."""

__all__ = ("USUAL_MACHINES",)

#: Machine types of virtual machines and aliases of them, beside each emulator's default one.
USUAL_MACHINES = ("pc", "q35", "virt", "pseries", "s390-ccw-virtio")
