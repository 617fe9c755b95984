"""Public names that are loaded when they are first used (PEP 562)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ("loading",)


def loading(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a package.

    :param package: Its ``__name__``.
    :param homes: Names, by the module of the package that has them.
    """
    home = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        from importlib import import_module

        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{home[name]}"), name)

    return get, lambda: sorted(home)
