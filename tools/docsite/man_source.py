"""A manual page as parts: the macros and escapes of man(7) that tools/manual writes, and no others."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ("ManPart", "man_parts", "text_of")

_ESCAPES = {
    "&": "",
    "-": "-",
    "e": "\\",
    " ": "\xa0",
    "(aq": "'",
    "(bu": "•",
    "(ga": "`",
    "(ha": "^",
    "(ti": "~",
}
_ESCAPE = re.compile(r"\\(\[u([0-9A-F]{4,6})\]|\(..|.)")


@dataclass
class ManPart:
    """A part of a page.

    :param kind: ``section``, ``subsection``, ``paragraph``, ``item``, ``entry`` (of a list, with a tag),
        ``code``, ``synopsis`` or ``pages`` (a list of references).
    :param tag: The title of a section, the command of a synopsis, or the tag of an entry.
    :param lines: Its text.  Only `text_of` removes the escapes, but code has none.
    """

    kind: str
    tag: str = ""
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Its lines, as one."""
        return " ".join(self.lines)


def man_parts(source: str) -> Iterator[ManPart]:
    """Yield the parts of a page.

    Raises `ValueError` when it has a macro that tools/manual does not write.
    """
    lines = iter(source.splitlines())
    part = ManPart("paragraph")
    for line in lines:
        macro, _, argument = line.partition(" ")
        if not line.startswith("."):
            part.lines.append(line)
            continue
        if macro == ".BR":
            if part.kind != "pages":
                yield part
                part = ManPart("pages")
            part.lines.append("".join(argument.split()[:2]))
            continue
        begun = _begun(macro, argument, lines)
        if begun:
            yield part
            part = begun
        if begun and begun.kind in ("section", "subsection"):
            yield begun
            part = ManPart("paragraph")
    yield part


def _begun(macro: str, argument: str, lines: Iterator[str]) -> ManPart | None:
    """Return the part that a line begins, with the lines that belong to it anyway; None for no part."""
    match macro:
        case '.\\"' | ".TH" | ".RS":
            return None
        case ".SH" | ".SS":
            return ManPart("section" if macro == ".SH" else "subsection", text_of(argument))
        case ".PP" | ".RE" | ".YS":
            return ManPart("paragraph")
        case ".TP":
            return ManPart("entry", next(lines))
        case ".IP":
            return ManPart("item")
        case ".SY":
            return ManPart("synopsis", text_of(argument.strip('"')))
        case ".nf":
            return ManPart("code", lines=[text_of(line) for line in iter(lambda: next(lines), ".fi")])
    raise ValueError(f"{macro} is no macro that this project's manual pages have")


def text_of(text: str) -> str:
    """Return a text without escapes, that is, as it is printed.

    A space at which no line ends stays one.  Raises `ValueError` for an unknown escape.
    """
    return _ESCAPE.sub(_character, re.sub(r"\\f[BIR]", "", text))


def _character(found: re.Match[str]) -> str:
    if found[2]:
        return chr(int(found[2], 16))
    if found[1] not in _ESCAPES:
        raise ValueError(f"{found[0]} is no escape that this project's manual pages have")
    return _ESCAPES[found[1]]
