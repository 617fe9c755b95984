"""The manual pages and the completion of shells: what is checked in is what would be written now."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from onpanic.cli import main
from onpanic.cli.commands import COMMANDS
from onpanic.fleet import HostRecord
from onpanic.probe import CapabilityRecord
from onpanic.probe.facts import QUESTIONS
from onpanic.watch import Settings

ROOT = Path(__file__).parents[2]
SHARE = ROOT / "cli/share"
PAGES = sorted(SHARE.glob("man/man?/*"))
SOURCES = [
    path
    for root in ("probe", "shims", "why", "compat-matrix", "fleet", "cli")
    for path in (ROOT / root / "onpanic").rglob("*.py")
]
Unavailable = Callable[[str], NoReturn]


@pytest.mark.processes
def test_they_are_current(tmp_path: Path) -> None:
    """`make man` writes them; the day, the time zone and the language of the environment change nothing."""
    subprocess.run(
        [sys.executable, ROOT / "tools/manpages.py", tmp_path],
        env={**os.environ, "TZ": "Pacific/Kiritimati", "LC_ALL": "C", "COLUMNS": "40"},
        check=True,
        timeout=50,
    )
    assert contents(tmp_path) == contents(SHARE)


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text(encoding="ascii") for path in files}


def test_every_command_has_a_page() -> None:
    expected = {"onpanic.1", "onpanic-qemu.1", "onpanic-record.5", "onpanic-host-record.5"}
    expected |= {"onpanic-watch.toml.5"}
    expected |= {f"onpanic-{name.replace(' ', '-')}.1" for name in COMMANDS}
    assert {page.name for page in PAGES} == expected


@pytest.mark.consumers
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mandoc_finds_nothing(page: Path, unavailable: Unavailable) -> None:
    """No page has a warning of mandoc's."""
    shutil.which("mandoc") or unavailable("no mandoc here")
    done = mandoc("-T", "lint", "-W", "warning", str(page))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def mandoc(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["mandoc", *words], capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.consumers
@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_says_what_help_says(
    name: str,
    unavailable: Unavailable,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each word of what ``--help`` prints after the usage is in the page, in any order."""
    shutil.which("mandoc") or unavailable("no mandoc here")
    monkeypatch.setenv("COLUMNS", "900")  # no word is parted
    assert main([*name.split(), "--help"]) == 0
    said = capsys.readouterr().out.partition("\n\n")[2]
    page = SHARE / f"man/man1/onpanic-{name.replace(' ', '-')}.1"
    shown = mandoc("-T", "utf8", "-O", "width=900", str(page)).stdout
    plain = re.sub(r".\x08", "", shown)
    assert words(said) - words(plain) <= {"positional", "exit", "status"}  # titles


def words(text: str) -> set[str]:
    """Return the words of a text in lower case; a list of choices counts as its choices."""
    return set(re.findall(r"[a-z0-9_$<>/-]+", text.lower()))


def test_sections() -> None:
    """Each page of a command has the sections in the order of man-pages(7), and its exit status once.

    Between the options and the exit status it may have sections of its own.
    """
    order = (
        *("NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "ARGUMENTS", "OPTIONS", "EXIT STATUS"),
        *("ENVIRONMENT", "FILES", "EXAMPLES", "SEE ALSO"),
    )
    for page in (page for page in PAGES if page.suffix == ".1"):
        text = page.read_text(encoding="ascii")
        found = re.findall(r"^\.SH (.*)$", text, re.MULTILINE)
        own = set(
            found[found.index("OPTIONS") + 1 : found.index("EXIT STATUS")] if "OPTIONS" in found else ()
        )
        assert [title for title in found if title not in own] == [t for t in order if t in found], page.name
        assert own.isdisjoint(order), page.name
        assert {"NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "SEE ALSO"} <= set(found), page.name
        assert "xit status" not in text.partition(".SH DESCRIPTION")[2].partition(".SH")[0], page.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_markup_is_left(page: Path) -> None:
    """Neither Markdown's nor that of docstrings, where they are not shown as they are."""
    text = re.sub(r"^\.nf$.*?^\.fi$", "", page.read_text(encoding="ascii"), flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r".*(?:\\\(ga|\]\(|\*\*|^\||^#|:param).*", text, re.MULTILINE) == []


def test_references_lead_somewhere() -> None:
    """Each page of onpanic's that a page refers to exists."""
    known = {page.name for page in PAGES}
    for page in PAGES:
        text = page.read_text(encoding="ascii").replace(r"\-", "-")
        found = re.findall(r"(onpanic[\w.-]*?)(?:\\fR)? ?\((\d)\)", text)
        assert {f"{name}.{section}" for name, section in found} <= known, page.name


def test_the_records() -> None:
    """Their pages have every member and every fact."""
    text = (SHARE / "man/man5/onpanic-record.5").read_text(encoding="ascii").replace(r"\-", "-")
    both = text + (SHARE / "man/man5/onpanic-host-record.5").read_text(encoding="ascii")
    for kind in CapabilityRecord.json_schema()["$defs"].values():
        assert [name for name in kind["properties"] if rf"\fB{name}\fR (" not in text] == []
    for kind in HostRecord.json_schema()["$defs"].values():
        assert [name for name in kind["properties"] if rf"\fB{name}\fR (" not in both] == []
    assert [one.name for one in QUESTIONS if rf"\fB{one.name}\fR (" not in text] == []


def test_the_settings() -> None:
    """Their page has every setting."""
    text = (SHARE / "man/man5/onpanic-watch.toml.5").read_text(encoding="ascii").replace(r"\-", "-")
    names = [name.replace("_", "-") for name in Settings.__struct_fields__]
    assert [name for name in names if rf"\fB{name}\fR (" not in text] == []


def test_the_environment() -> None:
    """Every variable that is read by its name is in a page."""
    text = "".join(page.read_text(encoding="ascii") for page in PAGES)
    read = {
        name
        for source in SOURCES
        for name in re.findall(r"environ(?:\.get\(|\[)\"(\w+)\"", source.read_text(encoding="utf-8"))
    }
    assert len(read) > 5
    assert [name for name in sorted(read) if rf"\fB{name}\fR" not in text] == []
