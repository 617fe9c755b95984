"""A new fact is one `Question` in one module: everything else follows from it, or is generated."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
NEW = """

QUESTIONS = (
    *QUESTIONS,
    Question(
        "stop-command",
        "emulator",
        "Does the emulator have the command stop?",
        "query-commands lists it",
        lambda conversations: yes("introspected", "listed by query-commands"),
        Excerpt(("query-commands",), ("stop",)),
    ),
    Question(
        "has-a-name",
        "machine",
        "Does the machine type have a name?",
        "it always does",
        lambda conversations: yes("introspected", "it has one"),
        Excerpt(("qom-get",)),
        change="guest-visible",
    ),
)
"""


@pytest.mark.processes
def test_a_question_is_all_that_a_fact_needs(tmp_path: Path) -> None:
    """With two questions added, records, screens, explanations, checks and the matrix have the new facts."""
    for root in ("probe", "shims", "why", "compat-matrix", "fleet", "cli"):
        shutil.copytree(ROOT / root / "onpanic", tmp_path / root / "onpanic")
    module = tmp_path / "probe/onpanic/probe/facts/introspection.py"
    module.write_text(module.read_text(encoding="utf-8") + NEW, encoding="utf-8")
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools/codes.py", tmp_path / "tools/codes.py")
    path = os.pathsep.join(
        str(tmp_path / root) for root in ("probe", "shims", "why", "compat-matrix", "fleet", "cli")
    )
    recording = str(ROOT / "tests/recordings/qemu-1.7.0.jsonl")

    def python(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def onpanic(*words: str) -> str:
        return python("-m", "onpanic", *words)

    python(str(tmp_path / "tools/codes.py"))  # as `make docs` does
    screen = onpanic("probe", "--recording", recording)
    assert "stop-command" in screen
    assert "has-a-name" in screen
    record = json.loads(onpanic("probe", "--recording", recording, "--format", "json"))
    assert record["facts"]["stop-command"]["answer"] == "yes"
    assert record["machines"][0]["facts"]["has-a-name"]["answer"] == "yes"
    assert "Does the emulator have the command stop?" in onpanic("explain", "stop-command")
    assert "has-a-name" in onpanic("explain")
    records, out = tmp_path / "records", tmp_path / "out"
    out.mkdir()
    onpanic("matrix", "collect", "-q", "-o", str(records), "--recordings", recording)
    onpanic("matrix", "build", "-q", str(records), "-o", str(out))
    matrix = json.loads((out / "matrix.json").read_text())
    assert {"stop-command", "has-a-name"} <= {fact["name"] for fact in matrix["facts"]}
    assert any('"query-commands"' in line for lines in matrix["evidence"] for line in lines)
