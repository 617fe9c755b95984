"""The site in a folder: complete, or not at all."""

import io
import shutil
import tempfile
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.util.console import nocolor

from docsite.site_layout import ROOT, pages
from docsite.site_source import write_site_source

__all__ = ("SiteError", "build_site")

#: In a folder that has it, everything is replaced.
_MARK = ".onpanic-site"


class SiteError(Exception):
    """The site cannot be built: a page has a fault, or the folder is not one to write to."""


def build_site(out: Path) -> None:
    """Build the site, and put it in place of the one that is in a folder.

    :param out: The folder.  It and its parents are made if they do not exist.
    :raise SiteError: When a page has a fault, or the folder has files that are not those of a site.
    :raise OSError: When a file cannot be read or written.
    """
    out = out.resolve()
    if out.exists() and not _is_ours(out):
        raise SiteError(f"{out} is not a site that was built here: name a new or an empty folder")
    nearest = next(folder for folder in out.parents if folder.exists())
    with tempfile.TemporaryDirectory(prefix=".onpanic-site-", dir=nearest) as name:
        scratch = Path(name)
        built = scratch / "site"
        _run_sphinx(scratch, built)
        (built / _MARK).write_text("Built by tools/website.py, which replaces this folder.\n", "utf-8")
        out.parent.mkdir(parents=True, exist_ok=True)
        _exchange(built, out, scratch / "old")


def _exchange(new: Path, out: Path, old: Path) -> None:
    try:
        if out.exists():
            out.rename(old)
        new.rename(out)
    finally:
        if old.exists() and not out.exists():  # cancelled in between
            old.rename(out)


def _is_ours(folder: Path) -> bool:
    return folder.is_dir() and ((folder / _MARK).exists() or not any(folder.iterdir()))


def _run_sphinx(scratch: Path, built: Path) -> None:
    source = scratch / "source"
    try:
        shown = write_site_source(source)
    except ValueError as error:
        raise SiteError(str(error)) from error
    nocolor()
    complaints = io.StringIO()
    names = sorted(str(path.relative_to(ROOT)) for path in shown)
    try:
        sphinx = Sphinx(
            *(source, source, built, scratch / "doctrees", "html"),
            confoverrides={"nitpicky": True, "shown_files": names},
            status=None,
            warning=complaints,
        )
        sphinx.build()
    except SphinxError as error:
        raise SiteError(_in_checkout(str(error), source)) from error
    if complaints.getvalue():
        raise SiteError(_in_checkout(complaints.getvalue().strip(), source))
    shutil.rmtree(built / "_sources", ignore_errors=True)  # empty: pages are not copied


def _in_checkout(text: str, source: Path) -> str:
    """Return what Sphinx said, with the pages' names in the checkout."""
    for page, place in pages().items():
        text = text.replace(str(source / place), str(page.relative_to(ROOT)))
    return text.replace(f"{source}/", "")
