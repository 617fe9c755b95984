"""`onpanic why` of dumps."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import jsonschema
import msgspec
import pytest

from onpanic.core.errors import SourceError
from onpanic.probe.testing import QEMU_7_2, PlayedEmulator
from onpanic.why import LastWords, words_at_monitor

from ..cli.conftest import Done, command  # noqa: F401  a fixture
from ..running.guest import Guest
from ..schemas import undescribed

SCHEMA = Path(__file__).parent.parent.parent / "why/onpanic/why/words/last_words.schema.json"
Command = Callable[..., Done]
#: The beginning of an executable file.
PROGRAM = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + b"\x03\0\x3e\0".ljust(48, b"\0")


def test_one_screen_tells_why(command: Command, dump: Callable[[str], Path]) -> None:  # noqa: F811
    done = command("why", dump("linux-6.1-sysrq"), "--lines", "3")
    assert (done.status, done.err) == (0, "")
    first, kind, *rest = done.out.splitlines()
    assert first.startswith("Linux 6.1.0-")
    assert first.endswith("(x86_64) panicked: sysrq triggered crash")
    assert kind.split() == ["kind", "sysrq"]
    assert rest[-4].startswith("the last 3 of ")
    assert rest[-1].endswith("</TASK>")


def test_json_follows_its_schema(command: Command, dump: Callable[[str], Path]) -> None:  # noqa: F811
    done = command("why", dump("linux-6.1-sysrq"), "--all", "--format", "json")
    document = json.loads(done.out)
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    assert len(document["lines"]) > 300
    assert command("why", dump("linux-6.1-sysrq"), "--lines", "0", "--format", "json").out.count("[") == 3


def test_the_schema_that_ships_is_current() -> None:
    """`make schema` writes it."""
    current = json.loads(msgspec.json.encode(msgspec.json.schema(LastWords)))
    assert undescribed(json.loads(SCHEMA.read_text())) == undescribed(current)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a dump"),
        (b"text\n", "not a dump"),
        (b"\x7fELF\x02\x01", "headers are incomplete"),
        (PROGRAM, "not a core file"),
    ],
)
def test_what_is_no_dump_is_named(content: bytes, said: str, command: Command, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "guest.elf"
    path.write_bytes(content)
    done = command("why", path)
    assert (done.status, done.out) == (2, "")
    assert str(path) in done.err
    assert said in done.err


def test_a_pipe_is_not_waited_for(command: Command, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for no_file in (path, tmp_path, Path("/dev/zero")):
        done = command("why", no_file)
        assert (done.status, done.out) == (2, "")
        assert f"{no_file}: is a folder, a pipe or a device" in done.err


@pytest.mark.parametrize(
    "words",
    [(), ("a", "--qmp", "b"), ("a", "--domain", "b"), ("--lines", "x", "a"), ("--lines=1", "--all", "a")],
)
def test_wrong_usage(words: tuple[str, ...], command: Command) -> None:  # noqa: F811
    assert command("why", *words).status == 2
    assert command("why", "/nonexistent").err.startswith("onpanic: /nonexistent: No such file")


@pytest.mark.emulators
def test_a_machine_that_is_not_made_yet(guest: Callable[..., Guest], command: Command) -> None:  # noqa: F811
    """QEMU refuses most commands until then."""
    address = str(guest("-preconfig").path)
    for words in (("why",), ("why", "--check")):
        done = command(*words, "--qmp", address)
        assert (done.status, done.out) == (2, "")
        assert "permitted only after machine initialization" in done.err


async def test_a_monitor_is_named_by_its_address(played: Callable[[PlayedEmulator], str]) -> None:
    """What cannot be read is no exception; that nothing listens is one."""
    words = await words_at_monitor(played(QEMU_7_2))
    assert (words.source, words.panicked) == ("monitor", False)
    assert words.notes
    with pytest.raises(SourceError, match="No such file"):
        await words_at_monitor("/nonexistent")
