"""The sub-packages of the matrix: each imports those before it in the flow of data only."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "compat-matrix/onpanic/matrix"
MODULES = [path for path in ROOT.rglob("*.py") if path.parent != ROOT]

#: What each sub-package may import besides itself.
ALLOWED: dict[str, set[str]] = {
    "sources": set(),
    "records": set(),
    "collecting": {"sources", "records", "libvirts"},
    "libvirts": {"records"},
    "model": {"records", "libvirts"},
    "lint": {"records", "libvirts", "model"},
    "outputs": {"libvirts", "model"},
}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_stage_uses_the_stages_before_it(path: Path) -> None:
    """Records can be collected without the matrix, and a matrix built without asking anybody."""
    stage = path.relative_to(ROOT).parts[0]
    names = [
        node.module.split(".")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
    ]
    used = {name[2] for name in names if name[:2] == ["onpanic", "matrix"] and name[2] in ALLOWED}
    assert used <= ALLOWED[stage] | {stage}
