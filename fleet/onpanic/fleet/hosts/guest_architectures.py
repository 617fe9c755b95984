"""libvirt's names of the architectures whose guests QEMU's targets run."""

__all__ = ("guest_architectures",)

# Where the names differ.  For guests of parisc and or32 libvirt looks for emulators of these names, so it
# does not find those for hppa and or1k
_OTHER_NAMES = {
    "arm": ("armv6l", "armv7l"),
    "i386": ("i686",),
    "ppc64": ("ppc64", "ppc64le"),
}
_SAME_NAME = (
    *("aarch64", "alpha", "cris", "lm32", "loongarch64", "m68k", "microblaze", "microblazeel", "mips"),
    *("mips64", "mips64el", "mipsel", "ppc", "riscv32", "riscv64", "s390x", "sh4", "sh4eb", "sparc"),
    *("sparc64", "unicore32", "x86_64", "xtensa", "xtensaeb"),
)


def guest_architectures(target: str) -> tuple[str, ...]:
    """Return the architectures whose guests libvirt runs with the emulator of a target, if it may choose.

    :param target: QEMU's name, for example ``i386``.
    """
    return (target,) if target in _SAME_NAME else _OTHER_NAMES.get(target, ())
