"""Pages that show a file of the checkout, or list a folder: the site needs no repository to link to."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

from docsite.site_layout import ROOT

__all__ = ("file_page", "file_page_path", "files_below")

#: Larger files, and those that are no text, are only named.
_LARGEST = 200_000  # bytes
_LANGUAGES = {
    ".cfg": "ini",
    ".fmf": "yaml",
    ".json": "json",
    ".md": "markdown",
    ".py": "python",
    ".toml": "toml",
    ".xml": "xml",
    ".yaml": "yaml",
    ".yml": "yaml",
}


def file_page_path(path: Path) -> PurePosixPath:
    """Return where the site has the page of a file or folder."""
    name = PurePosixPath("files", path.relative_to(ROOT))
    return name / "index.md" if path.is_dir() else name.with_name(f"{name.name}.md")


def file_page(path: Path) -> str:
    """Return the page of a file or folder, in MyST's Markdown.

    Neither the search nor a table of contents leads to it.
    """
    title = f"{path.relative_to(ROOT)}{'/' if path.is_dir() else ''}"
    head = f"---\norphan: true\nnosearch: true\n---\n\n# {title}\n\n"
    if path.is_dir():
        files = files_below(path)
        return head + "".join(f"* [{file.relative_to(path)}]({_below(path, file)})\n" for file in files)
    return head + _shown(path)


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder that belong to the project, in order."""
    yield from (ROOT / name for name in _tracked() if (ROOT / name).is_relative_to(folder))


def _below(folder: Path, file: Path) -> PurePosixPath:
    return file_page_path(file).relative_to(file_page_path(folder).parent)


@cache
def _tracked() -> list[str]:
    """Return what git knows; in an unpacked release, every file is the project's."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, timeout=60, check=False
    )
    if listed.returncode == 0 and listed.stdout:
        return sorted(filter(None, listed.stdout.split("\0")))
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file())


def _shown(path: Path) -> str:
    content = path.read_bytes()
    if len(content) > _LARGEST or b"\0" in content:
        return f"{len(content):,} bytes, which this page does not show.\n"
    text = content.decode("utf-8", "replace")
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{{code-block}} {_language(path, text)}\n:linenos:\n\n{text}\n{fence}\n"


def _language(path: Path, text: str) -> str:
    if text.startswith("#!/bin/sh"):
        return "sh"
    if text.startswith("#!") and "python" in text.partition("\n")[0]:
        return "python"
    return _LANGUAGES.get(path.suffix, "text")
