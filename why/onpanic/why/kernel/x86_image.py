"""Where the image of an x86_64 kernel before 4.10 is.

Its vmcoreinfo has the address of `phys_base`, not the value.  The value is looked for: the kernel's release
is in `init_uts_ns`.  It is 0 unless the boot loader could not use the address that the kernel was built for.
"""

from collections.abc import Iterator

from onpanic.why.kernel.vmcoreinfo import VmcoreInfo
from onpanic.why.kernel.x86_64 import IMAGE
from onpanic.why.memory.reading import MemoryFault, MemoryRange, Reading

__all__ = ("with_phys_base",)

_ALIGNMENT = 2 << 20  # of an image
_LOWEST, _HIGHEST = -1 << 30, 4 << 30
_MAX_UTS = 4 + 3 * 65  # bytes: a reference count, then the system's name, the host's, and the release
_MIN_RELEASE = 5  # characters


def with_phys_base(info: VmcoreInfo) -> "Reading[VmcoreInfo]":
    """Return what a kernel says about itself, with the number `phys_base`.

    :param info: What it says; if it has the number, or not even the symbol, it is returned as it is.
    :raise MemoryFault: When the image is not found.
    """
    if "NUMBER(phys_base)" in info.values or not info.has_symbol("phys_base"):
        return info
    names = info.symbol("init_uts_ns") - IMAGE.start
    release = info.release.encode()
    if len(release) < _MIN_RELEASE or not 0 <= names < len(IMAGE):
        raise MemoryFault("the kernel does not state its release, or where it has it")
    for candidate in _candidates():
        if names + candidate < 0:
            continue
        try:
            content = yield MemoryRange(names + candidate, _MAX_UTS)
        except MemoryFault:
            continue
        if b"\0" + release + b"\0" in content:
            return info.with_value("NUMBER(phys_base)", str(candidate))
    raise MemoryFault("the kernel's image is not found")


def _candidates() -> Iterator[int]:
    """Yield what `phys_base` may be, the most likely first."""
    for distance in range(0, _HIGHEST, _ALIGNMENT):
        yield distance
        if 0 > -distance >= _LOWEST:
            yield -distance
