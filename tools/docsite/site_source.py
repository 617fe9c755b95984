"""All that Sphinx reads, in one folder."""

import shutil
from pathlib import Path

from docsite.api_pages import api_contents, api_pages
from docsite.command_pages import command_pages
from docsite.contents import index_with_contents
from docsite.page_links import with_site_links
from docsite.schema_pages import SCHEMA_FILES, schema_contents
from docsite.site_layout import MATRIX, PICTURES, ROOT, pages

__all__ = ("write_site_source",)

_DOCS = ROOT / "docs"
#: Pages that end with what is made from the code.
_ENDS = {
    _DOCS / "reference/json.md": schema_contents,
    _DOCS / "reference/python-api.md": api_contents,
}


def write_site_source(folder: Path) -> set[Path]:
    """Write the source of the site into an empty folder.

    :return: The files and folders that the pages lead to, and that the site shows on pages of their own.
    :raise ValueError: When a link of a page leads nowhere.
    """
    shown: set[Path] = set()
    for page, place in pages().items():
        text = with_site_links(page.read_text("utf-8"), page, shown.add)
        if page == _DOCS / "index.md":
            text = index_with_contents(text)
        if page in _ENDS:
            text += _ENDS[page]()
        _write(folder / place, text)
    for place, text in (*command_pages(), *api_pages()):
        _write(folder / place, text)
    shutil.copy(_DOCS / "conf.py", folder)
    for name in ("static", "templates"):
        shutil.copytree(_DOCS / name, folder / name)
    shutil.copytree(PICTURES, folder / PICTURES.name, ignore=shutil.ignore_patterns("*.cast"))
    _write_extra(folder / "extra")
    return shown


def _write_extra(folder: Path) -> None:
    """Write what is no page of Sphinx."""
    schemas = folder / "schemas"
    schemas.mkdir(parents=True)
    for path in SCHEMA_FILES.values():
        shutil.copy(path, schemas)
    _write(folder / MATRIX, _matrix_page())


def _matrix_page() -> str:
    """Return the page of the matrix with a way back, which it does not need elsewhere."""
    text = (ROOT / "compat-matrix/index.html").read_text("utf-8")
    before, mark, after = text.partition("</header>")
    if not mark:
        raise ValueError("compat-matrix/index.html has no header")
    return f'{before}  <p><a href="../index.html">The documentation of onpanic</a></p>\n{mark}{after}'


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
