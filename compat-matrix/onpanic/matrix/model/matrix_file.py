"""Reads a matrix from a ``matrix.json``, such as the one that is installed with onpanic."""

from importlib.resources import files
from pathlib import Path

import msgspec

from onpanic.core.errors import RecordError
from onpanic.core.files import read_at_most
from onpanic.core.json_decoding import decode_json
from onpanic.matrix.model.matrix import Matrix

__all__ = ("published", "read_matrix")

_LIMIT = 1024 * 2**20  # bytes; two thousand builds with a hundred machine types take 10 MiB
_HINT = "onpanic matrix build writes one"
_VERSION = 2


class _MatrixVersion(msgspec.Struct):
    schema_version: int


def published() -> Matrix:
    """Return the matrix that is installed with onpanic.

    :raise RecordError: When it is missing.
    """
    package = Path(str(files("onpanic.matrix")))
    installed = package / "matrix.json"
    checkout = package.parents[1] / "matrix.json"
    return read_matrix(installed if installed.exists() else checkout)


def read_matrix(path: str | Path) -> Matrix:
    """Read a ``matrix.json``.

    :raise RecordError: When it cannot be read, or is not a matrix.
    """
    try:
        data = read_at_most(Path(path), _LIMIT)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}", _HINT) from error
    try:
        version = decode_json(data, _MatrixVersion).schema_version
        matrix = decode_json(data, Matrix) if version == _VERSION else None
    except ValueError as error:
        raise RecordError(f"{path}: not a matrix: {error}", _HINT) from error
    if matrix is None:
        raise RecordError(f"{path}: the matrix has schema version {version}, not {_VERSION}", _HINT)
    if not _is_consistent(matrix):
        raise RecordError(f"{path}: not a matrix: an index is out of range", _HINT)
    return matrix


def _is_consistent(matrix: Matrix) -> bool:
    """Return whether every index in a matrix refers to something."""
    facts = [one.facts for one in matrix.builds] + [one.facts for one in matrix.profiles]
    facts += [one.facts for one in matrix.notifiers]
    notifiers = [index for one in matrix.profiles for index in one.notifiers]
    profiles = [machine.profile for build in matrix.builds for machine in build.machines]
    statements = [index for one in facts for index in one.values()]
    evidence = [one.evidence for one in matrix.statements if one.evidence is not None]
    sizes = len(matrix.profiles), len(matrix.notifiers), len(matrix.statements), len(matrix.evidence)
    return all(
        0 <= index < size
        for indexes, size in zip((profiles, notifiers, statements, evidence), sizes, strict=True)
        for index in indexes
    )
