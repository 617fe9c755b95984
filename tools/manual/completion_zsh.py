"""The completion of zsh, by its function ``_arguments``."""

import re
from collections.abc import Iterator

from manual.completed_words import HEAD, completed, groups_of
from manual.parsers import Argument, Command

__all__ = ("zsh_completion",)

_EMULATORS = """\
_onpanic_emulators() {
  _alternative \\
    'emulators:emulator:compadd -- ${(M)${(k)commands}:#qemu-system-*}' \\
    'files:file:_files'
}
"""
# What follows -- is a command line of its own
_BEGIN = """\
_onpanic() {
  local behind=${words[(i)--]}
  if (( behind < CURRENT )); then
    words=("${(@)words[behind + 1, -1]}")
    (( CURRENT -= behind ))
    _normal
    return
  fi
  local name=$words[2]
  local -a known
"""
_FIRST = """\
  if (( CURRENT == 2 )); then
    _describe -t commands command known
    _arguments -s '(- *)'{-h,--help}'[show this help and exit]' '(- *)--version[show the version and exit]'
    return
  fi
  shift words
  (( CURRENT-- ))
"""
_SECOND = """\
      if (( CURRENT == 2 )); then
        _describe -t commands command known
        return
      fi
      name+=_$words[2]
      shift words
      (( CURRENT-- ))
      ;;
"""
_END = """\
  (( $+functions[_onpanic_${name//-/_}] )) && _onpanic_${name//-/_}
}

_onpanic "$@"
"""


def zsh_completion(commands: list[Command]) -> str:
    """Return the completion of all subcommands."""
    functions = "\n".join("".join(_function(command)) for command in commands)
    return (
        f"#compdef onpanic\n{HEAD.format(name='zsh')}\n\n{_EMULATORS}\n{functions}\n{_BEGIN}"
        f"{''.join(_dispatch(commands))}{_END}"
    )


def _dispatch(commands: list[Command]) -> Iterator[str]:
    groups = groups_of(commands)
    lines = {c.name: c.summary for c in commands if " " not in c.name}
    lines |= {name: ", ".join(c.name.split()[1] for c in members) for name, members in groups.items()}
    yield _known("  ", lines)
    yield _FIRST
    yield "  case $name in\n"
    for name, members in groups.items():
        yield f"    {name})\n" + _known("      ", {c.name.split()[1]: c.summary for c in members}) + _SECOND
    yield "  esac\n"


def _known(indent: str, lines: dict[str, str]) -> str:
    rows = "".join(f"{indent}  {_quoted(f'{name}:{text}')}\n" for name, text in lines.items())
    return f"{indent}known=(\n{rows}{indent})\n"


def _function(command: Command) -> Iterator[str]:
    yield f"_onpanic_{re.sub('[ -]', '_', command.name)}() {{\n  _arguments -s -S"
    for one in command.options:
        yield f" \\\n    {_option(one)}"
    for number, one in enumerate(command.positionals, start=1):
        place = "*" if one.nargs in ("*", "+") else str(number)
        optional = ":" if one.nargs == "?" else ""
        yield f" \\\n    {_quoted(f'{place}:{optional}{_colons(one.value)}:{_action(one)}')}"
    yield "\n}\n"


def _option(one: Argument) -> str:
    said = re.sub(r"([\[\]\\])", r"\\\1", one.help)
    name = one.name if one.value.startswith("{") else one.value
    value = f":{_colons(name)}:{_action(one)}" if one.value else ""
    names = [f"{flag}{('=' if flag.startswith('--') else '+') if one.value else ''}" for flag in one.flags]
    others = "(- *)" if one.name == "help" else f"({' '.join(one.flags)})" if len(names) > 1 else ""
    if one.repeatable:
        others = "*"
    if len(names) > 1:
        return f"'{others}'{{{','.join(names)}}}{_quoted(f'[{said}]{value}')}"
    return _quoted(f"{others}{names[0]}[{said}]{value}")


def _action(one: Argument) -> str:
    found = completed(one)
    if found.words:
        return f"({' '.join(found.words)})"
    return {"": " ", "file": "_files", "folder": "_files -/", "emulator": "_onpanic_emulators"}[found.source]


def _colons(text: str) -> str:
    return text.replace(":", r"\:")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", r"'\''") + "'"
