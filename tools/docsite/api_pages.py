"""The public Python packages, from their docstrings."""

import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import PurePosixPath
from types import FunctionType, ModuleType

from sphinx.pycode import ModuleAnalyzer

from onpanic.core import errors

__all__ = ("PACKAGES", "api_contents", "api_pages", "public_names")

#: As reference/python-api.md lists them.
PACKAGES = (
    "onpanic.probe",
    "onpanic.check",
    "onpanic.shims",
    "onpanic.why",
    "onpanic.watch",
    "onpanic.matrix",
    "onpanic.fleet",
    "onpanic.core.errors",
    "onpanic.probe.testing",
)
_FOLDER = PurePosixPath("reference/api")


def api_pages() -> Iterator[tuple[PurePosixPath, str]]:
    """Yield each page: its path in the site, and its text in MyST's Markdown."""
    for package, names in public_names().items():
        module = import_module(package)
        constants = {name: text for name in names if (text := _comment(module, name))}
        members = ", ".join(name for name in names if name not in constants)
        options = [f":members: {members}", ":imported-members:"]
        text = ""
        if module is errors:
            options.append(":show-inheritance:")
            text = ".. highlight:: text\n\n"  # its examples are messages
        text += "\n   ".join([f".. automodule:: {package}", *options])
        for name, comment in constants.items():
            text += f"\n\n.. py:data:: {name}\n   :module: {package}\n\n   {comment}"
        yield _FOLDER / f"{package}.md", f"# {package}\n\n```{{eval-rst}}\n{text}\n```\n"


def _comment(package: ModuleType, name: str) -> str:
    """Return the comment above a constant in the module that defines it; empty for what has a docstring.

    Sphinx finds it only if the package itself defines the constant.
    """
    value = getattr(package, name)
    if isinstance(value, (type, FunctionType)):
        return ""
    for path, module in list(sys.modules.items()):
        if path.startswith("onpanic.") and vars(module).get(name) is value:
            found = ModuleAnalyzer.for_module(path).find_attr_docs().get(("", name))
            if found and module is not package:
                return " ".join(found).strip()
    return ""


@cache
def public_names() -> dict[str, list[str]]:
    """Return the names that each package describes, by the package: each name has one place.

    The errors that packages share are described where they are defined.
    """
    return {package: list(_own(import_module(package))) for package in PACKAGES}


def _own(module: ModuleType) -> Iterator[str]:
    for name in module.__all__:
        if module is errors or getattr(module, name) is not getattr(errors, name, None):
            yield name


def api_contents() -> str:
    """Return what the page about the packages ends with."""
    items = "".join(f"* [{package}](api/{package}.md)\n" for package in PACKAGES)
    names = "\n".join(f"api/{package}" for package in PACKAGES)
    return f"\n## Every name\n\n{items}\n```{{toctree}}\n:hidden:\n\n{names}\n```\n"
