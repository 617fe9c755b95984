"""The manual pages, as pages of the site: what `man` shows and what the site shows are one text."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

import pypandoc

from docsite.site_layout import COMMANDS, ROOT

__all__ = ("command_pages",)

_MAN = ROOT / "cli/share/man"
_REFERENCE = re.compile(r"\*\*([\w.-]+)\*\*\\?\(([15])\)")


def command_pages() -> Iterator[tuple[PurePosixPath, str]]:
    """Yield each page: its path in the site, and its text in MyST's Markdown."""
    names = {page.stem for page in _MAN.glob("man?/*")}
    listed = []
    for page in sorted(_MAN.glob("man?/*")):
        text = page.read_text("utf-8")
        summary = re.search(r"^\.SH NAME\n.* \\- (.*)$", text, re.MULTILINE)
        if summary is None:
            raise ValueError(f"{page} does not begin with its name")
        yield COMMANDS.with_name(f"{page.stem}.md"), f"# {_title(page.stem)}\n\n{_converted(text, names)}"
        listed.append((page.suffix, page.stem, summary[1].replace("\\-", "-")))
    yield COMMANDS, _list(listed)


def _title(name: str) -> str:
    """Return ``onpanic fleet verdict`` for ``onpanic-fleet-verdict``, and the names of files as they are."""
    known = name in ("onpanic-qemu", "onpanic-record", "onpanic-host-record") or "." in name
    return (
        name
        if known
        else name.replace("onpanic-", "onpanic ", 1).replace("fleet-", "fleet ").replace("matrix-", "matrix ")
    )


def _converted(text: str, names: set[str]) -> str:
    """Return a manual page in Markdown, without its first section: the page's title has its name."""
    markdown = pypandoc.convert_text(
        text,
        "commonmark+definition_lists-smart",
        "man",
        extra_args=["--wrap=none", "--shift-heading-level-by=1"],
    )
    _, _, rest = markdown.partition("\n\n")  # the heading NAME
    rest = re.sub(r"^## ([A-Z ]+)$", lambda head: f"## {head[1].capitalize()}", rest, flags=re.MULTILINE)
    return _REFERENCE.sub(lambda found: _linked(found, names), rest)


def _linked(found: re.Match[str], names: set[str]) -> str:
    name, number = found.groups()
    return f"[{name}({number})]({name}.md)" if name in names else found[0]


def _list(pages: list[tuple[str, str, str]]) -> str:
    heads = {".1": "Commands", ".5": "Files"}
    parts = ["# Commands and files\n\nThese are the manual pages, as `man` shows them.\n"]
    for suffix, head in heads.items():
        parts.append(f"\n## {head}\n\n")
        parts += [
            f"* [{_title(name)}]({name}.md): {text}\n" for section, name, text in pages if section == suffix
        ]
    names = "\n".join(name for _, name, _ in pages)
    return "".join([*parts, f"\n```{{toctree}}\n:hidden:\n\n{names}\n```\n"])
