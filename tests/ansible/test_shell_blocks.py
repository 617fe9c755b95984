"""Shell blocks about the collection: each is run as it stands, on an inventory of this host."""

import os
import sys
from collections.abc import Callable

import pytest

from ..running.ansible_programs import COLLECTION, Ansible
from ..running.shell_blocks import Sandbox, shell_block

pytestmark = [pytest.mark.consumers, pytest.mark.emulators, pytest.mark.libvirt]

PAGE = "docs/how-to/ansible.md"


def test_from_the_collection_to_the_verdict(
    ansible: Ansible,
    sandbox: Callable[..., Sandbox],
    shared_uri: Callable[[str], str],
) -> None:
    """The collection is built and installed, and asks the host; then once more, for one policy."""
    here = sandbox("/srv")
    (here.work / "ansible").symlink_to(COLLECTION)
    host = f"ansible_connection=local ansible_python_interpreter={sys.executable}"
    (here.work / "inventory").write_text(f"kvm1 {host} onpanic_connect={shared_uri('host')}\n", "utf-8")
    variables = {"ANSIBLE_CONFIG": str(ansible.folder / "ansible.cfg"), "ANSIBLE_LOCALHOST_WARNING": "False"}
    path = f"PATH={here.folder / 'bin'}:{ansible.programs}:{os.environ['PATH']}"
    before = "".join(f"export {name}={value}\n" for name, value in variables.items()) + f"export {path}\n"
    printed = here.run(before + shell_block(PAGE, "ansible-galaxy collection build ansible"))
    assert "1 host" in printed
    assert list((here.folder / "home/.ansible/collections").rglob("onpanic/onpanic/playbooks/verdict.yml"))
    one = (
        "ansible-playbook -i inventory onpanic.onpanic.verdict"
        " -e onpanic_policy=restart -e onpanic_keep=/srv/fleet"
    )
    here.run(before + shell_block(PAGE, one))
    assert [path.name for path in (here.folder / "srv/fleet").iterdir()] == ["kvm1.json"]


def test_the_verdict_is_one_command() -> None:
    """It is the last line of the block that the test above runs."""
    whole = shell_block(PAGE, "ansible-galaxy collection build ansible")
    first = shell_block(PAGE, "ansible-playbook -i inventory onpanic.onpanic.verdict")
    assert whole.endswith("\n" + first)
    assert first == shell_block("README.md", "ansible-playbook -i inventory onpanic.onpanic.verdict")
