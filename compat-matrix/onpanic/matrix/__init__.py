"""Many QEMU builds beside each other: records in, a matrix out.

::

    from onpanic.matrix import build

    matrix = build("compat-matrix/records")
    for found in matrix.ranges:
        print(found.fact, found.emulator, found.line, found.answer, found.text)

Names are loaded when they are first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .building import build
    from .model import Build, Machine, Matrix, Profile, Range, Statement
    from .outputs import write_outputs
    from .reading import published, read_matrix

__all__ = (  # noqa: RUF022
    # Most to least important
    "build",
    "Matrix",
    "published",
    "read_matrix",
    "write_outputs",
    # What a matrix is made of
    "Build",
    "Machine",
    "Profile",
    "Statement",
    "Range",
)

_HOMES = {
    "building": ("build",),
    "model": ("Build", "Machine", "Matrix", "Profile", "Range", "Statement"),
    "outputs": ("write_outputs",),
    "reading": ("published", "read_matrix"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
