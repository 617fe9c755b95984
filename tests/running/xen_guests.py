"""Guests for Xen of about 1 KB: ELF files that crash, wait or power off, and do nothing else."""

from onpanic.matrix.libvirts.xen_images import CRASH, POWEROFF, ending_image, waiting_image

__all__ = ("GUESTS", "KINDS")

KINDS = ("pv", "pvh")

#: The guests by their names: ``KIND-crash`` crashes at once, ``KIND-wait`` never ends, ``KIND-poweroff`` ends
#: as it should; ``pv-undumpable`` crashes, and cannot be dumped.
GUESTS = {
    "pv-crash": ending_image("pv", CRASH),
    "pv-wait": waiting_image("pv"),
    "pv-poweroff": ending_image("pv", POWEROFF, dumpable=False),
    "pv-undumpable": ending_image("pv", CRASH, dumpable=False),
    "pvh-crash": ending_image("pvh", CRASH),
    "pvh-wait": waiting_image("pvh"),
    "pvh-poweroff": ending_image("pvh", POWEROFF),
}
