"""The compatibility matrix: what many QEMU builds do when their guest panics.

::

    from onpanic.matrix import build

    matrix = build("compat-matrix/records")
    for found in matrix.ranges:
        print(found.fact, found.emulator, found.line, found.answer, found.text)

Data goes through the sub-packages in this order:

`sources`     what records are made from: emulators, recordings, libvirt's replies
`collecting`  asks each source, and writes its record
`records`     a folder of records
`libvirts`    records of libvirts, from the connection to the table
`model`       builds the matrix from records
`lint`        rules that records and the matrix must follow
`outputs`     matrix.json, MATRIX.md and index.html

Names are imported when they are first used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onpanic.matrix.libvirts.libvirt_record import LibvirtRecord
    from onpanic.matrix.model.building import build
    from onpanic.matrix.model.matrix import (
        Build,
        Matrix,
        MatrixMachine,
        MatrixNotifier,
        Profile,
        Range,
        Statement,
    )
    from onpanic.matrix.model.matrix_file import published, read_matrix
    from onpanic.matrix.outputs.output_files import write_outputs
else:
    from onpanic.core.lazy_imports import lazy_imports

    __getattr__, __dir__ = lazy_imports(
        __name__,
        {
            "onpanic.matrix.libvirts.libvirt_record": ("LibvirtRecord",),
            "onpanic.matrix.model.building": ("build",),
            "onpanic.matrix.model.matrix": (
                "Build",
                "Matrix",
                "MatrixMachine",
                "MatrixNotifier",
                "Profile",
                "Range",
                "Statement",
            ),
            "onpanic.matrix.model.matrix_file": ("published", "read_matrix"),
            "onpanic.matrix.outputs.output_files": ("write_outputs",),
        },
    )

__all__ = (  # noqa: RUF022
    # Most to least important
    "build",
    "Matrix",
    "published",
    "read_matrix",
    "write_outputs",
    # What a matrix consists of
    "Build",
    "MatrixMachine",
    "MatrixNotifier",
    "Profile",
    "Statement",
    "Range",
    "LibvirtRecord",
)
