"""A kernel's memory, by its architecture."""

from collections.abc import Callable

from onpanic.why.kernel.aarch64 import Aarch64Translator
from onpanic.why.kernel.ppc64 import Ppc64Translator
from onpanic.why.kernel.riscv64 import Riscv64Translator
from onpanic.why.kernel.s390x import S390xTranslator
from onpanic.why.kernel.virtual_memory import Translator, VirtualMemory
from onpanic.why.kernel.vmcoreinfo import VmcoreInfo
from onpanic.why.kernel.x86_64 import X86Translator
from onpanic.why.memory.reading import MemoryFault

__all__ = ("byte_order_of", "kernel_memory")

_TRANSLATORS: dict[str, Callable[[VmcoreInfo], Translator]] = {
    "aarch64": Aarch64Translator,
    "ppc64": Ppc64Translator,
    "riscv64": Riscv64Translator,
    "s390x": S390xTranslator,
    "x86_64": X86Translator,
}


def byte_order_of(architecture: str) -> str:
    """Return the byte order of a kernel, as in `struct`.  A ppc64 kernel is taken for a little-endian one.

    :param architecture: As QEMU names it.
    """
    return ">" if architecture == "s390x" else "<"


def kernel_memory(info: VmcoreInfo, architecture: str, byte_order: str = "<") -> VirtualMemory:
    """Return a kernel's virtual memory.

    :param info: What the kernel says about itself.
    :param architecture: As QEMU names it.
    :param byte_order: ``<`` or ``>``, as in `struct`.
    :raise MemoryFault: When addresses of that architecture cannot be translated.
    """
    translator = _TRANSLATORS.get(architecture)
    if translator is None:
        raise MemoryFault(f"the page tables of {architecture or 'this architecture'} cannot be read")
    return VirtualMemory(translator(info), byte_order)
