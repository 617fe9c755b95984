"""Linters are tests: what they find is a failure."""

import ast
import fcntl
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parent.parent
TESTS = sorted((ROOT / "tests").rglob("*.py"))

#: The project's modules.
PROJECT = {
    ".".join(path.relative_to(root).with_suffix("").parts)
    for root in (
        ROOT / "probe",
        ROOT / "shims",
        ROOT / "why",
        ROOT / "compat-matrix",
        ROOT / "fleet",
        ROOT / "cli",
    )
    for path in root.rglob("*.py")
}

#: Functions that replace something for a test; the name of what they replace comes first or second.
PATCHING = {"setattr", "delattr", "object", "patch", "multiple"}

#: Folders whose files have other authors.
RECORDED = ("compat-matrix/records/", "compat-matrix/libvirts/", "tests/recordings/")


def lint(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("words", ["check", "format --check"])
def test_ruff_finds_nothing(words: str) -> None:
    """Style, common mistakes and formatting."""
    lint("ruff", *words.split())


@pytest.mark.processes
def test_mypy_finds_nothing() -> None:
    """Types, strictly.  Two test runs take turns: they share mypy's cache."""
    cache = ROOT / ".mypy_cache"
    cache.mkdir(exist_ok=True)
    with (cache / "tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lint("mypy")


# What tests may patch


def patched(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield what a test module patches: line and name, with its module where that is the project's."""
    modules = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("onpanic")
        for alias in node.names
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
        if called not in PATCHING or (called in ("object", "multiple") and not owner.endswith("patch")):
            continue
        if not node.args:
            continue
        if isinstance(node.args[0], ast.Constant):
            yield node.lineno, str(node.args[0].value)
        elif len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
            target, name = modules.get(ast.unparse(node.args[0]), ""), str(node.args[1].value)
            yield node.lineno, f"{target}.{name}" if target in PROJECT else name


def test_tests_patch_nothing_private() -> None:
    """A test reaches the code through public parameters, so that the code may change inside."""
    sources = {path: path.read_text(encoding="utf-8") for path in TESTS}
    calls = re.compile(rf"\b(?:{'|'.join(sorted(PATCHING))})\s*\(")
    bad = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path, source in sources.items()
        if calls.search(source)  # the syntax tree of a file without such a call need not be built
        for line, name in patched(ast.parse(source))
        if name.rpartition(".")[2].startswith("_") or name.startswith("onpanic.")
    ]
    assert bad == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('monkeypatch.setattr("tempfile.tempdir", None)', "tempfile.tempdir"),
        ('monkeypatch.setattr(thing, "_fill", fill)', "_fill"),
        ("from onpanic.core import files\npatch(files, 'read')", "onpanic.core.files.read"),
        ('patch("onpanic.core.files.write")', "onpanic.core.files.write"),
        ('mock.patch.object(thing, "_name")', "_name"),
    ],
)
def test_patches_are_recognised(source: str, found: str) -> None:
    assert [name for _, name in patched(ast.parse(source))] == [found]


# What files may say


def tracked() -> list[str]:
    """Return the files that git has, or all files where there is no git."""
    try:
        done = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git, so it is not known which files belong to the project")
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def mirrors() -> set[str]:
    """Return the hosts that pip and apt of this machine are set up to fetch from, Debian's own aside."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    text = done.stdout
    for path in [Path("/etc/apt/sources.list"), *Path("/etc/apt").glob("sources.list.d/*")]:
        if path.is_file():
            text += path.read_text(encoding="utf-8", errors="replace")
    hosts = {urlsplit(url).hostname or "" for url in re.findall(r"https?://[^\s'\"]+", text)}
    return {host for host in hosts if host and not host.endswith((".debian.org", "pypi.org"))}


def test_no_file_names_a_place_of_this_machine() -> None:
    """The project is the same everywhere: no path of a checkout, no package mirror's host."""
    words = [*mirrors(), *([str(ROOT)] if len(ROOT.parts) > 2 else [])]
    patterns = [
        *(rf"{re.escape(word)}(?![\w-])" for word in sorted(words)),
        r"/(?:wor[k]|tmp/bas[h]_)[\w/.]*/",
    ]
    places = re.compile(rf"(?<![\w.-])(?:{'|'.join(patterns)})")
    bad = []
    for name in tracked():
        if not name.startswith(RECORDED):
            text = (ROOT / name).read_bytes().decode(errors="replace")
            bad += [f"{name}: {found[0]}" for found in places.finditer(text)]
    assert bad == []
