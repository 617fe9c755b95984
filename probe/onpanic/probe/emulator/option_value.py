"""Reading and changing the value of an option of QEMU, in either of its forms.

A value is either ``key=value`` pairs, where a doubled comma stands for a comma, or a JSON object; see
``-device`` in QEMU's manual.
"""

import json
import re
from collections.abc import Callable
from typing import Any

__all__ = ("json_members", "properties", "without_properties")

# Strings in either kind of quotes, as QEMU's JSON parser takes them; one that does not end goes on to the end
_STRING = re.compile(r"""["](?:[^"\\]|\\.)*+(?:"|$)|'((?:[^'\\]|\\.)*+)(?:'|$)""", re.DOTALL)
_QUOTE = re.compile(r"\\.|\"", re.DOTALL)
_PART = re.compile(r"((?:[^,]|,,)+)(?:,|$)")


def json_members(value: str) -> dict[str, Any]:
    """Return the members of a JSON object, whose strings may have single quotes, as QEMU accepts them.

    :return: Empty if the value is not an object, which QEMU reports.
    """
    try:
        found = json.loads(_STRING.sub(_double_quoted, value) if "'" in value else value)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def properties(value: str, implied: str) -> list[tuple[str, str]]:
    """Return the properties in a value; those of nested JSON values have names with dots.

    :param value: For example ``e1000,netdev=net0``.
    :param implied: The key of a first part that has none, e.g. ``driver``.
    """
    if value.startswith("{"):
        return _flat(json_members(value))
    found = []
    for position, part in enumerate(_PART.findall(value)):
        key, equals, word = part.partition("=")
        if equals:
            found.append((key, word.replace(",,", ",")))
        else:
            found.append((implied, part.replace(",,", ",")) if position == 0 else (part, "on"))
    return found


def without_properties(
    value: str, judge: Callable[[str, str], tuple[str | None, str]]
) -> tuple[str, list[str]]:
    """Return a value without some of its properties, and why they were dropped or replaced.

    :param value: As for `properties`.
    :param judge: Returns a property's value, None to drop it, and why it is not the one that was given.
    """
    reasons: dict[str, None] = {}

    def changed(key: str, word: str) -> str | None:
        new, why = judge(key, word)
        reasons.update(dict.fromkeys([why] if why else []))
        return new

    if value.startswith("{"):
        members: dict[str, Any] = {}
        for key, member in json_members(value).items():
            word = changed(key, text := _text(member))
            if word is not None:
                members[key] = member if word == text else word
        return json.dumps(members) if members else "", list(reasons)

    def rewritten(part: str) -> str | None:
        key, word = _split(part)
        new = changed(key, word) if "=" in part else word
        return part if new == word else None if new is None else f"{key}={new}"

    kept = map(rewritten, _PART.findall(value))
    return ",".join(part for part in kept if part is not None), list(reasons)


def _split(part: str) -> tuple[str, str]:
    key, _, word = part.partition("=")
    return key, word.replace(",,", ",")


def _flat(members: dict[str, Any]) -> list[tuple[str, str]]:
    """Return a JSON object's members, those of objects and lists in it included."""
    found = []
    left: list[tuple[str, Any]] = [("", members)]
    while left:
        name, value = left.pop()
        if isinstance(value, dict):
            left += [(f"{name}.{key}" if name else key, item) for key, item in value.items()]
        elif isinstance(value, list):
            left += [(name, item) for item in value]
        else:
            found.append((name, _text(value)))
    return found


def _text(value: Any) -> str:
    """Return a JSON value as it is written in the other form."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def _double_quoted(string: re.Match[str]) -> str:
    """Return a JSON string with double quotes."""
    if string[1] is None:
        return string[0]
    escapes = {"\\'": "'", '"': '\\"'}
    return '"' + _QUOTE.sub(lambda found: escapes.get(found[0], found[0]), string[1]) + '"'
