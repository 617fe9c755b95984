"""Bad emulators and bad input: a clear error or unknown facts, and nothing is left behind."""

import asyncio
import gc
import logging
import os
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import pytest

from onpanic.probe import CapabilityRecord, EmulatorError, aprobe
from onpanic.probe.testing import QEMU_7_2, Fault

pytestmark = pytest.mark.processes

Found = dict[int, str]
WORDS = "these are my last words"
KINDS = (
    *("exit", "abort", "hang", "hang-up", "junk", "endless-junk", "babble", "long-line"),
    *("flood", "wrong-shape", "nesting", "silence", "stray"),
)
PLACES = ("start", "query-status", "qom-list-types", "o", "cont")
TABLE = list(product(KINDS, PLACES))


@dataclass
class Played:
    """What came of every fault at every place."""

    ends: dict[tuple[str, str], CapabilityRecord | EmulatorError] = field(default_factory=dict)
    survivors: dict[tuple[str, str], Found] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


class Complaints(logging.Handler):
    """Collects what asyncio logs about exceptions that were never retrieved."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.ERROR)
        self.messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


async def play(played: Played, survivors: Callable[[str], Found]) -> None:
    busy = asyncio.Semaphore(4)
    patient = ("hang", "silence")  # these wait for the deadline, all at once

    async def one(kind: str, place: str) -> None:
        mark = f"mark-{uuid.uuid4().hex}"
        emulator = QEMU_7_2.but(package=mark).failing(Fault(kind, place, WORDS))
        try:
            played.ends[kind, place] = await aprobe(emulator.command(), timeout=10 if kind in patient else 30)
        except EmulatorError as error:
            played.ends[kind, place] = error
        played.survivors[kind, place] = await asyncio.to_thread(survivors, mark)

    async def quick(kind: str, place: str) -> None:
        async with busy:
            await one(kind, place)

    await asyncio.gather(*((one if kind in patient else quick)(kind, place) for kind, place in TABLE))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, survivors: Callable[[str], Found]) -> Played:
    result = Played()
    folder = tmp_path_factory.mktemp("temporary")
    handler = Complaints(result.complaints)
    logging.getLogger("asyncio").addHandler(handler)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", None)
        asyncio.run(play(result, survivors))
    gc.collect()
    logging.getLogger("asyncio").removeHandler(handler)
    result.files = list(folder.iterdir())
    return result


@pytest.mark.parametrize(("kind", "place"), TABLE)
def test_a_fault_is_named_and_no_fact_is_wrong(
    kind: str,
    place: str,
    played: Played,
    wrong: Callable[[CapabilityRecord], list[str]],
    answers: Callable[[CapabilityRecord], dict[str, str]],
) -> None:
    end = played.ends[kind, place]
    if isinstance(end, EmulatorError):
        assert WORDS in end.message
        return
    assert wrong(end) == []
    if end.problems or "unknown" in answers(end).values():
        assert any(WORDS in problem for problem in end.problems)


@pytest.mark.parametrize(("kind", "place"), TABLE)
def test_no_process_survives_a_fault(kind: str, place: str, played: Played) -> None:
    assert played.survivors[kind, place] == {}


def test_no_file_and_no_forgotten_exception_remain(played: Played) -> None:
    assert played.files == []
    assert played.complaints == []


def test_a_fault_is_not_taken_for_another(played: Played) -> None:
    """What it did is said, not what it did once it was hung up on."""
    said = {key: str(end) for key, end in played.ends.items() if isinstance(end, EmulatorError)}
    assert "more than 1048576 bytes" in said["long-line", "start"]
    for kind in ("junk", "endless-junk", "babble", "nesting"):
        assert " ended before " not in said.get((kind, "start"), "")


PROGRAMS = {
    "./missing": "no such file or command",
    "./folder": "is a folder",
    "folder": "no such file or command",  # a name without a slash is looked up in the PATH only
    "./plain": "is not executable",
    "./text": "Exec format error",
    "./orphan": "interpreter or loader does not exist",
    "/bin/true": "ended before its QMP greeting (status 0)",
    "./cat": "not QMP where its QMP greeting was expected",
    "": "empty",
    "./plain/file": "Not a directory",
}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the programs, and change into their folder."""
    folder = tmp_path / "programs"
    (folder / "folder").mkdir(parents=True)
    (folder / "plain").touch()
    for name, content in {
        "text": "hello\n",
        "orphan": "#!/nowhere/python\n",
        "cat": "#!/bin/sh\nexec cat\n",
        "evil\033[31m\nname": "#!/bin/sh\necho 'I am \033[31mred' >&2\nexit 1\n",
    }.items():
        (folder / name).write_text(content)
        (folder / name).chmod(0o755)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_no_emulator_is_told_in_a_line(
    program: str,
    programs: Path,
    complaint: Callable[..., str],
    mark: str,
    temporary: Path,
    survivors: Callable[[str], Found],
) -> None:
    said = complaint("--timeout", "1", program)
    assert PROGRAMS[program] in said
    assert survivors(mark) == {}
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("name", ["./evil\033[31m\nname", "./missing\033[31m\nname"])
def test_a_name_is_printed_as_plain_text(name: str, programs: Path, complaint: Callable[..., str]) -> None:
    assert "\033" not in complaint(name)


def test_a_name_that_is_no_text_is_a_name_still(programs: Path, complaint: Callable[..., str]) -> None:
    name = os.fsdecode(b"./ev\xffil")
    Path(name).write_text("#!/bin/sh\nexit 1\n")
    Path(name).chmod(0o755)
    assert "status 1" in complaint(name)


def test_an_emulator_whose_name_is_no_text_has_a_record(
    programs: Path, onpanic: Callable[..., object]
) -> None:
    import shlex
    import subprocess

    name = os.fsdecode(b"./qemu-\xff")
    Path(name).write_text(f'#!/bin/sh\nexec {shlex.join(QEMU_7_2.command())} "$@"\n')
    Path(name).chmod(0o755)
    for form in ("json", "text"):
        done = onpanic("probe", "--format", form, name)
        assert isinstance(done, subprocess.CompletedProcess)
        assert (done.returncode, done.stderr) == (0, "")
