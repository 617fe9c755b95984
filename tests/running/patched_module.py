"""Modules of Debian's kernels whose init function is replaced by other code, so that they panic.

A module that is patched needs no compiler and no headers: its version and the checksums of what it uses
stay as they are.  Its signature is removed: Debian's kernels load modules without one, but
none with a wrong one.
"""

import struct
from typing import NamedTuple

__all__ = ("CALL", "DEEP", "DIVIDE", "NESTED", "NULL", "NULL_AARCH64", "SPIN", "Code", "patched")


class Code(NamedTuple):
    """Machine code for x86_64.

    :param code: What the init function does.
    :param numbers: Where in it the guest writes numbers of 8 bytes, by what they are.
    """

    code: bytes
    numbers: dict[str, int]

    @classmethod
    def of(cls, text: str) -> "Code":
        """Read hexadecimal digits, and names in place of numbers."""
        code, numbers = b"", {}
        for word in text.split():
            if word.isupper():
                numbers[word.lower()] = len(code)
                code += bytes(8)
            else:
                code += bytes.fromhex(word)
        return cls(code, numbers)


#: Reads address 0 on aarch64: mov x0, 0; ldr x0, [x0]
NULL_AARCH64 = Code.of("000080d2 000040f9")
#: Reads address 0: xor eax, eax; mov rax, [rax]
NULL = Code.of("31c0 488b00")
#: Divides by 0: xor ecx, ecx; xor edx, edx; div ecx
DIVIDE = Code.of("31c9 31d2 f7f1")
#: Never ends: jmp to itself
SPIN = Code.of("ebfe")
#: Calls itself: push rax; call to itself
DEEP = Code.of("50 e8faffffff")
#: Calls a function: push rbp; mov rdi, FIRST; mov rsi, SECOND; mov rax, FUNCTION; call rax; pop rbp;
#: mov eax, -1; ret
CALL = Code.of("55 48bf FIRST 48be SECOND 48b8 FUNCTION ffd0 5d b8ffffffff c3")
#: Registers a panic notifier that reads address 0 the first time, and never ends.
NESTED = Code.of(
    # on the stack: two counts, the priority, the next notifier, the notifier's function
    "6a00 6a00 68ffffff7f 6a00 488d052d000000 50 "
    # REGISTER of LIST and the stack
    "4889e6 48bf LIST 48b8 REGISTER ffd0 "
    # SLEEP of 0x7fffffff
    "bfffffff7f 48b8 SLEEP ffd0 ebfe "
    # the notifier: count; if it is the first time: xor eax, eax; mov rax, [rax]; return 0
    "ff4718 837f1801 7505 31c0 488b00 31c0 c3"
)

_NAME, _NEW_NAME = b"qemu_fw_cfg\0", b"onpanic_lab\0"
_MAGIC = b"~Module signature appended~\n"
_SYMTAB, _RELA = 2, 4  # types of sections, see elf(5)
_X86_64, _AARCH64 = 62, 183  # machines
_ENDBR64, _CALL = bytes.fromhex("f30f1efa"), 0xE8
# nop; paciasp; bti c
_BEGIN_AARCH64 = [bytes.fromhex(code) for code in ("1f2003d5", "3f2303d5", "5f2403d5")]
_THIS_MODULE = b".gnu.linkonce.this_module"
_STATE_AND_LIST = 24  # bytes before the name in `struct module`


class _ElfSection(NamedTuple):
    name: bytes
    kind: int
    offset: int
    size: int
    link: int
    info: int


def patched(module: bytes, code: bytes) -> tuple[bytes, int]:
    """Return the module qemu_fw_cfg with another name and another init function, and where its code is.

    :param module: The module.
    :param code: What the init function does, for the module's architecture.
    """
    content = bytearray(_unsigned(module))
    sections = _sections(module)
    index, value = _init(module, sections)
    start = sections[index].offset
    place = _body(module, start + value)
    assert place + len(code) <= start + sections[index].size
    content[place : place + len(code)] = code
    for section in sections:
        if section.kind == _RELA and section.info == index:
            for entry in range(section.offset, section.offset + section.size, 24):
                (offset,) = struct.unpack_from("<Q", module, entry)
                if place - 4 < start + offset < place + len(code):  # it would change the code
                    struct.pack_into("<Q", content, entry + 8, 0)  # of no type
    (name,) = (s.offset + _STATE_AND_LIST for s in sections if s.name == _THIS_MODULE)
    assert content[name:].startswith(_NAME)
    content[name : name + len(_NAME)] = _NEW_NAME
    return bytes(content), place


def _body(module: bytes, place: int) -> int:
    """Return where a function's own code begins, after what is for tracing and for protection."""
    (machine,) = struct.unpack_from("<H", module, 18)
    if machine == _AARCH64:
        while module[place : place + 4] in _BEGIN_AARCH64:
            place += 4
        return place
    assert machine == _X86_64
    place += len(_ENDBR64) if module[place:].startswith(_ENDBR64) else 0
    assert module[place] == _CALL, "it does not begin with a call of __fentry__"
    return place + 5


def _unsigned(module: bytes) -> bytes:
    """Remove the signature, see the kernel's include/linux/module_signature.h."""
    if not module.endswith(_MAGIC):
        return module
    (length,) = struct.unpack_from(">I", module, len(module) - len(_MAGIC) - 4)
    return module[: len(module) - len(_MAGIC) - 12 - length]


def _sections(module: bytes) -> list[_ElfSection]:
    (start,) = struct.unpack_from("<Q", module, 40)
    size, count, strings = struct.unpack_from("<HHH", module, 58)
    rows = [struct.unpack_from("<IIQQQQII", module, start + number * size) for number in range(count)]
    names = rows[strings][4]
    return [
        _ElfSection(module[names + name :].partition(b"\0")[0], kind, offset, length, link, info)
        for name, kind, _, _, offset, length, link, info in rows
    ]


def _init(module: bytes, sections: list[_ElfSection]) -> tuple[int, int]:
    """Return the section of the init function, and its offset in it."""
    (table,) = (section for section in sections if section.kind == _SYMTAB)
    names = sections[table.link].offset
    for entry in range(table.offset, table.offset + table.size, 24):
        name, _, _, section, value, _ = struct.unpack_from("<IBBHQQ", module, entry)
        if module[names + name :].startswith(b"init_module\0"):
            return section, value
    raise AssertionError("it has no init function")
