"""The documentation is true: its commands are run, and print what it shows; its links lead somewhere."""

import ast
import json
import re
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

import onpanic.fleet
from onpanic.probe.facts import QUESTIONS
from onpanic.probe.facts.xen_questions import ON_CRASH_FACTS, XEN_QUESTIONS

ROOT = Path(__file__).parent.parent
EXAMPLES: dict[str, Any] = runpy.run_path(str(ROOT / "tools" / "examples.py"))
BLOCKS = list(EXAMPLES["blocks"]())
#: Each session once: some are on two pages.
SESSIONS = list({session.text: session for session in EXAMPLES["sessions"]()}.values())
PROGRAMS = [block for block in BLOCKS if block.language == "python"]
#: Languages whose blocks are not run here: they show files and formats; tests/shell_blocks has those of sh.
SHOWN = {"", "ini", "json", "sh", "text", "toml", "xml", "yaml"}


def identity(block: Any) -> str:
    return f"{block.page}: {block.text.splitlines()[0]}"


@pytest.mark.emulators
@pytest.mark.parametrize("session", SESSIONS, ids=identity)
def test_commands_print_what_is_shown(
    session: Any, tmp_path: Path, unavailable: Callable[[str], NoReturn]
) -> None:
    """Each command of a page prints what the page shows, but for numbers and widths."""
    shape = EXAMPLES["shape"]
    shown = EXAMPLES["steps"](session.text)
    printed = EXAMPLES["run"](session.text, tmp_path)
    as_shown, as_printed = ([(c, shape(o)) for c, o in steps] for steps in (shown, printed))
    if as_printed != as_shown and (others := releases(printed) - releases(shown)):
        unavailable(f"the page shows another QEMU than {', '.join(sorted(others))}")
    assert as_printed == as_shown


def releases(steps: Sequence[tuple[str, str]]) -> set[str]:
    """Return the releases of QEMU that outputs name: others may say something else."""
    return {found for _, output in steps for found in re.findall(r"\bQEMU \d+\.\d+", output)}


@pytest.mark.emulators
@pytest.mark.parametrize("program", PROGRAMS, ids=identity)
def test_programs_run(program: Any, tmp_path: Path) -> None:
    """Each Python example runs as it stands."""
    if "import libvirt" in program.text:
        pytest.importorskip("libvirt")
    EXAMPLES["run_python"](program.text, tmp_path)


def test_every_example_is_run() -> None:
    """Only blocks that show files, or what needs another machine, are left out."""
    assert {block.language for block in BLOCKS} - {"console", "python"} <= SHOWN
    assert len(SESSIONS) >= 2
    assert PROGRAMS


def test_outputs_are_brought_up_to_date() -> None:
    """An output that differs in more than numbers is replaced; others stay as they are."""
    session = "$ one\n1 thing\n$ two \\\n> more\nold\n"
    printed = [("$ one\n", "22 thing\n"), ("$ two \\\n> more\n", "new\n")]
    assert EXAMPLES["updated"](session, printed) == "$ one\n1 thing\n$ two \\\n> more\nnew\n"


def test_outputs_are_the_same_on_every_kvm() -> None:
    """Only what it makes of Hyper-V's notifier may differ; another reason, or another notifier, may not."""
    shape = EXAMPLES["shape"]
    line = "  yes      notifier pvpanic                       works\n"
    words = ("works", "panic-not-reported: no event", "probe-inconclusive: TCG ignores hv-crash")
    assert {shape(line + f"  no  notifier hyperv  {word}\n") for word in words} == {shape(line)}
    assert shape("  unknown  notifier hyperv  probe-inconclusive: it was not started with\n")


def test_outputs_are_the_same_on_a_busy_host() -> None:
    """Another try of an ended QEMU's monitor may be in a log; what else the watcher waits for may not."""
    shape = EXAMPLES["shape"]
    tried = '2026-11-27T18:54:52Z info    waiting domain=guest detail="monitor: Connection refused"\n'
    assert shape(f"one\n{tried}two\n") == "one two"
    assert "waiting" in shape(tried.replace("Connection refused", "two clients"))


LINKED = [ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")]


@pytest.mark.parametrize("page", [*EXAMPLES["pages"](), *LINKED], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file, and to a heading of a page, has its target."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path), target


def anchors(page: Path) -> set[str]:
    """Return the names of a page's headings, as GitHub and GitLab make them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_architecture_names_what_exists() -> None:
    """Each function, class or field that is said to be in a file is defined there."""
    page = ROOT / "docs/explanation/architecture.md"
    found = re.findall(r"`([\w.]+)` in \[[^]]*\]\(([^)\s]+\.py)\)", page.read_text(encoding="utf-8"))
    assert len(found) > 30
    for name, target in found:
        assert set(name.split(".")) <= defined(page.parent / target), (name, target)


def test_the_page_of_facts_explains_each_fact() -> None:
    """Each has its question, what is done, what is seen, and the pitfalls; those of Xen share theirs."""
    text = (ROOT / "docs/explanation/facts.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### `([^`]+)`\n\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE))
    asked = {question.name: question.asks for question in QUESTIONS}
    asked |= {question.name: question.asks for question in XEN_QUESTIONS}
    for name in ON_CRASH_FACTS.values():
        del asked[name]
    assert set(sections) == {*asked, "on-crash-…"}
    for name, section in sections.items():
        question, *labels = re.split(r"\n\n?\* \*\*(\w+)\*\*: ", section.strip())
        assert labels[::2] == ["Done", "Seen", "Pitfalls"], name
        assert question == asked.get(name, question)
    assert all(f"`{word}`" in sections["on-crash-…"] for word in ON_CRASH_FACTS)


def test_the_history_tells_what_the_records_say() -> None:
    """Its table of x86_64 builds is that of their default machine types."""
    text = (ROOT / "docs/explanation/history.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (.*?) \| (.*?) \| (.*?) ?\|$", text, re.MULTILINE)
    rows = {name: (builtin, cont) for name, builtin, cont in cells}
    told: dict[str, set[tuple[str, ...]]] = {}
    for path in (ROOT / "compat-matrix/records").glob("qemu-system-x86_64-*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        (facts,) = (machine["facts"] for machine in record["machines"] if machine["default"])
        names = ("pvpanic-attachable", "builtin-pvpanic", "cont-after-panic")
        row = _row_of_history(path.name, record["emulator"]["version"])
        told.setdefault(row, set()).add(tuple(facts[name]["answer"] for name in names))
    assert told == {row: {_told(*stated)} for row, stated in rows.items() if row in told}
    assert len(told) == len(rows) - 1  # without the head


def _row_of_history(file: str, version: str) -> str:
    """Return the first cell of the row that a record belongs to."""
    numbers = tuple(int(number) for number in version.split(".")[:2])
    if "microvm" in file:
        return "Debian's microvm build of QEMU 5.2 and later"
    if numbers == (0, 12):
        return "RHEL 6's 0.12.1"
    if numbers < (1, 5):
        return "QEMU 1.4 and older"
    return f"QEMU {version[:3]}" if numbers < (1, 7) else "QEMU 1.7 and later"


def _told(builtin: str, cont: str) -> tuple[str, str, str]:
    """Return the facts that a row states: attachable, builtin, continued."""
    return ("yes", builtin.partition(",")[0], cont) if cont else ("no", "no", "unknown")


def test_the_threat_model_names_tests_that_exist() -> None:
    """Each row has at least one, in the file that it is said to be in."""
    page = ROOT / "docs/explanation/security.md"
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row.startswith("| what could happen")]
    assert len(rows) > 30
    for row in rows:
        found = re.findall(r"((?:`test_\w+`[, and]*)+) in \[[^]]*\]\(([^)\s]+\.py)\)", row)
        assert found, row
        for names, target in found:
            assert set(re.findall(r"test_\w+", names)) <= defined(page.parent / target), row


def defined(path: Path) -> set[str]:
    """Return the names of the functions and classes that a module defines, and of what it assigns to."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    assigned = {
        node.target.id
        for node in nodes
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    return assigned | {node.name for node in nodes if isinstance(node, kinds)}


def test_the_index_lists_every_page() -> None:
    """A page that nothing leads to is not found."""
    text = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\* \[[^]]*\]\(([\w/-]+\.md)\)", text, re.MULTILINE)
    found = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")} - {"index.md"}
    assert len(listed) == len(set(listed))
    assert set(listed) == found


def test_the_table_of_commands_has_each_target() -> None:
    """CONTRIBUTING.md says of each target of the Makefile what it does."""
    (targets,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    rows = re.findall(r"^\| `.*$", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(targets.split()) <= set(re.findall(r"`make (\w+)", "\n".join(rows)))


def test_the_python_page_names_what_fleet_exports() -> None:
    page = (ROOT / "docs/reference/python-api.md").read_text(encoding="utf-8")
    section = page.partition("## onpanic.fleet\n")[2].partition("\n## ")[0]
    assert set(onpanic.fleet.__all__) <= set(re.findall(r"\w+", section))


def test_no_example_shows_a_fault_of_this_machine() -> None:
    """An update of the outputs must not take a broken checkout for what commands print."""
    for block in SESSIONS:
        for sign in ("Traceback", "No module named", sys.executable, str(ROOT) + "/"):
            assert sign not in block.text, identity(block)
