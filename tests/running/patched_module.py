"""Modules of Debian's kernels whose init function is replaced by other code, so that they panic.

A module that is patched needs no compiler and no headers: its name, its version and the checksums of
what it uses stay as they are.  Its signature is removed: Debian's kernels load modules without one, but
none with a wrong one.
"""

import struct
from typing import NamedTuple

__all__ = ("CALL", "NESTED", "NULL", "SPIN", "Code", "patched")


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


#: A null pointer: xor eax, eax; mov rax, [rax]
NULL = Code.of("31c0 488b00")
#: An endless loop
SPIN = Code.of("ebfe")
#: A call: push rbp; mov rdi, FIRST; mov rsi, SECOND; mov rax, FUNCTION; call rax; pop rbp; mov eax, -1; ret
CALL = Code.of("55 48bf FIRST 48be SECOND 48b8 FUNCTION ffd0 5d b8ffffffff c3")
#: A panic notifier that uses a null pointer the first time; the module's init function never ends.
NESTED = Code.of(
    # on the stack: two counts, the priority, the next notifier, its function
    "6a00 6a00 68ffffff7f 6a00 488d052d000000 50 "
    # rsi: the notifier block; call REGISTER(LIST, rsi)
    "4889e6 48bf LIST 48b8 REGISTER ffd0 "
    # edi: ever; call SLEEP(edi)
    "bfffffff7f 48b8 SLEEP ffd0 ebfe "
    # the notifier: count; if it is the first time: xor eax, eax; mov rax, [rax]
    "ff4718 837f1801 7505 31c0 488b00 31c0 c3"
)


class _Section(NamedTuple):
    kind: int
    offset: int
    size: int
    link: int
    info: int


_NAME, _NEW_NAME = b"qemu_fw_cfg\0", b"onpanic_lab\0"
_MAGIC = b"~Module signature appended~\n"
_SYMTAB, _RELA = 2, 4


def patched(module: bytes, code: bytes) -> tuple[bytes, int]:
    """Return the module qemu_fw_cfg with another name and another init function, and where its code is.

    :param module: The module, for x86_64.
    :param code: What the init function does.
    """
    content = bytearray(_unsigned(module))
    sections = _sections(module)
    index, value = _init(module, sections)
    start = sections[index].offset + value
    place = start
    if module[place : place + 4] == bytes.fromhex("f30f1efa"):  # endbr64
        place += 4
    assert module[place] == 0xE8, "it does not begin with a call of __fentry__"
    place += 5
    content[place : place + len(code)] = code
    first, last = place - sections[index].offset, place - sections[index].offset + len(code)
    for section in sections:
        if section.kind == _RELA and section.info == index:
            for entry in range(section.offset, section.offset + section.size, 24):
                (offset,) = struct.unpack_from("<Q", module, entry)
                if first - 4 < offset < last:
                    struct.pack_into("<Q", content, entry + 8, 0)  # R_X86_64_NONE
    (this,) = (m for m in (_find_name(module, s) for s in sections if s.kind == 1) if m)
    content[this : this + len(_NAME)] = _NEW_NAME
    return bytes(content), place


def _unsigned(module: bytes) -> bytes:
    """Remove the signature, see the kernel's include/linux/module_signature.h."""
    if not module.endswith(_MAGIC):
        return module
    (length,) = struct.unpack_from(">I", module, len(module) - len(_MAGIC) - 4)
    return module[: len(module) - len(_MAGIC) - 12 - length]


def _find_name(module: bytes, section: _Section) -> int:
    """Return where the name is in the section of `struct module`, where it is after a state and a list."""
    place = section.offset + 24
    return place if module[place : place + len(_NAME)] == _NAME else 0


def _sections(module: bytes) -> list[_Section]:
    (start,) = struct.unpack_from("<Q", module, 40)
    size, count = struct.unpack_from("<HH", module, 58)
    found = []
    for number in range(count):
        _, kind, _, _, offset, length, link, info = struct.unpack_from(
            "<IIQQQQII", module, start + number * size
        )
        found.append(_Section(kind, offset, length, link, info))
    return found


def _init(module: bytes, sections: list[_Section]) -> tuple[int, int]:
    """Return the section of the init function and its offset in it."""
    (table,) = (section for section in sections if section.kind == _SYMTAB)
    names = sections[table.link].offset
    for entry in range(table.offset, table.offset + table.size, 24):
        name, _, _, section, value, _ = struct.unpack_from("<IBBHQQ", module, entry)
        if module[names + name :].startswith(b"init_module\0"):
            return section, value
    raise AssertionError("it has no init function")
