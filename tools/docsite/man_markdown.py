"""A manual page in MyST's Markdown: options, settings and members have anchors, and names are links."""

import re
import textwrap
from collections.abc import Collection, Mapping
from itertools import groupby

from docsite.man_source import ManPart, man_parts, text_of

__all__ = ("ManLinks", "markdown_of_man", "slug")

_WIDTH = 76
_FONT = re.compile(r"\\f([BI])(.*?)\\fR")
#: What is code although no font says so: XML.  And pages of the documentation, which are links.
_LITERAL = re.compile(r"(?P<xml></?[\w:]+[^<>]*>(?:[\w-]*</[\w:]+>)?)|\bdocs/(?P<page>[\w/-]+\.md)\b")


class ManLinks:
    """What a page can link to.

    :param commands: By the name of a command, such as ``onpanic matrix show``: its page.
    :param manuals: By the name of a manual page: the page of the site.
    :param options: By the name of a command: its options.
    :param types: By the name of a type of records: where it is described.
    """

    def __init__(
        self,
        commands: Mapping[str, str],
        manuals: Mapping[str, str],
        options: Mapping[str, Collection[str]],
        types: Mapping[str, str],
    ) -> None:
        self.commands, self.manuals, self.options, self.types = commands, manuals, options, types


def markdown_of_man(source: str, links: ManLinks, command: str = "") -> str:
    """Return a manual page, or a part of one, in Markdown; without its section NAME.

    :param source: In roff.
    :param command: The command whose options it describes; empty for none.
    """
    return _Page(links, command).markdown(source)


def slug(*words: str) -> str:
    """Return the anchor of something that has a name."""
    return re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")


class _Page:
    def __init__(self, links: ManLinks, command: str) -> None:
        self._links, self._command = links, command
        self._section = self._below = ""
        self._in_tag = False

    def markdown(self, source: str) -> str:
        """Return what follows the title."""
        parts = (part for part in man_parts(source) if part.kind != "paragraph" or part.lines)
        blocks = [self._block(kind, list(alike)) for kind, alike in groupby(parts, lambda part: part.kind)]
        return "\n\n".join(filter(None, (block.strip("\n") for block in blocks))) + "\n"

    def _heading(self, part: ManPart) -> str:
        if part.kind == "section":
            self._section, self._below = part.tag.capitalize(), ""
            program = self._section == "Options" and self._command
            begun = f"```{{program}} {self._command}\n```\n\n" if program else ""
            return "" if self._section == "Name" else f"{begun}## {self._section}"
        self._below = part.tag
        return f"### {_escaped(part.tag)}"

    def _block(self, kind: str, parts: list[ManPart]) -> str:
        match kind:
            case "section" | "subsection":
                return "\n\n".join(filter(None, map(self._heading, parts)))
            case _ if self._section == "Name":
                return ""
            case "paragraph" if self._section == "Synopsis":
                return _fenced("text", "\n".join(text_of(part.text) for part in parts))
            case "paragraph":
                return "\n\n".join(self._text(part.text) for part in parts)
            case "item":
                return "\n".join(f"* {self._text(part.text)}" for part in parts)
            case "code":
                return "\n\n".join(_code("\n".join(part.lines)) for part in parts)
            case "synopsis":
                return _fenced("text", "\n".join(map(_synopsis, parts)))
            case "pages":
                return ", ".join(self._reference(text_of(word)) for part in parts for word in part.lines)
            case "entry":
                return self._entries(parts)
        return ""

    def _entries(self, parts: list[ManPart]) -> str:
        if self._section == "Exit status":
            rows = (f"| {self._text(part.tag)} | {self._text(part.text)} |\n" for part in parts)
            return "| status | meaning |\n|---|---|\n" + "".join(rows)
        options = self._section == "Options"
        return "\n\n".join(self._option(part) if options else self._entry(part) for part in parts)

    def _option(self, part: ManPart) -> str:
        flags = text_of(part.tag).replace("\xa0", " ")
        return f"```{{option}} {flags}\n\n{self._text(part.text)}\n```"

    def _entry(self, part: ManPart) -> str:
        self._in_tag = self._section == "Members"
        names, space, rest = self._text(part.tag).partition(" (")
        self._in_tag = False
        names = re.sub(r"(?<!\[)`([\w.-]+)`", self._anchored, names)
        return f"{names}{space}{rest}\n:   {self._text(part.text)}"

    def _anchored(self, found: re.Match[str]) -> str:
        anchor = slug(self._below or self._section, found[1])
        return f"[{found[0]}](#{anchor}){{#{anchor}}}"

    def _text(self, roff: str) -> str:
        """Return running text, with code, emphasis and links."""
        made, begin, command = [], 0, self._command
        for found in _FONT.finditer(roff):
            between = roff[begin : found.start()]
            begin = found.end()
            font, word = found[1], text_of(found[2]).replace("\xa0", " ")
            made.append(self._plain(between))
            number = re.match(r"\((\d)\)", roff[begin:])
            if font == "I":
                made.append(f"*{_escaped(word)}*")
                continue
            if number:
                begin += number.end()
                made.append(self._reference(f"{word}{number[0]}"))
                continue
            if word in self._links.commands:
                command = word
            elif between.strip() or not word.startswith("-"):
                command = self._command
            made.append(self._literal(word, command))
        return "".join([*made, self._plain(roff[begin:])]).strip()

    def _plain(self, roff: str) -> str:
        text, made, begin = text_of(roff).replace("\xa0", " "), [], 0
        for found in _LITERAL.finditer(text):
            made.append(self._words(text[begin : found.start()]))
            made.append(f"`{found['xml']}`" if found["xml"] else f"[](/{found['page']})")
            begin = found.end()
        return "".join([*made, self._words(text[begin:])])

    def _words(self, text: str) -> str:
        """Return words, with links to the types of records; other words than a tag's may begin a sentence."""
        types = self._links.types
        names = (name for name in types if self._in_tag or re.match(r"[A-Z]\w*[A-Z]", name))
        known = "|".join(sorted(names, key=len, reverse=True)) or "(?!)"
        return re.sub(
            rf"\b({known})(?=s?\b)", lambda found: f"[{found[0]}]({types[found[0]]})", _escaped(text)
        )

    def _literal(self, word: str, command: str) -> str:
        if word in self._links.commands:
            return f"[`{word}`]({self._links.commands[word]})"
        if word in self._links.options.get(command, ()):
            return f"{{option}}`{word} <{command} {word}>`"
        named, _, option = word.rpartition(" ")
        if option in self._links.options.get(named, ()):
            return f"{{option}}`{word}`"
        kind, _, member = word.partition(".")
        if kind in self._links.types:
            target = self._links.types[kind]
            page = target.partition("#")[0]
            return f"[`{word}`]({page}#{slug(kind, member)})" if member else f"[`{word}`]({target})"
        return f"`{word}`" if "`" not in word else f"`` {word} ``"

    def _reference(self, word: str) -> str:
        """Return a reference to a manual page, such as ``xl(1)``."""
        name = word.partition("(")[0]
        target = self._links.manuals.get(name)
        return f"[{word}]({target})" if target else _escaped(word)


def _synopsis(part: ManPart) -> str:
    """Return a synopsis as man shows it: no line ends within an option and its value."""
    words = text_of(part.text)
    return textwrap.fill(
        words,
        _WIDTH,
        initial_indent=f"{part.tag} ",
        subsequent_indent=" " * (len(part.tag) + 1),
        break_long_words=False,
        break_on_hyphens=False,
    ).replace("\xa0", " ")


def _code(text: str) -> str:
    language = (
        "console"
        if re.match(r"(\$|\w+#) ", text)
        else "toml"
        if re.search(r"^\w\S* = ", text, re.MULTILINE)
        else "text"
    )
    return _fenced(language, text)


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def _escaped(text: str) -> str:
    """Return plain text in Markdown; an underscore within a word needs no escape."""
    return re.sub(r"([\\`*\[\]<>{}#~|$^]|\b_|_\b)", r"\\\1", text)
