"""Matrices in files, and the one that comes with onpanic."""

from importlib.resources import files
from pathlib import Path

import msgspec

from onpanic.probe.errors import RecordError

from .model import Matrix

__all__ = ("published", "read_matrix")

_HINT = "onpanic matrix build writes one"


def published() -> Matrix:
    """Return the matrix that comes with onpanic.

    :raise RecordError: When it is not there.
    """
    installed = Path(str(files(__package__))) / "matrix.json"
    beside = Path(str(files(__package__))).parents[1] / "matrix.json"  # in a checkout
    return read_matrix(installed if installed.exists() else beside)


def read_matrix(path: Path) -> Matrix:
    """Read a ``matrix.json``.

    :raise RecordError: When it is not there, or not one.
    """
    try:
        matrix = msgspec.json.decode(path.read_bytes(), type=Matrix)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}", _HINT) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(f"{path}: not a matrix: {error}", _HINT) from error
    return _checked(matrix, path)


def _checked(matrix: Matrix, path: Path) -> Matrix:
    """Return a matrix whose places all exist."""
    sizes = len(matrix.profiles), len(matrix.statements), len(matrix.evidence)
    profiles = [machine.profile for build in matrix.builds for machine in build.machines]
    facts = [one.facts for one in matrix.builds] + [one.facts for one in matrix.profiles]
    statements = [place for said in facts for place in said.values()]
    evidence = [s.evidence for s in matrix.statements if s.evidence is not None]
    for places, size in zip((profiles, statements, evidence), sizes, strict=True):
        if not all(0 <= place < size for place in places):
            raise RecordError(f"{path}: not a matrix: it points to what it does not have", _HINT)
    return matrix
