"""What holds the parts together: one namespace, dependencies one way, generated files current."""

import ast
import runpy
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import onpanic.check
import onpanic.matrix
import onpanic.probe
import onpanic.shims
import onpanic.watch
from onpanic.probe import CapabilityRecord

ROOT = Path(__file__).parent.parent
ROOTS = ("probe", "shims", "compat-matrix")
MODULES = [path for root in ROOTS for path in (ROOT / root / "onpanic").rglob("*.py")]
# Each part may import itself and what stands before it; the command line may import all
ORDER = ("probe", "check", "shims", "watch", "matrix", "cli")


def imports(path: Path) -> set[str]:
    """Return the modules that a file imports anywhere, by their absolute names."""
    package = path.relative_to(next(p for p in path.parents if p.name in ROOTS)).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            found.add(".".join([*base, *([node.module] if node.module else [])]))
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_dependencies_go_one_way(path: Path) -> None:
    """`matrix → shims → probe`, never back."""
    part = path.relative_to(next(p for p in path.parents if p.name == "onpanic")).parts[0]
    if part == "__main__.py":
        return
    used = {name.split(".")[1] for name in imports(path) if name.startswith("onpanic.")}
    assert used <= set(ORDER[: ORDER.index(part) + 1])


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("libvirt", {"libvirt_access.py", "plugin.py"}),
        ("libvirt_qemu", {"libvirt_access.py"}),
        ("rich", {"terminal.py"}),
        ("qemu.qmp", {"session.py", "qmp.py"}),
        ("prometheus_client", {"metrics.py"}),
    ],
)
def test_libraries_are_used_in_their_place_only(library: str, homes: set[str]) -> None:
    users = {
        path.name
        for path in MODULES
        if any(n == library or n.startswith(f"{library}.") for n in imports(path))
    }
    assert users == homes


def test_xml_is_the_business_of_the_shims() -> None:
    users = [path for path in MODULES if any(n == "lxml" or n.startswith("lxml.") for n in imports(path))]
    assert {path.relative_to(ROOT).parts[:3] for path in users} == {("shims", "onpanic", "shims")}


def test_probing_loads_no_library_that_it_does_not_need() -> None:
    script = "import sys, onpanic.probe.api, onpanic.cli.probe; print(*sys.modules)"
    loaded = set(subprocess.check_output([sys.executable, "-c", script], text=True).split())
    assert loaded.isdisjoint(
        {
            *("rich", "libvirt", "lxml", "jinja2"),
            *(
                "onpanic.check",
                "onpanic.probe.live",
                "onpanic.probe.testing",
                "onpanic.shims",
                "onpanic.watch",
            ),
        }
    )


def test_no_root_hides_the_others() -> None:
    """An `onpanic/__init__.py` in one root would hide the other two."""
    assert [root for root in ROOTS if (ROOT / root / "onpanic" / "__init__.py").exists()] == []
    assert [root for root in ROOTS if not list((ROOT / root / "onpanic").glob("*/py.typed"))] == []


def test_every_file_is_explained() -> None:
    """A stranger finds each module, and each test, in FILES.md."""
    text = (ROOT / "FILES.md").read_text()
    files = [*MODULES, *(ROOT / "tests").glob("**/test_*.py")]
    unnamed = {"__init__.py", "__main__.py"}
    folders = ("facts", "testing", "formats", "lint")
    assert [
        path.name
        for path in files
        if path.name not in text and path.name not in unnamed and path.parent.name not in folders
    ] == []


def test_it_imports_from_elsewhere(tmp_path: Path) -> None:
    """An editable install needs all three roots."""
    script = "import onpanic.probe, onpanic.check, onpanic.shims, onpanic.watch, onpanic.matrix"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)


def test_every_public_name_exists() -> None:
    for package in (onpanic.probe, onpanic.shims, onpanic.watch, onpanic.matrix):
        for name in package.__all__:
            assert getattr(package, name).__doc__
        assert set(dir(package)) == set(package.__all__)
        with pytest.raises(AttributeError):
            getattr(package, "nonsense")  # noqa: B009


def test_the_schema_that_ships_is_that_of_the_record() -> None:
    """`make schema` writes it."""
    current = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(CapabilityRecord)))
    assert CapabilityRecord.json_schema() == current


def test_the_table_of_policies_is_that_of_the_code() -> None:
    """`make docs` writes it."""
    page = runpy.run_path(str(ROOT / "tools" / "policies.py"))["page"]
    assert (ROOT / "docs" / "policies.md").read_text() == page()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_have_one_subject(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
