"""The frame of the command: finding subcommands, reading arguments, and ending."""

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from onpanic.cli.codes import CODES
from onpanic.cli.commands import COMMANDS
from onpanic.core.version import __version__

from .conftest import Done

ROOT = Path(__file__).parent.parent.parent
Command = Callable[..., Done]


def test_the_version(command: Command) -> None:
    assert command("--version") == (0, f"onpanic {__version__}\n", "")


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]])
def test_the_overview_lists_every_command(words: list[str], command: Command) -> None:
    done = command(*words)
    assert (done.status, done.err) == (0, "")
    assert [name for name in COMMANDS if f"\n  {name} " not in done.out] == []
    assert "exit status:" in done.out


@pytest.mark.parametrize("words", [["fleet"], ["fleet", "--help"], ["matrix"]])
def test_a_group_lists_its_commands(words: list[str], command: Command) -> None:
    done = command(*words)
    assert (done.status, done.err) == (0, "")
    listed = [name for name in COMMANDS if f"\n  {name} " in done.out]
    assert listed == [name for name in COMMANDS if name.startswith(f"{words[0]} ")]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_help(name: str, command: Command) -> None:
    done = command(*name.split(), "--help")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"usage: onpanic {name} ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonsense"], "there is no command 'nonsense'"),
        (["matrix collect"], "there is no command 'matrix collect'"),
        (["matrix", "nonsense"], "matrix has no command 'nonsense'"),
        (["--nonsense"], "there is no option '--nonsense'"),
        ([""], "there is no command ''"),
        (["probe\n"], "there is no command"),
        (["\udcff"], "there is no command"),
        (["probe", "--jobs", "-1"], "a number up to"),
        (["probe", "--jobs", "9" * 5000], "a number up to"),
        (["probe", "--jobs", "1.5"], "a number up to"),
        (["probe", "--jobs", "٣"], "a number up to"),
        (["probe", "--timeout", "9" * 5000], "less than a day"),
        (["probe", "--timeout", "nan"], "more than 0 seconds"),
        (["probe", "--timeout=--"], "-- is not a value"),
        (["probe", "--recording", "a\0b"], "NUL"),
        (["accept", "pause", "--record", "a\0b"], "NUL"),
        (["probe", "--domain", "\udcff"], "not UTF-8"),
        (["status", "--connect", "\udcff", "--domain", "x"], "not UTF-8"),
        (["status", "--nonsense"], "unrecognized arguments"),
        (["status"], "which guest?"),
        (["status", "--qmp", "a", "--domain", "b"], "which guest?"),
        (["resume", "--qmp", "a", "--connect", "b"], "--connect goes with --domain"),
        (["resume", "--qmp", "localhost:99999"], "is not a port"),
        (["explain", "--"], "nothing follows --"),
        (["explain", "--", "qemu"], "takes no command after --"),
        (["accept", "pause", "qemu", "--record", "r"], "more than one source"),
        (["accept", "pause", "qemu", "--connect", ""], "more than one source"),
        (["accept", "pause", "--record", ""], "No such file"),
        (["to-libvirt", "--record", "r", "--emulator", "e", "x"], "more than one source"),
        (["to-libvirt", "--libvirt-version", "9" * 5000, "x"], "onpanic: hint: "),
        (["watch", "--connect", "\udcff"], "not UTF-8"),
        (["watch", "--on-panic", "pause"], "--qmp"),
        (["watch", "--qmp", "x"], "--on-panic"),
        (["matrix", "collect", "-o", "x"], "nothing to collect"),
        (["matrix", "show", "--arch", "nonsense"], "--arch"),
    ],
    ids=lambda value: (
        " ".join(value)[:40].encode("ascii", "replace").decode() if isinstance(value, list) else ""
    ),
)
def test_arguments_that_make_no_sense(words: list[str], said: str, command: Command) -> None:
    """A line says so, or argparse's usage and a line; the status is 2."""
    done = command(*words)
    assert (done.status, done.out) == (2, "")
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_uri_that_is_invalid(command: Command, tmp_path: Path, libvirt: object) -> None:
    (tmp_path / "guest.xml").write_text("<domain type='qemu'/>")
    done = command("to-libvirt", "--connect", "qemu+ssh://[::1/system", tmp_path / "guest.xml")
    assert done.status == 2
    assert "not a libvirt URI" in done.err


# Internal errors


BROKEN = '''"""A command with a bug."""


def configure(parser):
    parser.add_argument("kind")


def run(arguments):
    print("so far")
    raise {
        "value": ValueError("not what\\nI expected"),
        "base": BaseException(),
        "many": ExceptionGroup("two", [OSError(), ValueError()]),
        "memory": MemoryError(),
        "deep": RecursionError("deep"),
    }[arguments.kind]
'''


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a command that has a bug."""
    (tmp_path / "onpanic_broken_command.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(COMMANDS, "broken", ("onpanic_broken_command", "is broken"))
    monkeypatch.delenv("ONPANIC_TRACEBACK", raising=False)


@pytest.mark.parametrize("kind", ["value", "base", "many", "memory", "deep"])
@pytest.mark.usefixtures("broken")
def test_an_internal_error_has_a_status_of_its_own(kind: str, command: Command) -> None:
    """Two lines: what happened, and how to report it."""
    done = command("broken", kind)
    assert (done.status, done.out) == (70, "so far\n")
    what, hint = done.err.splitlines()
    assert what.startswith("onpanic: internal error: ")
    assert "ONPANIC_TRACEBACK=1" in hint


@pytest.mark.usefixtures("broken")
def test_the_traceback_of_an_internal_error(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONPANIC_TRACEBACK", "1")
    done = command("broken", "value")
    assert done.status == 70
    assert done.err.startswith("Traceback (most recent call last):")
    assert "onpanic_broken_command.py" in done.err


# What is loaded

NAMED = "import sys; from onpanic.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"


def loaded(*words: str) -> set[str]:
    """Return the modules that a command has loaded in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path += {sys.path!r}; {NAMED}", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["explain"], ["explain", "no-way-back"]])
def test_what_prints_a_text_loads_next_to_nothing(words: list[str]) -> None:
    heavy = {"argparse", "asyncio", "json", "msgspec", "re", "signal", "typing"}
    assert loaded(*words) & heavy == set()


def test_a_decision_from_a_record_loads_no_way_to_ask(current: Callable[[str], Path]) -> None:
    heavy = {
        "asyncio",
        "qemu.qmp",
        "lxml",
        "libvirt",
        "rich",
        "pathlib",
        "onpanic.probe.api",
        "onpanic.check",
    }
    words = ("accept", "pause", "--record", str(current("7.2")))
    assert loaded(*words, "--format", "json") & heavy == set()
    assert loaded(*words) & (heavy | {"argparse", "json", "msgspec", "re", "typing"}) == set()


def test_the_codes_are_those_of_the_catalogue() -> None:
    """`make docs` writes the table."""
    source = runpy.run_path(str(ROOT / "tools" / "codes.py"))["source"]
    assert (ROOT / "cli/onpanic/cli/codes.py").read_text(encoding="utf-8") == source()
    assert CODES
