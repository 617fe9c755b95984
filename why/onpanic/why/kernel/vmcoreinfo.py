"""What a Linux kernel says about itself: its vmcoreinfo.

Lines such as ``OSRELEASE=6.1.0``, ``SYMBOL(prb)=ffffffff82a4b8d0`` and ``OFFSET(printk_info.text_len)=16``,
in a page of the kernel's memory that crash dumps have as an ELF note.  Source: the kernel's
Documentation/admin-guide/kdump/vmcoreinfo.rst.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

from onpanic.core.untrusted import printable
from onpanic.why.memory.reading import MemoryFault

__all__ = ("MAX_LENGTH", "NOTE_NAME", "VmcoreInfo")

#: The name of the ELF note.
NOTE_NAME = b"VMCOREINFO"

#: Its length in bytes is at most a page's; kernels with pages of 64 KiB have that much room.
MAX_LENGTH = 65536

_LINE = re.compile(r"([A-Z][A-Z0-9_-]*(?:\([A-Za-z0-9_.]{1,80}\))?)=(.{0,200})")


class VmcoreInfo:
    """A kernel's vmcoreinfo.

    :param content: The text of the note; what cannot be understood is ignored.
    """

    def __init__(self, content: bytes) -> None:
        text = content[:MAX_LENGTH].partition(b"\0")[0].decode("ascii", "replace")
        values: dict[str, str] = {}
        for line in text.split("\n"):
            if match := _LINE.fullmatch(line):
                values.setdefault(match[1], match[2])
        self.values: Mapping[str, str] = MappingProxyType(values)

    def with_value(self, key: str, value: str) -> "VmcoreInfo":
        """Return a copy with a value, e.g. of ``NUMBER(phys_base)``."""
        copy = VmcoreInfo(b"")
        copy.values = MappingProxyType({**self.values, key: value})
        return copy

    @property
    def release(self) -> str:
        """The kernel's release, e.g. ``6.1.0-41-cloud-amd64``; empty if it is not there."""
        return printable(self.values.get("OSRELEASE", ""), 64)

    @property
    def page_size(self) -> int:
        """The size of the kernel's pages in bytes."""
        size = self._integer("PAGESIZE", 10, 4096)
        return size if size in (4096, 16384, 65536) else 4096

    def has_symbol(self, name: str) -> bool:
        """Return whether the address of a symbol is known."""
        return f"SYMBOL({name})" in self.values

    def symbol(self, name: str) -> int:
        """Return the virtual address of a symbol.

        :raise MemoryFault: When it is not there.
        """
        return self._integer(f"SYMBOL({name})", 16, None)

    def offset(self, member: str, default: int | None = None) -> int:
        """Return the offset of a structure's member in bytes, e.g. of ``printk_info.text_len``.

        :raise MemoryFault: When it is not there, or it is not plausible.
        """
        return self._small(f"OFFSET({member})", default)

    def size(self, name: str, default: int | None = None) -> int:
        """Return the size of a structure in bytes.

        :raise MemoryFault: When it is not there, or it is not plausible.
        """
        return self._small(f"SIZE({name})", default)

    def number(self, name: str, default: int | None = None) -> int:
        """Return a number, which may be negative.

        :raise MemoryFault: When it is not there.
        """
        value = self.values.get(f"NUMBER({name})", "")
        base = 16 if value.lower().startswith("0x") else 10
        return self._integer(f"NUMBER({name})", base, default)

    def hexadecimal(self, name: str) -> int:
        """Return a value that has no kind, e.g. ``KERNELOFFSET``.

        :raise MemoryFault: When it is not there.
        """
        return self._integer(name, 16, None)

    def _small(self, key: str, default: int | None) -> int:
        value = self._integer(key, 10, default)
        if not 0 <= value <= 4096:
            raise MemoryFault(f"the kernel's {key} is {value}")
        return value

    def _integer(self, key: str, base: int, default: int | None) -> int:
        value = self.values.get(key)
        if value is None:
            if default is None:
                raise MemoryFault(f"the kernel does not state its {key}")
            return default
        try:
            return int(value[:20], base)
        except ValueError as error:
            raise MemoryFault(f"the kernel's {key} is {printable(value, 40)}") from error
