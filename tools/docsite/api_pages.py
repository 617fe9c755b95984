"""The public Python packages, from their docstrings."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import PurePosixPath

from onpanic.core import errors

__all__ = ("PACKAGES", "api_contents", "api_pages")

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
    for package in PACKAGES:
        directive = f".. automodule:: {package}\n   :members:\n   :imported-members:\n{_excluded(package)}"
        yield _FOLDER / f"{package}.md", f"# {package}\n\n```{{eval-rst}}\n{directive}```\n"


def _excluded(package: str) -> str:
    """Return the option that leaves out the errors that all packages share: each name has one place."""
    module = import_module(package)
    shared = [name for name in module.__all__ if getattr(module, name) is getattr(errors, name, None)]
    return f"   :exclude-members: {', '.join(shared)}\n" if shared and module is not errors else ""


def api_contents() -> str:
    """Return what the page about the packages ends with."""
    items = "".join(f"* [{package}](api/{package}.md)\n" for package in PACKAGES)
    names = "\n".join(f"api/{package}" for package in PACKAGES)
    return f"\n## Every name\n\n{items}\n```{{toctree}}\n:hidden:\n\n{names}\n```\n"
