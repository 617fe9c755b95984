"""Sections of the documentation as sections of manual pages.

Of Markdown, it knows what these sections have: paragraphs, lists, tables, blocks of code, links and headings.
"""

import posixpath
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from manual.roff import code, escaped, marked, prose, section, sentence, tagged
from manual.sessions import shown

__all__ = ("doc_sections",)

_DOCS = Path(__file__).parent.parent.parent / "docs"

#: By command: the title of the section, the page of the documentation, and its heading there.
SECTIONS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "onpanic": (("Policies", "how-to/policies-on-libvirt.md", "The policy"),),
    "probe": (
        ("Running guests", "how-to/probing.md", "Running guests"),
        ("Output", "how-to/probing.md", "Reading the result"),
    ),
    "check": (("Known findings", "how-to/checking-a-build.md", "Known findings"),),
    "why": (("Requirements", "how-to/last-words.md", "What a guest needs"),),
    "run": (
        ("Added options", "how-to/running.md", "What is added to the command"),
        ("Panics", "how-to/running.md", "What happens on a panic"),
    ),
    "watch": (("Log", "reference/watcher.md", "The log"), ("Hook", "reference/watcher.md", "Hook")),
}

_BLOCKS = re.compile(
    r"^```(?P<language>\w*)\n(?P<code>(?s:.*?))^```$"
    r"|^### (?P<heading>.*)$"
    r"|(?P<table>(?:^\|.*\n)+)"
    r"|(?P<items>(?:^\* .*\n(?:^ +.*\n)*)+)"
    r"|(?P<paragraph>(?:^(?!```|### |\||\* ).+\n)+)",
    re.MULTILINE,
)


def doc_sections(name: str, values: Collection[str] = ()) -> str:
    """Return the sections of a command's page that the documentation has.

    :param values: The names of the values of its options.

    Raises `LookupError` when it does not have one.
    """
    return "".join(
        section(title, "".join(_blocks(_text(page, heading), values)))
        for title, page, heading in SECTIONS.get(name, ())
    )


def _text(page: str, heading: str) -> str:
    text = (_DOCS / page).read_text(encoding="utf-8")
    _, found, rest = text.partition(f"\n## {heading}\n")
    if not found:
        raise LookupError(f"{page} has no heading {heading!r}")
    return _with_paths(rest.partition("\n## ")[0] + "\n", page)


def _with_paths(text: str, page: str) -> str:
    """Return a text with links to other pages replaced by the pages' paths in a checkout."""
    folder = posixpath.dirname(f"docs/{page}")
    return re.sub(
        r"\[[\w-]+\.md\]\(([^)#]+)[^)]*\)", lambda link: posixpath.normpath(f"{folder}/{link[1]}"), text
    )


def _blocks(text: str, values: Collection[str]) -> Iterator[str]:
    paragraph = ""  # a heading begins one
    for found in _BLOCKS.finditer(text):
        if found["heading"]:
            yield f".SS {escaped(_plain(found['heading']))}\n"
        elif found["table"]:
            yield from _table(found["table"])
        elif found["items"]:
            for item in re.split(r"^\* ", found["items"], flags=re.MULTILINE)[1:]:
                yield f".IP \\(bu 2\n{prose(_plain(item), values)}"
        elif found["paragraph"]:
            yield paragraph + prose(_plain(found["paragraph"]), values)
        else:
            yield paragraph + code(shown(found["code"]) if found["language"] == "console" else found["code"])
        paragraph = "" if found["heading"] else ".PP\n"


def _table(text: str) -> Iterator[str]:
    head, _, *rows = ([cell.strip() for cell in line.strip("|\n").split("|")] for line in text.splitlines())
    for first, *rest in rows:
        cells = rest if len(rest) == 1 else [": ".join(pair) for pair in zip(head[1:], rest, strict=True)]
        yield tagged(marked(_plain(first)), prose("  ".join(sentence(_plain(cell)) for cell in cells)))


def _plain(text: str) -> str:
    """Return a text without links and emphasis; what is code stays between backticks."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("**", "")
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else part.replace("*", "") for part in parts)
