"""Decodes JSON from files, which users may have edited, and reads the JSON Schemas of the package."""

from typing import Any, TypeVar

import msgspec

__all__ = ("decode_json", "read_schema")

Decoded = TypeVar("Decoded")


def decode_json(data: bytes, kind: type[Decoded]) -> Decoded:
    """Return a JSON document as an object of a type.

    :raise ValueError: When it is not JSON, not UTF-8, nested too deeply, or not of that type.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: {error}") from error
    except msgspec.DecodeError as error:  # no ValueError before msgspec 0.21
        raise ValueError(str(error)) from error


def read_schema(package: str, name: str) -> dict[str, Any]:
    """Return a JSON Schema that is installed with a package.

    :param package: The package that the file is in.
    :param name: The file's name.
    """
    from importlib.resources import files  # slow to import, and rarely needed

    schema: dict[str, Any] = msgspec.json.decode(files(package).joinpath(name).read_bytes())
    return schema
