"""The seccomp filters that systemd makes of a unit's directives, for bwrap.  See systemd.exec(5)."""

import ctypes
import errno
import os
import re
import socket
import stat
import subprocess
from collections.abc import Iterable
from functools import cache

__all__ = ("allowed_only", "refused")

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NE, _LT, _EQ, _GT, _MASKED_EQ = 1, 2, 4, 6, 7
_SET_ID = (stat.S_ISUID, stat.S_ISGID)
_NAMESPACES = (
    0x80,
    0x20000,
    0x2000000,
    0x4000000,
    0x8000000,
    0x10000000,
    0x20000000,
    0x40000000,
)  # CLONE_NEW*
_WRITE, _EXEC, _SHM_EXEC = 2, 4, 0o100000
_FIFO, _RR, _DEADLINE = 1, 2, 6

#: A system call, and the argument, the comparison, and its operands for which it is refused.
_Rule = tuple[str, tuple[int, int, int, int] | None]

_REFUSED: dict[str, tuple[int, list[_Rule]]] = {
    "RestrictAddressFamilies": (errno.EAFNOSUPPORT, [("socket", (0, _NE, socket.AF_UNIX, 0))]),
    "RestrictAddressFamilies with AF_INET and AF_INET6": (
        errno.EAFNOSUPPORT,
        [
            ("socket", (0, _LT, socket.AF_UNIX, 0)),
            *(("socket", (0, _EQ, family, 0)) for family in range(socket.AF_INET + 1, socket.AF_INET6)),
            ("socket", (0, _GT, socket.AF_INET6, 0)),
        ],
    ),
    "RestrictNamespaces": (
        errno.EPERM,
        [
            ("unshare", None),
            ("setns", None),
            *(("clone", (0, _MASKED_EQ, flag, flag)) for flag in _NAMESPACES),
        ],
    ),
    "RestrictRealtime": (
        errno.EPERM,
        [("sched_setscheduler", (1, _MASKED_EQ, 0xFFFFFFFF, policy)) for policy in (_FIFO, _RR, _DEADLINE)],
    ),
    "RestrictSUIDSGID": (
        errno.EPERM,
        [
            (name, (argument, _MASKED_EQ, bit, bit))
            for name, argument in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("mkdir", 1), ("mkdirat", 2))
            for bit in _SET_ID
        ],
    ),
    "LockPersonality": (errno.EPERM, [("personality", (0, _NE, 0, 0))]),
    "MemoryDenyWriteExecute": (
        errno.EPERM,
        [
            ("mmap", (2, _MASKED_EQ, _WRITE | _EXEC, _WRITE | _EXEC)),
            ("mprotect", (2, _MASKED_EQ, _EXEC, _EXEC)),
            ("pkey_mprotect", (2, _MASKED_EQ, _EXEC, _EXEC)),
            ("shmat", (2, _MASKED_EQ, _SHM_EXEC, _SHM_EXEC)),
        ],
    ),
}


class _Comparison(ctypes.Structure):
    """``struct scmp_arg_cmp``."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def refused(directive: str) -> int:
    """Return a descriptor with the filter of a directive that refuses system calls.

    :raise KeyError: When the directive is none of those.
    """
    number, rules = _REFUSED[directive]
    return _filter(_ALLOW, _ERRNO | number, rules)


def allowed_only(lines: Iterable[str], error: str = "") -> int:
    """Return a descriptor with the filter of ``SystemCallFilter=``.

    :param lines: The values, in order; one that begins with ``~`` takes system calls away.
    :param error: The error of another system call, such as ``EPERM``; empty if it kills the process.
    """
    allowed = set(_members("@default"))
    for line in lines:
        found = {name for word in line.removeprefix("~").split() for name in _members(word)}
        allowed = allowed - found if line.startswith("~") else allowed | found
    default = _ERRNO | int(getattr(errno, error)) if error else _KILL
    return _filter(default, _ALLOW, [(name, None) for name in sorted(allowed)])


@cache
def _members(word: str) -> frozenset[str]:
    """Return the system calls of a set, such as ``@system-service``; of a name, the name."""
    if not word.startswith("@"):
        return frozenset({word})
    command = ["systemd-analyze", "syscall-filter", "--no-pager", word]
    text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    names = re.findall(r"^    ([@\w-]+)$", text, flags=re.MULTILINE)
    return frozenset().union(*(_members(name) for name in names))


def _filter(default: int, action: int, rules: Iterable[_Rule]) -> int:
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    ]
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    context = library.seccomp_init(default)
    assert context
    try:
        for name, comparison in rules:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number < 0:
                continue  # another architecture's
            count = comparison is not None
            compared = (_Comparison * 1)(_Comparison(*comparison)) if comparison else None
            assert library.seccomp_rule_add_array(context, action, number, count, compared) == 0, name
        descriptor = os.memfd_create("seccomp")
        assert library.seccomp_export_bpf(context, descriptor) == 0
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor
    finally:
        library.seccomp_release(context)
