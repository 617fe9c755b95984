"""Text as man(7) has it: escaped, with commands and options in bold and values in italics.

The pages are ASCII, and use only requests and macros that both groff and mandoc have.  Each sentence begins
on a line of its own, from which both know where the one before ends.
"""

import re
import textwrap
from collections.abc import Collection, Iterator

from onpanic.cli.commands import COMMANDS

__all__ = (
    "COMMAND",
    "bold",
    "code",
    "escaped",
    "head",
    "italic",
    "marked",
    "paragraphs",
    "prose",
    "section",
    "sentence",
    "tagged",
)

_WIDTH = 78
#: Words that have no capital letter at the beginning of a sentence.
_SMALL = ("json", "libvirt", "nfd", "onpanic", "prometheus", "root", "virtio", "xen", "xl")
# A bare dash is a hyphen, at which a line may end
_SPECIAL = {"\\": r"\e", "-": r"\-", "^": r"\(ha", "~": r"\(ti", "`": r"\(ga"}
#: A pattern of ``onpanic`` with the name of a subcommand.
COMMAND = rf"\bonpanic (?:{'|'.join(sorted(COMMANDS, key=len, reverse=True))})(?![\w-])"
#: The words of a text that have a font: quoted code, options, commands, pages, and values.
_WORDS = re.compile(
    r"(?P<quoted>``(?P<code>[^`]+)``|`(?P<name>[^`]+)`)"
    r"|(?P<option>(?<![\w-])(?:--[a-z][\w-]*|-[a-z](?![\w-])))"
    rf"|(?P<command>{COMMAND}|\bonpanic-qemu\b)"
    r"|(?P<page>\b[a-z][\w.-]*\(\d\))"
    r"|(?P<value>\b[A-Z]+\b)"
)


def escaped(text: str, *, literal: bool = False) -> str:
    """Return a text as it is printed.

    :param literal: It is code, which a reader copies: quotation marks are those of ASCII.
    """
    made = "".join(_SPECIAL.get(character, character) for character in text)
    apostrophe = "'" if literal else r"(?<!\w)'|'(?!\w)"
    made = re.sub(apostrophe, r"\\(aq", made)
    return re.sub(r"[^\x00-\x7f]", lambda found: rf"\[u{ord(found[0]):04X}]", made)


def bold(text: str) -> str:
    """Return a text that is typed as it stands."""
    return rf"\fB{escaped(text, literal=True)}\fR"


def italic(text: str) -> str:
    """Return a text that something else is typed for."""
    return rf"\fI{escaped(text, literal=True)}\fR"


def prose(text: str, values: Collection[str] = ()) -> str:
    """Return a paragraph: a line for each sentence, or for each part of a long one.

    :param text: The paragraph, with or without ends of lines.
    :param values: The names of values, which are in italics.
    """
    lines: list[str] = []
    for sentence in _sentences(" ".join(text.split())):
        *begun, last = textwrap.wrap(
            marked(sentence, values), _WIDTH, break_long_words=False, break_on_hyphens=False
        )
        lines += [rf"{line}\&" if line.endswith((".", "?", "!")) else line for line in begun] + [last]
    return "".join(f"{_safe(line)}\n" for line in lines)


def paragraphs(text: str, values: Collection[str] = ()) -> str:
    """Return paragraphs, which an empty line parts; a line that begins with a command is an example."""
    made = []
    for block in text.split("\n\n"):
        lines = block.splitlines()
        example = next((n for n, line in enumerate(lines) if n and line.startswith("onpanic ")), len(lines))
        made.append(prose("\n".join(lines[:example]), values) + "".join(map(_example, lines[example:])))
    return ".PP\n".join(made)


def sentence(text: str) -> str:
    """Return the text of an option as a sentence: with a capital letter, unless it begins with a name."""
    first = re.match(r"\w*", text)
    begun = text if first and first[0] in _SMALL else text[:1].upper() + text[1:]
    return begun if begun.endswith(".") else f"{begun}."


def code(text: str) -> str:
    """Return lines that are printed as they are."""
    lines = (escaped(line, literal=True) for line in text.splitlines())
    return ".RS 4\n.nf\n" + "".join(rf"{_safe(line)}" + "\n" for line in lines) + ".fi\n.RE\n"


def tagged(tag: str, body: str) -> str:
    """Return an entry of a list: a tag that is ready, and a paragraph that is."""
    return f".TP\n{tag}\n{body}"


def section(title: str, body: str) -> str:
    """Return a section with its title."""
    return f".SH {title.upper()}\n{body.removeprefix('.PP' + chr(10))}"


def head(page: str, number: int, date: str, source: str) -> str:
    """Return the beginning of a page.

    :param page: Its name.
    :param number: Its section of the manual.
    :param date: Of what it describes.
    :param source: Program and version.
    """
    written = '.\\" Written by make man from the texts that --help prints: do not edit it.\n'
    return f'{written}.TH {page.upper()} {number} {date} "{source}" "onpanic manual"\n'


def _example(line: str) -> str:
    return f".PP\n{code(line)}"


def _sentences(text: str) -> Iterator[str]:
    begin = 0
    for end in re.finditer(r"(?:(?<=\.)(?<!e\.g\.)(?<!\.\.\.)\s+(?=[\w<`-])|(?<=\?)\s+(?=[A-Z]))", text):
        yield text[begin : end.start()]
        begin = end.end()
    yield text[begin:]


def marked(text: str, values: Collection[str] = ()) -> str:
    """Return a text with fonts, as a part of a line."""
    made, begin = [], 0
    for found in _WORDS.finditer(text):
        made.append(escaped(text[begin : found.start()]))
        made.append(_word(found, values))
        begin = found.end()
    made.append(escaped(text[begin:]))
    return "".join(made)


def _word(found: "re.Match[str]", values: Collection[str]) -> str:
    if found["quoted"]:
        return bold(found["code"] or found["name"])
    if found["option"] or found["command"]:
        return bold(found[0])
    if found["page"]:
        name, _, number = found[0].partition("(")
        return f"{bold(name)}({number}"
    return italic(found[0]) if found[0] in values else escaped(found[0])


def _safe(line: str) -> str:
    return rf"\&{line}" if line.startswith((".", "'")) else line
