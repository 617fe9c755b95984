"""Pages that show a file of the checkout, or list a folder: the site needs no repository to link to.

A file has a page if a page of the documentation links to it, or to the folder that it is in, if that folder
is one of the documentation's, such as the samples.  Other folders are only listed.

This is an extension of Sphinx.  The pages do not pass through its parser, which would take longer than all
others together.  Neither the search nor a table of contents leads to them.
"""

import subprocess
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from html import escape
from pathlib import Path, PurePosixPath
from typing import Any

from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder

from docsite.site_layout import FILES, ROOT

__all__ = ("file_page_path", "setup")

_DOCS = ROOT / "docs"
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
    name = PurePosixPath(FILES, path.relative_to(ROOT))
    return name / "index.html" if path.is_dir() else name.with_name(f"{name.name}.html")


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the pages of the files and folders in the configuration value ``shown_files``."""
    app.add_config_value("shown_files", [], "html", types=[list])
    app.connect("html-collect-pages", _collected)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _collected(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    builder = app.builder
    if not isinstance(builder, StandaloneHTMLBuilder):  # only a site links to them
        return
    shown = _with_files_below(ROOT / name for name in app.config.shown_files)
    for path in sorted(shown):
        title = f"{path.relative_to(ROOT)}{'/' if path.is_dir() else ''}"
        body = _list(path, shown) if path.is_dir() else _shown(path, builder)
        section = f'<section class="shown-file">\n<h1>{escape(title)}</h1>\n{body}</section>\n'
        yield str(file_page_path(path).with_suffix("")), {"title": title, "body": section}, "page.html"


def _with_files_below(shown: Iterable[Path]) -> set[Path]:
    paths = set(shown)
    return paths.union(*(_files_below(path) for path in paths if path.is_dir() and _DOCS in path.parents))


def _list(folder: Path, shown: Collection[Path]) -> str:
    place = file_page_path(folder).parent
    items = []
    for path in sorted(_files_below(folder)):
        name = escape(str(path.relative_to(folder)))
        if path in shown:
            address = escape(str(file_page_path(path).relative_to(place)))
            name = f'<a class="reference internal" href="{address}">{name}</a>'
        items.append(f"<li><p>{name}</p></li>\n")
    return f"<ul>\n{''.join(items)}</ul>\n"


def _shown(path: Path, builder: StandaloneHTMLBuilder) -> str:
    content = path.read_bytes()
    if len(content) > _LARGEST or b"\0" in content:
        return f"<p>{len(content):,} bytes, which this page does not show.</p>\n"
    text = content.decode("utf-8", "replace")
    language = _language(path, text)
    lines = builder.config.html_codeblock_linenos_style
    highlighted = builder.highlighter.highlight_block(text, language, linenos=lines, location=str(path))
    return f'<div class="highlight-{language}">{highlighted}</div>\n'


def _language(path: Path, text: str) -> str:
    if text.startswith("#!/bin/sh"):
        return "sh"
    if text.startswith("#!") and "python" in text.partition("\n")[0]:
        return "python"
    return _LANGUAGES.get(path.suffix, "text")


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder that belong to the project, in order."""
    prefix = f"{folder.relative_to(ROOT)}/"
    yield from (ROOT / name for name in _project_files() if name.startswith(prefix))


@cache
def _project_files() -> list[str]:
    """Return what git knows; in an unpacked release, all but what Python has written is the project's."""
    try:
        command = ["git", "-C", str(ROOT), "ls-files", "-z"]
        listed = subprocess.run(command, capture_output=True, timeout=60, check=False).stdout.decode()
    except FileNotFoundError:
        listed = ""
    names = filter(None, listed.split("\0")) if listed else map(str, _unpacked_files())
    return sorted(name for name in names if (ROOT / name).is_file())


def _unpacked_files() -> Iterator[Path]:
    for path in ROOT.rglob("*"):
        name = path.relative_to(ROOT)
        if "__pycache__" not in name.parts and not name.parts[0].startswith("."):
            yield name
