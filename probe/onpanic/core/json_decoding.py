"""Decodes JSON from files, which users may have edited."""

from typing import TypeVar

import msgspec

__all__ = ("decode_json",)

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
