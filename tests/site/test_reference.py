"""The reference pages of the site have everything that there is: options, codes, members and names."""

import json
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from onpanic.check.tags import TAGS
from onpanic.cli.commands import COMMANDS
from onpanic.cli.options import parser_of
from onpanic.core import errors
from onpanic.probe.decision.catalogue import CATALOGUE

ROOT = Path(__file__).parents[2]
Module = Callable[[str], ModuleType]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Module:
    """Imports a module of tools/."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return import_module


def test_the_page_of_codes_is_current(module: Module) -> None:
    """`make docs` writes it."""
    written = module("codes_page")
    assert written.PAGE.read_text("utf-8") == written.page()


def test_each_code_has_a_heading() -> None:
    """Below it are its reason, what to do about it, and its severity if a check finds it."""
    text = (ROOT / "docs/reference/codes.md").read_text("utf-8")
    title, *entries = text.split("\n### ")
    found = {entry.partition("\n")[0]: entry.partition("\n## ")[0].replace("`", "") for entry in entries}
    assert title.startswith("# Codes\n")
    assert len(found) == len(entries)
    assert set(found) == set(CATALOGUE)
    for code, entry in CATALOGUE.items():
        assert entry.reason[1:] in found[code]
        assert f": {entry.remedy}." in found[code]
        severity = re.findall(r"Severity as a finding: (\w+)\.", found[code])
        assert severity == ([TAGS[code].severity] if code in TAGS else [])


@pytest.fixture
def manuals(module: Module) -> dict[str, str]:
    """The pages of the site that are made from manual pages, by their names."""
    return {path.stem: text for path, text in module("docsite.command_pages").command_pages()}


def test_each_command_has_its_options(manuals: dict[str, str]) -> None:
    """Each option of each subcommand is one that can be linked to, with all of its names."""
    for name, (path, _) in COMMANDS.items():
        parser = parser_of(name, import_module(path))
        options = {", ".join(action.option_strings) for action in parser._actions} - {""}
        text = manuals[f"onpanic-{name.replace(' ', '-')}"]
        found = re.findall(r"^```\{option\} (-[\w-]+(?:, -[\w-]+)*)", text, re.MULTILINE)
        assert sorted(found) == sorted(options)
        assert f"```{{program}} onpanic {name}\n" in text


def test_nothing_of_roff_is_left(manuals: dict[str, str]) -> None:
    """Neither its macros nor its escapes are in a page, but for what examples show."""
    for name, text in manuals.items():
        prose = re.sub(r"^```(?:console|text|toml)\n.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
        assert re.findall(r"^\.[A-Z]{2}\b.*|\\[a-zA-Z(&].*", prose, re.MULTILINE) == [], name
        assert "\xa0" not in text, name


def test_references_are_links(manuals: dict[str, str]) -> None:
    """Each manual page of onpanic's that a page names is a link to it."""
    for name, text in manuals.items():
        named = re.findall(r"(?<!\[)\bonpanic[\w.-]*\([15]\)", text)
        assert named == [], name
        targets = re.findall(r"\[onpanic[\w.-]*\([15]\)\]\(([\w.-]+)\.md\)", text)
        assert set(targets) <= set(manuals), name
        assert targets or name == "index"


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (r"\fB\-\-lines\fR is a \fIVALUE\fR.", "`--lines` is a *VALUE*."),
        ("<on_panic coredump='yes'>restart</on_panic>", "`<on_panic coredump='yes'>restart</on_panic>`"),
        (r"a_b *c* \(ga #1", r"a_b \*c\* \` \#1"),
        (".nf\n.if\n$ ls\n.fi", "```text\n.if\n$ ls\n```"),
        (".nf\n$ ls \\-l\n.fi\n.RE\nMore.", "```console\n$ ls -l\n```\n\nMore."),
        (".IP \\(bu 2\nOne.\n.IP \\(bu 2\nTwo.\nAnd more.", "* One.\n* Two. And more."),
        (
            ".SH EXIT STATUS\n.TP\n\\fB1\\fR\nA | B.",
            "## Exit status\n\n| status | meaning |\n|---|---|\n| `1` | A \\| B. |",
        ),
    ],
)
def test_text_of_a_manual_page(source: str, shown: str, module: Module) -> None:
    """Code, values, XML, literal blocks, lists and tables are Markdown's."""
    markdown = module("docsite.man_markdown")
    assert markdown.markdown_of_man(source, markdown.ManLinks({}, {}, {}, {})) == f"{shown}\n"


@pytest.mark.parametrize("source", [".HP\nText", r"A \(em dash"])
def test_other_macros_are_errors(source: str, module: Module) -> None:
    """What is not known is not lost without a word."""
    markdown = module("docsite.man_markdown")
    with pytest.raises(ValueError, match="that this project's manual pages have"):
        markdown.markdown_of_man(source, markdown.ManLinks({}, {}, {}, {}))


def test_each_member_of_a_document_is_described(module: Module, manuals: dict[str, str]) -> None:
    """Each is once on the page about JSON documents or in a manual page, with its anchor; types are links."""
    anchor = module("docsite.man_markdown").slug
    schemas = module("schemas").SCHEMAS
    text = "".join([module("docsite.schema_pages").schema_contents(), *manuals.values()])
    for path in schemas.values():
        schema = json.loads(path.read_text("utf-8"))
        assert f"(site:../schemas/{path.name})" in text
        for name, kind in schema["$defs"].items():
            assert len(re.findall(rf"^##?#? {name}$", text, re.MULTILINE)) in (1, 2), name
            for member in kind["properties"]:
                assert text.count(f"{{#{anchor(name, member)}}}") == 1, f"{name}.{member}"


def test_each_document_is_listed(module: Module) -> None:
    """The page about JSON documents names each with its schema's file."""
    page = ROOT / "docs/reference/json.md"
    listed = dict(re.findall(r"^\| `(\w+)` \|.*\]\(([\w./-]+)\) \|$", page.read_text("utf-8"), re.MULTILINE))
    schemas = module("schemas").SCHEMAS
    assert {name: (page.parent / path).resolve() for name, path in listed.items()} == {
        kind.__name__: path for kind, path in schemas.items()
    }


def test_each_public_name_is_described_once(module: Module) -> None:
    """Each name of each public package is on one page; the errors are where they are defined."""
    pages = {path.stem: text for path, text in module("docsite.api_pages").api_pages()}
    listed = {name for package in pages for name in import_module(package).__all__}
    described: list[str] = []
    for text in pages.values():
        described += re.findall(r"^   :members: (.*)$", text, re.MULTILINE)[0].split(", ")
        described += re.findall(r"^\.\. py:data:: (\w+)\n   :module: \S+\n\n   \w", text, re.MULTILINE)
    assert len(described) == len(set(described))
    assert set(described) == listed
    assert set(errors.__all__) <= set(pages["onpanic.core.errors"].replace(",", " ").split())


def test_the_public_packages_are_those_that_the_page_names(module: Module) -> None:
    """The page about the packages has a section for each, and names two modules more."""
    text = (ROOT / "docs/reference/python-api.md").read_text("utf-8")
    sections = re.findall(r"^## (onpanic\.\w+)$", text, re.MULTILINE)
    further = [name for name in ("onpanic.core.errors", "onpanic.probe.testing") if f"`{name}`" in text]
    assert set(module("docsite.api_pages").PACKAGES) == {*sections, *further}


@pytest.mark.consumers
def test_options_and_names_can_be_linked_to(site: Path) -> None:
    """Each option has an anchor; names of other packages, and types of records, are links."""
    reference = site / "reference"
    for name, (path, _) in COMMANDS.items():
        manual = f"onpanic-{name.replace(' ', '-')}"
        page = (reference / f"commands/{manual}.html").read_text("utf-8")
        for action in parser_of(name, import_module(path))._actions:
            for option in action.option_strings:
                anchor = f"cmdoption-{manual}-{option.lstrip('-')}"
                assert f'id="{anchor}"' in page, anchor
    probe = (reference / "api/onpanic.probe.html").read_text("utf-8")
    assert 'href="onpanic.core.errors.html#onpanic.core.errors.UsageError"' in probe
    assert 'href="../commands/onpanic-record.html#emulator"' in probe
    check = (reference / "api/onpanic.check.html").read_text("utf-8")
    assert 'href="onpanic.probe.html#onpanic.probe.CapabilityRecord"' in check
    assert "&lt;factory&gt;" not in probe


def test_the_documentation_that_manual_pages_name_exists(manuals: dict[str, str]) -> None:
    """A name such as ``docs/how-to/running.md`` is a link to that page."""
    named = {name for text in manuals.values() for name in re.findall(r"\[\]\(/([\w/-]+\.md)\)", text)}
    assert named
    assert [name for name in named if not (ROOT / "docs" / name).is_file()] == []
