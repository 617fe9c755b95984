"""A host that is asked may be hostile: what it answers is text, on the controller as on the other hosts."""

import json
import sys
from pathlib import Path

import pytest

from ..running.ansible_programs import Ansible

pytestmark = pytest.mark.consumers

ROOT = Path(__file__).parent.parent.parent
SAMPLE = ROOT / "docs" / "samples" / "fleet" / "kvm1.json"
PACKAGES = ":".join(str(ROOT / name) for name in ("probe", "shims", "why", "compat-matrix", "fleet", "cli"))


@pytest.mark.parametrize("fails", [False, True], ids=["record", "complaint"])
def test_what_a_host_says_is_no_template(fails: bool, ansible: Ansible, tmp_path: Path) -> None:
    """Neither its record nor its complaint is evaluated, and the verdict has no escapes of it."""
    canary = tmp_path / "canary"
    evil = f"{{{{ lookup('pipe', 'touch {canary}') }}}}{{% for _ in [1] %}}loop{{% endfor %}}\x1b[31m"
    record = json.loads(SAMPLE.read_text())
    record["host"] = {**record["host"], "name": evil, "os": evil}
    hostile, honest = tmp_path / "hostile", tmp_path / "honest"
    complaint = f"echo 'onpanic: {evil.replace(chr(39), chr(34))}' >&2; exit 2"
    document = tmp_path / "record.json"
    document.write_text(json.dumps(record))
    hostile.write_text(f"#!/bin/sh\n{complaint if fails else f'cat {document}'}\n")
    judging = f'PYTHONPATH={PACKAGES} exec {sys.executable} -m onpanic "$@"'
    honest.write_text(f'#!/bin/sh\n[ "$1" = host ] && exec cat {SAMPLE}\n{judging}\n')
    hostile.chmod(0o755)
    honest.chmod(0o755)
    inventory = tmp_path / "inventory"
    inventory.write_text(
        f"[all:vars]\nansible_connection=local\nansible_python_interpreter={sys.executable}\n[all]\n"
        f"a-honest onpanic_executable={honest}\nb-hostile onpanic_executable={hostile}\n"
    )
    printed = ansible.run(
        "ansible-playbook", "-i", inventory, "onpanic.onpanic.verdict", "-e", f"onpanic_keep={tmp_path}/kept"
    )
    assert "ok: [a-honest]" in printed.stdout, printed.stdout + printed.stderr
    assert not canary.exists()
    kept = json.loads((tmp_path / "kept" / "b-hostile.json").read_text())
    assert "lookup(" in json.dumps(kept)
    assert fails or "\x1b" not in printed.stdout  # Ansible prints a complaint as it is
