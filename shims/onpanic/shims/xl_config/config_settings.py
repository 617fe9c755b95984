r"""The settings of an ``xl`` configuration file, with their positions in it.

The grammar is that of xl.cfg(5), as ``xl`` of Xen 4.17 reads it:

* ``NAME = VALUE`` or ``NAME += VALUE``, ended by a line end or ``;``; a name has lower-case letters, digits,
  ``_`` and ``.``.
* A value is a string in single or double quotes, on one line, a number, or a list of values in brackets, over
  several lines.  ``\`` escapes a quote, itself, or one of ``abfnrtv``; ``xl`` misreads numbers.
* ``#`` starts a comment, which a line end must end.
* A name may be set several times.  The last value counts; ``+=`` adds to the one before.

What ``xl`` would not read is an error here, too.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from onpanic.core.errors import DocumentError
from onpanic.core.untrusted import printable

__all__ = ("FILE_LIMIT", "Setting", "settings_of")

#: Bytes; xl's own files have some hundred.
FILE_LIMIT = 1 << 20

_TOKEN = re.compile(
    rb"""[ \t]*(?:
    (?P<end>\#[^\n]*\n|[\n;])
    |(?P<name>[a-z][._0-9a-z]*)
    |(?P<atom>[0-9][0-9a-fx]*|'(?:[^'\\\n]|\\['"\\abfnrtv])*'|"(?:[^"\\\n]|\\['"\\abfnrtv])*")
    |(?P<operator>\+?=)
    |(?P<mark>[\[\],])
    |(?P<eof>\Z)
    )""",
    re.VERBOSE,
)
_DEEPEST = 100  # lists in lists


class Setting(NamedTuple):
    """A setting of a file; positions are offsets in bytes.

    :param name: Its name.
    :param line: Its line, counted from 1.
    :param operator: Where ``=`` or ``+=`` starts and ends.
    :param value: Where the value starts and ends.
    :param adds: Whether it adds to the value before.
    :param text: The value, without quotes if it is a string; None for a list.
    """

    name: str
    line: int
    operator: tuple[int, int]
    value: tuple[int, int]
    adds: bool
    text: str | None


class _Token(NamedTuple):
    kind: str
    text: bytes
    start: int
    end: int


def settings_of(data: bytes) -> list[Setting]:
    """Return the settings of a file, in its order.

    :param data: The file's content.
    :raise DocumentError: When ``xl`` would not read it, or it is longer than `FILE_LIMIT`.
    """
    if len(data) > FILE_LIMIT:
        raise DocumentError(f"longer than {FILE_LIMIT >> 20} MiB", "name an xl configuration file")
    tokens = _tokens(data)
    found: list[Setting] = []
    lists: dict[str, bool] = {}
    token = next(tokens)
    while token.kind != "eof":
        if token.kind != "end":
            operator = _expect(data, next(tokens), "operator")
            value = _value(data, tokens)
            setting = _setting(data, token, operator, value)
            is_list = setting.text is None
            if setting.adds and lists.get(setting.name, is_list) != is_list:
                raise _error(data, *operator[2:])
            lists[setting.name] = is_list
            found.append(setting)
            token = next(tokens)
            if token.kind not in ("end", "eof"):
                raise _error(data, token.start, token.end)
        if token.kind == "end":
            token = next(tokens)
    return found


def _setting(data: bytes, name: _Token, operator: _Token, value: tuple[int, int]) -> Setting:
    if name.kind != "name":
        raise _error(data, name.start, name.end)
    text = data[slice(*value)].decode("utf-8", "replace")
    return Setting(
        name=name.text.decode(),
        line=_line(data, name.start),
        operator=(operator.start, operator.end),
        value=value,
        adds=operator.text == b"+=",
        text=None if text[0] == "[" else text[1:-1] if text[0] in "'\"" else text,
    )


def _value(data: bytes, tokens: Iterator[_Token]) -> tuple[int, int]:
    """Read a value, and return where it starts and ends."""
    first = token = next(tokens)
    depth, may_end = 0, False  # may_end: a value is over, so that "," or "]" may follow
    while True:
        opens = token.text == b"[" and not may_end
        # "[]" and "[1,]" are lists; "[,]" and "[1 2]" are not
        closes = token.text == b"]" and depth > 0
        if opens:
            depth += 1
        elif closes:
            depth, may_end = depth - 1, True
        elif token.kind == "atom" and not may_end:
            may_end = True
        elif token.text == b"," and may_end and depth:
            may_end = False
        else:
            raise _error(data, token.start, token.end)
        if depth > _DEEPEST:
            raise DocumentError(f"line {_line(data, token.start)}: too many lists in lists", "use fewer")
        if depth == 0:
            return first.start, token.end
        token = next(tokens)
        while token.kind == "end" and token.text != b";":
            token = next(tokens)


def _expect(data: bytes, token: _Token, kind: str) -> _Token:
    if token.kind != kind:
        raise _error(data, token.start, token.end)
    return token


def _tokens(data: bytes) -> Iterator[_Token]:
    position = 0
    while True:
        found = _TOKEN.match(data, position)
        if found is None or found.lastgroup is None:
            start = len(data) - len(data[position:].lstrip(b" \t"))
            raise _error(data, start, start + 20)
        start, position = found.span(found.lastgroup)
        yield _Token(found.lastgroup, found[found.lastgroup], start, position)


def _line(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


def _error(data: bytes, start: int, end: int) -> DocumentError:
    near = data[start:end].split(b"\n")[0].decode("utf-8", "replace")
    where = f"near {printable(near, 40)!r}" if near else "at its end"
    return DocumentError(
        f"line {_line(data, start)}: xl does not read it: syntax error {where}", "see xl.cfg(5)"
    )
