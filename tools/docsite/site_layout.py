"""Which page of the checkout is which page of the site."""

from functools import cache
from pathlib import Path, PurePosixPath

__all__ = ("COMMANDS", "FILES", "MATRIX", "PICTURES", "ROOT", "page_of_site", "pages")

ROOT = Path(__file__).parent.parent.parent
#: The pictures that pages show.
PICTURES = ROOT / "docs/pictures"
#: The list of the manual pages, which the checkout has as a folder.
COMMANDS = PurePosixPath("reference/commands/index.md")
#: The folder of pages that show files of the checkout.
FILES = "files"
#: The page of the matrix, which is no page of Sphinx.
MATRIX = PurePosixPath("matrix/index.html")

# Pages outside of docs/
_OTHERS = {
    "README.md": "project/readme.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/reporting.md",
    "compat-matrix/index.html": str(MATRIX),
    "cli/share/man": str(COMMANDS),
}


@cache
def pages() -> dict[Path, PurePosixPath]:
    """Return every page that people wrote: its path in the checkout, and its path in the site."""
    docs = ROOT / "docs"
    found = {page: PurePosixPath(page.relative_to(docs)) for page in sorted(docs.rglob("*.md"))}
    others = {ROOT / page: PurePosixPath(path) for page, path in _OTHERS.items() if page.endswith(".md")}
    return found | others


def page_of_site(path: Path) -> PurePosixPath | None:
    """Return where the site has a page, folder or picture of the checkout; None for what is none of these."""
    if path.parent == PICTURES and path.suffix == ".svg":
        return PurePosixPath(path.relative_to(PICTURES.parent))
    if path.is_relative_to(ROOT / "cli/share/man") and path.is_file():
        return COMMANDS.with_name(f"{path.stem}.md")
    other = _OTHERS.get(str(path.relative_to(ROOT)))
    return PurePosixPath(other) if other else pages().get(path)
