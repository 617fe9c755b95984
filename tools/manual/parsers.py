"""What each subcommand takes, read from its parser: the one that parses its command line."""

import argparse
import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass

from onpanic.cli.commands import COMMANDS
from onpanic.cli.options import parser_of

__all__ = ("Argument", "Command", "commands")


@dataclass(frozen=True)
class Argument:
    """An option, or a positional argument.

    :param flags: The option's names; empty for a positional argument.
    :param name: The name by which the command knows it.
    :param value: What its value is called; empty for an option without one.
    :param choices: The values that the parser takes; empty if it takes any.
    :param nargs: How many values it takes, as argparse says it: empty for one, ``?``, ``*`` or ``+``.
    :param repeatable: Whether the option may be given more than once.
    :param required: Whether it must be given.
    :param help: What ``--help`` says.
    :param exclusive: A number that options have in common of which only one may be given; 0 for none.
    """

    flags: tuple[str, ...]
    name: str
    value: str
    choices: tuple[str, ...]
    nargs: str
    repeatable: bool
    required: bool
    help: str
    exclusive: int


@dataclass(frozen=True)
class Command:
    """A subcommand.

    :param name: Its name, such as ``matrix show``.
    :param summary: What it does, in one line.
    :param description: What it does, in paragraphs of lines.
    :param groups: Its arguments, by the titles under which ``--help`` lists them.
    :param trailing: What may or must follow its options behind ``--``; empty for nothing.
    """

    name: str
    summary: str
    description: str
    groups: dict[str, tuple[Argument, ...]]
    trailing: str

    @property
    def page(self) -> str:
        """The name of its manual page."""
        return f"onpanic-{self.name.replace(' ', '-')}"

    @property
    def options(self) -> list[Argument]:
        """Its options, ``--help`` first."""
        return [one for group in self.groups.values() for one in group if one.flags]

    @property
    def positionals(self) -> list[Argument]:
        """Its positional arguments."""
        return [one for group in self.groups.values() for one in group if not one.flags]


def commands() -> Iterator[Command]:
    """Yield every subcommand, in the order of ``onpanic --help``."""
    for name, (path, summary) in COMMANDS.items():
        module = importlib.import_module(path)
        parser = parser_of(name, module)
        exclusive = {
            id(action): number
            for number, group in enumerate(parser._mutually_exclusive_groups, start=1)
            for action in group._group_actions
        }
        groups = {
            str(group.title): tuple(
                _argument(action, parser.prog, exclusive.get(id(action), 0))
                for action in group._group_actions
            )
            for group in parser._action_groups
            if group._group_actions
        }
        takes_command = getattr(module, "TAKES_COMMAND", False)
        usage = parser.usage or ("%(prog)s [-- COMMAND...]" if takes_command else "")
        trailing = usage[usage.index("-- ") - ("[-- " in usage) :] if "-- " in usage else ""
        yield Command(name, summary, inspect.cleandoc(str(module.__doc__)), groups, trailing)


def _argument(action: argparse.Action, program: str, exclusive: int) -> Argument:
    choices = tuple(map(str, action.choices or ()))
    nargs = "" if action.nargs is None else str(action.nargs)
    named = action.metavar or ("{" + ",".join(choices) + "}" if choices else action.dest.upper())
    value = "" if nargs == "0" else str(named)
    explained = (action.help or "") % {**vars(action), "prog": program}
    repeatable = isinstance(action, (argparse._AppendAction, argparse._ExtendAction))
    return Argument(
        tuple(action.option_strings),
        action.dest,
        value,
        choices,
        nargs if nargs in ("?", "*", "+") else "",
        repeatable,
        action.required,
        explained,
        exclusive,
    )
