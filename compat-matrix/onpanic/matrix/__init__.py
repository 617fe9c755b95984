"""Many QEMU builds beside each other: records in, a matrix out.

::

    from onpanic.matrix import build

    matrix = build("compat-matrix/records")
    for found in matrix.ranges:
        print(found.fact, found.emulator, found.line, found.answer, found.text)

Names are loaded when they are first used.
"""

from typing import TYPE_CHECKING

from onpanic.probe.lazy import loading

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
__getattr__, __dir__ = loading(__name__, _HOMES)
