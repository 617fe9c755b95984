"""The completion of bash, which needs bash 4 and nothing else."""

from collections.abc import Iterator

from manual.completed_words import HEAD, completed, groups_of
from manual.parsers import Argument, Command

__all__ = ("bash_completion",)

_BEGIN = """\
_onpanic()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    local command=${COMP_WORDS[1]} first=2 options= words= source= i
    COMPREPLY=()
    # bash parts --option=value at the equals sign
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
"""
_BEHIND_DASHES = """\
    for ((i = first; i < COMP_CWORD; i++)); do
        if [[ ${COMP_WORDS[i]} == -- ]]; then
            compopt -o filenames
            if ((i == COMP_CWORD - 1)); then
                mapfile -t COMPREPLY < <(compgen -c -- "$cur")
            else
                mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            fi
            return
        fi
    done
"""
_END = """\
    if [[ $options && $cur == -* ]]; then
        words=$options source=
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    # An emulator in a folder is a file
    if [[ $source == emulator && $cur == */* ]]; then
        source=file
    fi
    case $source in
        file)
            compopt -o filenames
            mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$cur")
            ;;
        folder)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -d -- "$cur")
            ;;
        emulator)
            mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -c -X '!qemu-system-*' -- "$cur")
            ;;
    esac
}
complete -F _onpanic onpanic
"""


def bash_completion(commands: list[Command]) -> str:
    """Return the completion of all subcommands."""
    middle = "".join((*_first_words(commands), *_cases(commands)))
    return f"{HEAD.format(name='bash')}\n\n{_BEGIN}{middle}{_END}"


def _first_words(commands: list[Command]) -> Iterator[str]:
    groups = groups_of(commands)
    names = dict.fromkeys(command.name.partition(" ")[0] for command in commands)
    yield "    case $command in\n"
    for group, members in groups.items():
        words = " ".join(command.name.partition(" ")[2] for command in members)
        yield f"        {group})\n            words='{words}'\n            first=3\n"
        yield '            command="$command ${COMP_WORDS[2]}"\n            ;;\n'
    yield "    esac\n    if ((COMP_CWORD == 1)); then\n"
    yield f"        words='{' '.join(names)}' options='-h --help --version'\n"
    yield "    elif ((COMP_CWORD < first)); then\n        options='-h --help'\n"
    yield "    else\n        words=\n    fi\n"
    yield _BEHIND_DASHES


def _cases(commands: list[Command]) -> Iterator[str]:
    yield "    ((COMP_CWORD < first)) || case $command in\n"
    for command in commands:
        yield f"        '{command.name}')\n            case $prev in\n"
        values: dict[str, list[str]] = {}
        for one in command.options:
            if one.value:
                values.setdefault(_set([one]), []).extend(one.flags)
        for value, names in values.items():
            yield f"                {' | '.join(names)}) {value} ;;\n"
        flags = " ".join(flag for one in command.options for flag in one.flags)
        yield f"                *)\n                    options='{flags}'\n"
        if command.positionals:
            yield f"                    {_set(command.positionals)}\n"
        yield "                    ;;\n            esac\n            ;;\n"
    yield "    esac\n"


def _set(arguments: list[Argument]) -> str:
    found = [completed(one) for one in arguments]
    words = " ".join(word for one in found for word in one.words)
    source = next((one.source for one in found if one.source), "")
    return " ".join(part for part in (f"words='{words}'" * bool(words), f"source={source}") if part)
