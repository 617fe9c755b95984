"""Comparing JSON Schemas that different versions of Python have written."""

import re

__all__ = ("undescribed",)


def undescribed(schema: object) -> object:
    """Return a schema whose descriptions have no indentation: Python 3.13 removes that of docstrings."""
    if isinstance(schema, dict):
        return {
            name: re.sub(r"\s+", " ", value) if name == "description" else undescribed(value)
            for name, value in schema.items()
        }
    return [undescribed(item) for item in schema] if isinstance(schema, list) else schema
