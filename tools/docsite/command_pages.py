"""The manual pages, as pages of the site: what `man` shows and what the site shows are one text."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

from docsite.man_markdown import ManLinks, markdown_of_man, slug
from docsite.man_source import man_parts, text_of
from docsite.site_layout import COMMANDS, ROOT
from onpanic.cli.commands import COMMANDS as SUBCOMMANDS

__all__ = ("command_pages", "manual_links")

_MAN = ROOT / "cli/share/man"
_HEADS = {".1": "Commands", ".5": "Files"}
_TITLES = {f"onpanic-{name.replace(' ', '-')}": f"onpanic {name}" for name in SUBCOMMANDS}


def command_pages() -> Iterator[tuple[PurePosixPath, str]]:
    """Yield each page: its path in the site, and its text in MyST's Markdown."""
    links = manual_links()
    for page in _manual_pages():
        command = _title(page.stem) if page.suffix == ".1" else ""
        text = markdown_of_man(page.read_text("utf-8"), links, command)
        lead = f"{_shown(page)}."
        lead = f"{lead[:1].upper()}{lead[1:]}"
        if f"## Description\n\n{lead}" in text:  # which need not say it again
            lead = ""
        yield COMMANDS.with_name(f"{page.stem}.md"), f"# {_title(page.stem)}\n\n{lead}\n\n{text}"
    yield COMMANDS, _list()


@cache
def manual_links() -> ManLinks:
    """Return what a page beside the manual pages can link to."""
    manuals = {page.stem: f"{page.stem}.md" for page in _manual_pages()}
    commands = {_title(page.stem): f"{page.stem}.md" for page in _manual_pages() if page.suffix == ".1"}
    options = {_title(page.stem): _options(page) for page in _manual_pages()}
    types = {
        name: f"{page.stem}.md#{slug(name)}" for page in _manual_pages() for name in _below(page, "MEMBERS")
    }
    return ManLinks(commands, manuals, options, types)


def _manual_pages() -> list[Path]:
    return sorted(_MAN.glob("man?/*"), key=lambda page: (page.suffix, page.stem))


def _title(name: str) -> str:
    """Return ``onpanic fleet verdict`` for ``onpanic-fleet-verdict``, and other names as they are."""
    return _TITLES.get(name, name)


def _summary(page: Path) -> str:
    found = re.search(r"^\.SH NAME\n.* \\- (.*)$", page.read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise ValueError(f"{page} does not begin with its name")
    return text_of(found[1])


def _options(page: Path) -> frozenset[str]:
    """Return the options that a page describes, by all of their names."""
    section, found = "", set()
    for part in man_parts(page.read_text("utf-8")):
        section = part.tag if part.kind == "section" else section
        if part.kind == "entry" and section == "OPTIONS":
            found |= set(re.findall(r"(?<![\w-])--?\w[\w-]*", text_of(part.tag)))
    return frozenset(found)


def _below(page: Path, title: str) -> Iterator[str]:
    """Yield the titles of the subsections of a section."""
    section = ""
    for part in man_parts(page.read_text("utf-8")):
        section = part.tag if part.kind == "section" else section
        if part.kind == "subsection" and section == title:
            yield part.tag


def _list() -> str:
    parts = ["# Commands and files\n\nThese are the manual pages, as `man` shows them.\n"]
    for suffix, head in _HEADS.items():
        listed = (page for page in _manual_pages() if page.suffix == suffix)
        parts.append(f"\n## {head}\n\n")
        parts += [f"* [{_title(page.stem)}]({page.stem}.md): {_shown(page)}\n" for page in listed]
    names = "\n".join(page.stem for page in _manual_pages())
    return "".join([*parts, f"\n```{{toctree}}\n:hidden:\n\n{names}\n```\n"])


def _shown(page: Path) -> str:
    return re.sub(r"<[^<>]*>", r"`\g<0>`", _summary(page))
