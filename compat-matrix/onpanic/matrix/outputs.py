"""What is published of a matrix: three files, each written whole or not at all."""

from pathlib import Path

from onpanic.probe.errors import OnpanicError
from onpanic.probe.recording import write_whole

from .markdown import markdown
from .model import Matrix
from .page import page

__all__ = ("OUTPUTS", "outputs", "write_outputs")

#: The files, by name: ``matrix.json`` for programs, ``MATRIX.md`` and ``index.html`` for people.
OUTPUTS = ("matrix.json", "MATRIX.md", "index.html")


def outputs(matrix: Matrix) -> dict[str, bytes]:
    """Return the files' contents, by name."""
    made = (matrix.to_json() + b"\n", markdown(matrix).encode(), page(matrix).encode())
    return dict(zip(OUTPUTS, made, strict=True))


def write_outputs(matrix: Matrix, folder: Path) -> None:
    """Write the files into a folder, which is made if it is not there.

    :raise OnpanicError: When that cannot be done; a file that was there is as it was, or as it should be.
    """
    contents = outputs(matrix)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in contents.items():
            write_whole(folder / name, data)
    except OSError as error:
        raise OnpanicError(f"{folder}: cannot be written: {error.strerror}", "name another folder") from error
