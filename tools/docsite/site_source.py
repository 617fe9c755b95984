"""All that Sphinx reads, in one folder."""

import shutil
from pathlib import Path

from docsite.api_pages import api_contents, api_pages
from docsite.command_pages import command_pages
from docsite.contents import index_with_contents
from docsite.file_pages import file_page, file_page_path, files_below
from docsite.page_links import with_site_links
from docsite.site_layout import MATRIX, PICTURES, ROOT, pages

__all__ = ("write_site_source",)

_DOCS = ROOT / "docs"


def write_site_source(folder: Path) -> None:
    """Write the source of the site into an empty folder.

    Raises `ValueError` when a link of a page leads nowhere.
    """
    shown: set[Path] = set()
    for page, place in pages().items():
        text = with_site_links(page.read_text("utf-8"), page, shown.add)
        if page == _DOCS / "index.md":
            text = index_with_contents(text)
        if page == _DOCS / "reference/python-api.md":
            text += api_contents()
        _write(folder / place, text)
    for place, text in (*command_pages(), *api_pages()):
        _write(folder / place, text)
    below = {file for path in shown if path.is_dir() for file in files_below(path)}
    for path in sorted(shown | below):
        _write(folder / file_page_path(path), file_page(path))
    shutil.copy(_DOCS / "conf.py", folder)
    shutil.copytree(_DOCS / "static", folder / "static")
    shutil.copytree(PICTURES, folder / PICTURES.name, ignore=shutil.ignore_patterns("*.cast"))
    matrix = folder / "extra" / MATRIX
    matrix.parent.mkdir(parents=True)
    shutil.copy(ROOT / "compat-matrix/index.html", matrix)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
