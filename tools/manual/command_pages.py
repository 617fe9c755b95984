"""The manual pages of section 1: the command, each subcommand, and ``onpanic-qemu``."""

import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from manual.doc_sections import doc_sections
from manual.parsers import Argument, Command
from manual.roff import bold, code, escaped, head, italic, paragraphs, prose, section, sentence, tagged
from manual.sessions import sessions
from manual.surroundings import environment, files, related
from onpanic.cli.commands import overview
from onpanic.shims.qemu import wrapper

_FOLDERS = "The folders docs, tests and compat-matrix are those of onpanic's source."

__all__ = ("Edition", "command_page", "tail", "top_page", "wrapper_page")

_ROOT = Path(__file__).parent.parent.parent


class Edition:
    """What all pages have in common.

    :param commands: All subcommands.
    :param date: The date of the pages.
    :param source: Program and version.
    """

    def __init__(self, commands: Sequence[Command], date: str, source: str) -> None:
        self.commands, self.date, self.source = commands, date, source
        self.pages = {command.name: command.page for command in commands}


def command_page(command: Command, edition: Edition) -> str:
    """Return the page of a subcommand."""
    values = {one.value for one in (*command.options, *command.positionals) if len(one.value) > 1}
    values |= {one.value for one in command.positionals}
    blocks = command.description.split("\n\n")
    statuses = [block for block in blocks if block.startswith("Exit status: ")]
    described = [block for block in blocks if block not in statuses]
    body = "".join(
        (
            section("Description", paragraphs("\n\n".join(described), values)),
            _arguments(command, values),
            doc_sections(command.name, values),
            section("Exit status", _statuses(statuses)),
        )
    )
    said = re.sub(r"\\f.|\\", "", body)
    return "".join(
        (
            head(command.page, 1, edition.date, edition.source),
            _name(command.page, command.summary),
            section("Synopsis", _synopsis(command)),
            body,
            tail(command.name, command.page, edition, said),
        )
    )


def top_page(edition: Edition) -> str:
    """Return the page of the command itself."""
    parts = _overview()
    lead, listed = parts["description"], [f"onpanic {command.name}" for command in edition.commands]
    entries = [
        tagged(f"{bold(command.page)}(1)", prose(sentence(command.summary))) for command in edition.commands
    ]
    options = [tagged(_flags(flags), prose(sentence(text))) for flags, text in _rows(parts["options"])]
    rows, _, rest = parts["exit status"].partition("\nonpanic ")
    statuses = [tagged(bold(number), prose(sentence(text))) for number, text in _rows(rows)]
    return "".join(
        (
            head("onpanic", 1, edition.date, edition.source),
            _name("onpanic", lead.removesuffix(".")),
            section(
                "Synopsis",
                f".SY onpanic\n{italic('COMMAND')}\n[{italic('ARGUMENT')}\\ ...]\n.YS\n"
                f".SY onpanic\n{bold('--version')}\n.YS\n",
            ),
            section("Description", ".PP\n".join((prose(lead), *map(prose, _introduction())))),
            section("Commands", "".join(entries)),
            section("Options", "".join(options)),
            doc_sections("onpanic"),
            section("Exit status", "".join(statuses) + ".PP\n" + prose("onpanic " + rest)),
            tail("onpanic", "onpanic", edition, "\n".join(listed)),
        )
    )


def wrapper_page(edition: Edition) -> str:
    """Return the page of ``onpanic-qemu``, from its module's description."""
    text = inspect.cleandoc(str(wrapper.__doc__))
    first, _, rest = text.partition("\n\n")
    usage, _, described = rest.partition("\n\n")[2].partition("\n\n")
    named = re.fullmatch(r"``(onpanic-qemu)``: (.*)\.", first)
    if not named or not usage.strip().startswith("onpanic-qemu"):
        raise ValueError("the description of the wrapper has another form")
    return "".join(
        (
            head("onpanic-qemu", 1, edition.date, edition.source),
            _name(named[1], named[2]),
            section(
                "Synopsis",
                f".SY onpanic\\-qemu\n[{bold('--emulator')}\\ {italic('EMULATOR')}]\n"
                f"{italic('OPTION-OF-QEMU')}\\ ...\n.YS\n",
            ),
            section("Description", paragraphs(described)),
            section(
                "Exit status",
                prose(
                    "The emulator's own; 1 if an option is refused, and 2 if the emulator cannot be started."
                ),
            ),
            tail("onpanic-qemu", "onpanic-qemu", edition, text),
        )
    )


def tail(name: str, page: str, edition: Edition, text: str) -> str:
    """Return the end of a page: environment, files, examples and related pages.

    :param name: The command, or the page where it is none.
    :param text: What the page says, for the pages that it names.
    """
    variables = "".join(tagged(bold(word), prose(said)) for word, said in environment(name))
    paths = "".join(tagged(italic(path), prose(said)) for path, said in files(name))
    shown = [f".PP\n{prose(caption)}.PP\n{code(session)}" for caption, session in sessions(name)]
    if any(re.search(r"\b(docs|tests|compat-matrix)/", session) for _, session in sessions(name)):
        shown.insert(0, prose(_FOLDERS))
    pages = [
        f".BR {escaped(one.partition('(')[0], literal=True)} ({one.partition('(')[2]}"
        for one in related(name, page, edition.pages, text)
    ]
    return "".join(
        section(title, body)
        for title, body in (
            ("Environment", variables),
            ("Files", paths),
            ("Examples", "".join(shown)),
            ("See also", " ,\n".join(pages) + "\n"),
        )
        if body
    )


def _name(page: str, summary: str) -> str:
    said = summary[:1].lower() + summary[1:]
    return section("Name", f"{escaped(page, literal=True)} \\- {escaped(said)}\n")


def _synopsis(command: Command) -> str:
    lines = [f'.SY "onpanic {escaped(command.name, literal=True)}"\n']
    options = [one for one in command.options if one.name != "help"]
    done: set[int] = set()
    for one in options:
        if one.exclusive in done:
            continue
        group = [other for other in options if one.exclusive and other.exclusive == one.exclusive] or [one]
        done |= {one.exclusive} - {0}
        shown = r"\ |\ ".join(_option(other, other.flags[0]) for other in group)
        lines.append((shown if one.required else f"[{shown}]") + ("\\ ...\\&\n" if one.repeatable else "\n"))
    lines += [f"{_positional(one)}\n" for one in command.positionals]
    if command.trailing:
        shown = re.sub(r"[A-Z]+", lambda found: italic(found[0]), escaped(command.trailing, literal=True))
        lines.append(re.sub(r"\\-\\-", lambda _: bold("--"), shown).replace(" ", r"\ ") + "\n")
    return "".join(lines) + ".YS\n"


def _option(one: Argument, flag: str) -> str:
    return rf"{bold(flag)}\ {_value(one)}" if one.value else bold(flag)


def _value(one: Argument) -> str:
    shown = "{" + "|".join(map(bold, one.choices)) + "}" if one.value.startswith("{") else italic(one.value)
    return rf"{shown}\ ..." if one.nargs in ("+", "*") else shown


def _positional(one: Argument) -> str:
    return f"[{_value(one)}]" if one.nargs in ("?", "*") else _value(one)


def _arguments(command: Command, values: set[str]) -> str:
    made = ""
    positionals = [tagged(_value(one), prose(sentence(one.help), values)) for one in command.positionals]
    if positionals:
        made += section("Arguments", "".join(positionals))
    made += ".SH OPTIONS\n"
    for title, group in command.groups.items():
        entries = [_entry(one, values) for one in group if one.flags]
        if entries and title != "options":
            made += f".SS {escaped(sentence(title).removesuffix('.'))}\n"
        made += "".join(entries)
    return made


def _entry(one: Argument, values: set[str]) -> str:
    tag = ", ".join(map(bold, one.flags[:-1]))
    return tagged(
        (tag + ", " if tag else "") + _option(one, one.flags[-1]), prose(sentence(one.help), values)
    )


def _statuses(paragraph_list: Sequence[str]) -> str:
    made = ""
    for text in paragraph_list:
        listed, _, rest = text.removeprefix("Exit status: ").partition(".  ")
        entries = listed.replace("\n", " ").removesuffix(".").split("; ")
        for entry in entries:
            number, _, meaning = entry.partition(" ")
            made += (
                tagged(bold(number), prose(sentence(meaning)))
                if number.isdigit()
                else f".PP\n{prose(sentence(entry))}"
            )
        made += f".PP\n{prose(rest)}" if rest else ""
    return (made or tagged(bold("0"), prose("Success."))) + ".PP\n" + _common()


def _common() -> str:
    return prose("The statuses that all commands have are in onpanic(1).")


def _overview() -> dict[str, str]:
    """Return what ``onpanic --help`` prints, by heading; its first sentence is the description."""
    usage, described, rest = overview().split("\n\n", 2)
    parts = dict(block.split(":\n", 1) for block in rest.split("\n\n"))
    return {"usage": usage, "description": described, **parts}


def _rows(block: str) -> Iterator[tuple[str, str]]:
    for line in block.splitlines():
        first, _, text = line.strip().partition("  ")
        yield first, text.strip()


def _flags(flags: str) -> str:
    return ", ".join(map(bold, flags.split(", ")))


def _introduction() -> list[str]:
    """Return the paragraphs of the README that say how a probe works."""
    page = (_ROOT / "README.md").read_text(encoding="utf-8").partition("\n## ")[0]
    found = [block for block in page.split("\n\n") if block.startswith("onpanic ")]
    if not found:
        raise ValueError("README.md: no paragraph above the first heading begins with the word onpanic")
    return found
