"""What holds the parts together: dependencies one way, unique names, generated files that are current."""

import ast
import re
import runpy
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

import onpanic.check
import onpanic.matrix
import onpanic.probe
import onpanic.shims
import onpanic.watch
from onpanic.core.errors import MissingExtraError
from onpanic.probe import CapabilityRecord

from .schemas import undescribed

ROOT = Path(__file__).parent.parent
#: The top-level folders: each may import itself and those before it.
ROOTS = ("probe", "shims", "why", "compat-matrix", "fleet", "cli")
MODULES = [path for root in ROOTS for path in (ROOT / root / "onpanic").rglob("*.py")]
#: Packages: each may import itself and those before it.
PACKAGES = ("core", "qmp", "probe", "check", "shims", "why", "watch", "run", "matrix", "fleet", "cli")
#: Sub-packages of `onpanic.probe`, in the order in which data goes through them.
STAGES = ("emulator", "conversation", "observations", "facts", "decision", "record", "asking")


def module_name(path: Path) -> str:
    """Return a file's module, e.g. ``onpanic.probe.api``; a package is named by itself."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[parts.index("onpanic") :]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Return the nodes of a file's syntax tree, the module first."""
    return tuple(ast.walk(ast.parse(path.read_text())))


@cache
def imports(path: Path) -> frozenset[str]:
    """Return the modules that a file imports anywhere; a name that is taken from a package counts as one."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.add(str(node.module))
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def identity(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_dependencies_go_one_way() -> None:
    """``cli → fleet → matrix → run → watch → why → shims → check → probe → qmp → core``, never back."""
    bad = {}
    for path in MODULES:
        name = module_name(path).split(".")
        if name[-1] == "__main__" and len(name) == 2:
            continue
        used = {module.split(".")[1] for module in imports(path) if module.startswith("onpanic.")}
        bad[identity(path)] = used - set(PACKAGES[: PACKAGES.index(name[1]) + 1])
    assert len(bad) > 100
    assert {name: used for name, used in bad.items() if used} == {}


def test_stages_of_the_probe_go_one_way() -> None:
    """Data goes from the emulator to the decision; what is read never asks, and facts are read last."""
    bad = {}
    for path in MODULES:
        module = module_name(path).split(".")
        if module[:2] != ["onpanic", "probe"] or len(module) == 2 or (stage := module[2]) not in STAGES:
            continue
        used = {parts[2] for m in imports(path) if (parts := m.split("."))[:2] == module[:2] and parts[2:]}
        allowed = set(STAGES[: STAGES.index(stage) + 1])
        if stage == "asking":  # decides what to ask next from observations
            allowed -= {"facts", "decision", "record"}
        bad[identity(path)] = used & {*STAGES, "api", "live"} - allowed
    assert len(bad) > len(STAGES)
    assert {name: used for name, used in bad.items() if used} == {}


def test_no_module_is_in_a_circle() -> None:
    """Modules import each other in one direction, type checking included."""
    modules = {module_name(path) for path in MODULES}
    graph = {module_name(path): imports(path) & modules - {module_name(path)} for path in MODULES}
    while leaves := [name for name, used in graph.items() if not used & set(graph)]:
        for name in leaves:
            del graph[name]
    assert graph == {}


def test_no_package_is_in_a_circle() -> None:
    """What a package's parts share is in one of them, or below: not beside what uses them."""
    modules = {module_name(path) for path in MODULES}
    home = {module_name(p): module_name(p.parent / "__init__.py") for p in MODULES}
    graph: dict[str, set[str]] = {package: set() for package in home.values()}
    for path in MODULES:
        used = {home[name] for name in imports(path) & modules}
        graph[home[module_name(path)]] |= used - {home[module_name(path)]}
    while leaves := [name for name, used in graph.items() if not used & set(graph)]:
        for name in leaves:
            del graph[name]
    assert graph == {}


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("libvirt", {"libvirt_api.py", "connection.py"}),
        ("libvirt_qemu", {"libvirt_api.py"}),
        ("rich", {"terminal.py"}),
        ("qemu.qmp", {"client.py"}),
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


def test_a_class_name_means_one_thing() -> None:
    """No two classes or type aliases have the same name, a leading underscore aside."""
    names = Counter(name.lstrip("_") for path in MODULES for name in types_of(path))
    assert [name for name, count in names.items() if count > 1] == []


def types_of(path: Path) -> Iterator[str]:
    """Yield the names of a module's classes and type aliases, but not of its type variables."""
    module = nodes(path)[0]
    assert isinstance(module, ast.Module)
    yield from (node.name for node in nodes(path) if isinstance(node, ast.ClassDef))
    for statement in module.body:
        if isinstance(statement, ast.Assign) and not isinstance(statement.value, ast.Call):
            names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
            yield from (name for name in names if re.fullmatch("_?[A-Z][a-z]+([A-Z][a-z]+)*", name))


def test_a_file_name_means_one_thing() -> None:
    """No two modules have the same name; but a subcommand's has the name of the command."""
    names = Counter(path.name for path in MODULES if not path.name.startswith("__") and not is_command(path))
    assert [name for name, count in names.items() if count > 1] == []


def is_command(path: Path) -> bool:
    """Return whether a module is a subcommand."""
    return "/cli/" in str(path) and "\ndef configure(" in path.read_text(encoding="utf-8")


def test_probing_loads_no_library_that_it_does_not_need() -> None:
    script = "import sys, onpanic.probe.api, onpanic.cli.probe; print(*sys.modules)"
    loaded = set(subprocess.check_output([sys.executable, "-c", script], text=True, timeout=60).split())
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
    """An `onpanic/__init__.py` in one root would hide the other ones."""
    assert [root for root in ROOTS if (ROOT / root / "onpanic" / "__init__.py").exists()] == []
    packages = [p.parent for p in MODULES if p.name == "__init__.py" and p.parent.parent.name == "onpanic"]
    assert [package for package in packages if not (package / "py.typed").exists()] == []


def test_it_imports_from_elsewhere(tmp_path: Path) -> None:
    """An editable install needs every root."""
    script = "import onpanic.probe, onpanic.check, onpanic.shims, onpanic.watch, onpanic.matrix, onpanic.cli"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=60)


@pytest.mark.parametrize(
    "package",
    [onpanic.probe, onpanic.shims, onpanic.watch, onpanic.matrix],
    ids=lambda package: package.__name__,
)
def test_every_public_name_exists(package: ModuleType) -> None:
    """It is documented, and nothing else is public."""
    assert set(dir(package)) | {"__version__"} == {*package.__all__, "__version__"}
    with pytest.raises(AttributeError):
        getattr(package, "nonsense")  # noqa: B009
    for name in package.__all__:
        try:
            found = getattr(package, name)
        except MissingExtraError as error:
            pytest.skip(str(error))
        assert found.__doc__ or isinstance(found, str)


def test_the_schema_that_ships_is_that_of_the_record() -> None:
    """`make schema` writes it."""
    current = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(CapabilityRecord)))
    assert undescribed(CapabilityRecord.json_schema()) == undescribed(current)


def test_the_table_of_policies_is_that_of_the_code() -> None:
    """`make docs` writes it."""
    page = runpy.run_path(str(ROOT / "tools" / "policies.py"))["page"]
    assert (ROOT / "docs/reference/policies.md").read_text() == page()


def test_modules_have_one_subject() -> None:
    """No module has more than 400 lines, unless it is generated."""
    texts = {identity(path): path.read_text() for path in MODULES}
    lines = {
        name: len(text.splitlines()) for name, text in texts.items() if "Written by `make docs`" not in text
    }
    assert {name: count for name, count in lines.items() if count > 400} == {}
