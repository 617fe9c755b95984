"""The order of names with numbers in them, in which ``kvm2`` comes before ``kvm10``."""

import re

__all__ = ("natural",)

_NUMBER = re.compile(r"([0-9]+)")


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """Return the key by which a name is sorted: its numbers by their size."""
    parts = [
        (len(part.lstrip("0")), part.lstrip("0")) if number % 2 else (0, part)
        for number, part in enumerate(_NUMBER.split(name))
    ]
    return (*parts, (0, name))
