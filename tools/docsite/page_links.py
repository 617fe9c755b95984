"""Links of a page of the checkout, as the site has them."""

import posixpath
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from docsite.file_pages import file_page_path
from docsite.site_layout import MATRIX, ROOT, page_of_site

__all__ = ("with_site_links",)

# As the tests of the documentation have it; a label may contain code and one pair of brackets
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^)\s]+)\)")
_FILE_NAME = re.compile(r"(?:[\w-]+/)*[\w-]+\.md")


def with_site_links(text: str, origin: Path, needed: Callable[[Path], None]) -> str:
    """Return the text of a page with its links changed.

    A label that is the name of the page that it leads to is left out, so that MyST writes the page's title.

    :param origin: The page's path in the checkout.
    :param needed: Called with each file or folder that the site shows on a page of its own.
    :raise ValueError: When a link leads nowhere, or out of the checkout: the message names page and target.
    """
    folder = _place(origin).parent
    blocks = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
    for index in range(0, len(blocks), 2):  # the others are code
        blocks[index] = _LINK.sub(lambda link: _changed(link, origin, folder, needed), blocks[index])
    return "".join(blocks)


def _place(origin: Path) -> PurePosixPath:
    place = page_of_site(origin)
    if place is None:
        raise ValueError(f"{origin} is no page of the site")
    return place


def _changed(link: re.Match[str], origin: Path, folder: PurePosixPath, needed: Callable[[Path], None]) -> str:
    label, target = link.groups()
    name, hash_, anchor = target.partition("#")
    if not name or re.match(r"[a-z]+:", name):
        return link[0]
    path = Path(posixpath.normpath(origin.parent / name))
    if not path.exists() or not path.is_relative_to(ROOT):
        raise ValueError(f"{origin.relative_to(ROOT)}: the link to {target} leads nowhere")
    place = page_of_site(path)
    if place is None:
        needed(path)
        return f"[{label}](site:{posixpath.relpath(file_page_path(path), folder)})"
    if place == MATRIX:
        return f"[{label}](site{'-part' if anchor else ''}:{posixpath.relpath(place, folder)}{hash_}{anchor})"
    label = "" if _FILE_NAME.fullmatch(label) else label
    return f"[{label}]({posixpath.relpath(place, folder)}{hash_}{anchor})"
