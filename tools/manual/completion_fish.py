"""The completion of fish."""

from collections.abc import Iterator

from manual.completed_words import HEAD, completed, groups_of
from manual.parsers import Argument, Command

__all__ = ("fish_completion",)

_BEGIN = """\
# Whether the words before the cursor begin with these, and -- is not among them
function __onpanic_command
    set -l words (commandline -opc)
    set -e words[1]
    contains -- -- $words; and return 1
    test (count $words) -ge (count $argv); or return 1
    for i in (seq (count $argv))
        test $words[$i] = $argv[$i]; or return 1
    end
end

# Whether these are all the words before the cursor
function __onpanic_only
    set -l words (commandline -opc)
    test (count $words) -eq (math 1 + (count $argv)); and __onpanic_command $argv
end

# What follows -- is a command line of its own
function __onpanic_behind_dashes
    set -l words (commandline -opc)
    set -l place (contains -i -- -- $words); or return 1
    complete -C (string join -- ' ' $words[(math $place + 1)..] (commandline -ct))
end

function __onpanic_emulators
    complete -C qemu-system- | string match -r '^qemu-system-\\S+'
    string match -q '*/*' -- (commandline -ct); and __fish_complete_path (commandline -ct)
end

complete -c onpanic -f
complete -c onpanic -n 'contains -- -- (commandline -opc)' -a '(__onpanic_behind_dashes)'
complete -c onpanic -n __onpanic_only -s h -l help -d 'show this help and exit'
complete -c onpanic -n __onpanic_only -l version -d 'show the version and exit'
"""


def fish_completion(commands: list[Command]) -> str:
    """Return the completion of all subcommands."""
    lines = [HEAD.format(name="fish") + "\n\n", _BEGIN, *_names(commands)]
    for command in commands:
        lines.append(f"\n# onpanic {command.name}\n")
        begin = f"complete -c onpanic -n '__onpanic_command {command.name}'"
        lines += [f"{begin}{_option(one)}\n" for one in command.options]
        lines += [f"{begin}{_value(one)}\n" for one in command.positionals]
    return "".join(lines)


def _names(commands: list[Command]) -> Iterator[str]:
    for command in commands:
        first, _, second = command.name.partition(" ")
        if not second:
            yield f"complete -c onpanic -n __onpanic_only -a {first} -d {_quoted(command.summary)}\n"
    for group, members in groups_of(commands).items():
        words = ", ".join(one.name.partition(" ")[2] for one in members)
        yield f"complete -c onpanic -n __onpanic_only -a {group} -d {_quoted(words)}\n"
        for one in members:
            condition = f"'__onpanic_only {group}'"
            name = one.name.partition(" ")[2]
            yield f"complete -c onpanic -n {condition} -a {name} -d {_quoted(one.summary)}\n"


def _option(one: Argument) -> str:
    names = "".join(f" -l {f[2:]}" if f.startswith("--") else f" -s {f[1:]}" for f in one.flags)
    value = _value(one) if one.value else ""
    value = f" {'-r' if ' -F' in value else '-x'}{value}" if one.value else ""
    return f"{names}{value} -d {_quoted(one.help)}"


def _value(one: Argument) -> str:
    found = completed(one)
    words = [_quoted(" ".join(found.words))] if found.words else []
    if found.source == "folder":
        words = ["'(__fish_complete_directories)'"]
    elif found.source == "emulator":
        words.append("'(__onpanic_emulators)'")
    listed = "".join(f" -a {word}" for word in words)
    return listed + (" -F" if found.source == "file" else "")


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", r"\'") + "'"
