"""Public names that are imported when they are first used (PEP 562).

A package that uses this imports the same names under ``if TYPE_CHECKING:``, so that type
checkers see the real definitions and report names that do not exist.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ("lazy_imports",)


def lazy_imports(
    package: str, modules: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the functions ``__getattr__`` and ``__dir__`` of a package whose names are imported lazily.

    :param package: The package's ``__name__``.
    :param modules: For each module, by its full name, the names that the package takes from it.
    """
    home = {name: module for module, names in modules.items() for name in names}

    def get(name: str) -> Any:
        from importlib import import_module

        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(home[name]), name)

    return get, lambda: sorted(home)
