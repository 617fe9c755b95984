"""The published files of a matrix; each is written whole or not at all."""

from pathlib import Path

from onpanic.core.errors import FileError
from onpanic.core.files import write_atomically
from onpanic.matrix.model.matrix import Matrix
from onpanic.matrix.outputs.html_page import page
from onpanic.matrix.outputs.markdown import markdown

__all__ = ("OUTPUTS", "outputs", "write_outputs")

#: The files' names: ``matrix.json`` for programs, ``MATRIX.md`` and ``index.html`` for people.
OUTPUTS = ("matrix.json", "MATRIX.md", "index.html")


def outputs(matrix: Matrix) -> dict[str, bytes]:
    """Return the files' contents by name.

    :raise MissingExtraError: When jinja2 is not installed.
    """
    contents = (matrix.to_json() + b"\n", markdown(matrix).encode(), page(matrix).encode())
    return dict(zip(OUTPUTS, contents, strict=True))


def write_outputs(matrix: Matrix, folder: str | Path) -> None:
    """Write the files into a folder, which is created if necessary.

    :raise FileError: When they cannot be written.  Each file is then unchanged, or complete.
    :raise MissingExtraError: When jinja2 is not installed.
    """
    contents, folder = outputs(matrix), Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in contents.items():
            write_atomically(folder / name, data)
    except OSError as error:
        raise FileError(f"{folder}: cannot be written: {error.strerror}", "name another folder") from error
