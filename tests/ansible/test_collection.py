"""The collection as Ansible's own tools see it, and its role beside the samples of the documentation."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from ..running.ansible_programs import COLLECTION, Ansible

ROOT = Path(__file__).parent.parent.parent
#: Those that need an environment of their own each, and find what this project's linters and ansible-lint do.
SKIPPED = ("ansible-doc", "import", "pep8", "pslint", "pylint", "runtime-metadata", "shellcheck", "yamllint")


@pytest.mark.consumers
def test_ansible_lint_finds_nothing(ansible: Ansible, tmp_path: Path) -> None:
    done = ansible.run("ansible-lint", "--offline", "--profile", "production", cwd=copied(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failure(s), 0 warning(s) in" in done.stderr


@pytest.mark.consumers
def test_ansible_test_finds_nothing(ansible: Ansible, tmp_path: Path) -> None:
    """It would fetch a script that installs pip; this one installs the pip that comes with Python."""
    cache = ansible.folder / ".ansible/test/cache"
    cache.mkdir(parents=True)
    script = "import ensurepip\nensurepip.bootstrap(default_pip=True)\n"
    (cache / "get_pip_24_2.py").write_text(script, "utf-8")
    skipped = [word for name in SKIPPED for word in ("--skip-test", name)]
    version = ".".join(map(str, sys.version_info[:2]))
    words = ("sanity", "--color", "no", "--python", version, *skipped)
    done = ansible.run("ansible-test", *words, cwd=copied(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.consumers
def test_what_it_has_is_documented(ansible: Ansible) -> None:
    done = ansible.run("ansible-doc", "--json", "onpanic.onpanic.host_facts", "onpanic.onpanic.domain_policy")
    assert done.returncode == 0, done.stderr
    assert set(re.findall(r'"collection": "([^"]*)"', done.stdout)) == {"onpanic.onpanic"}
    done = ansible.run("ansible-doc", "--type", "role", "onpanic.onpanic.onpanic")
    assert "onpanic_watch_settings" in done.stdout, done.stderr


@pytest.mark.consumers
def test_examples_of_the_documentation_are_valid(ansible: Ansible, tmp_path: Path) -> None:
    """Playbooks in the page, and in the collection's own README."""
    pages = (ROOT / "docs/how-to/ansible.md", COLLECTION / "README.md")
    text = "".join(page.read_text("utf-8") for page in pages)
    examples = re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(examples) == 4
    path = tmp_path / "examples.yml"
    path.write_text("".join(examples), "utf-8")
    done = ansible.run("ansible-playbook", "--syntax-check", "-i", "localhost,", path)
    assert done.returncode == 0, done.stdout + done.stderr


def copied(folder: Path) -> Path:
    """Copy the collection to where its name says, as Ansible's own tools want it."""
    path = folder / "work/ansible_collections/onpanic/onpanic"
    return Path(shutil.copytree(COLLECTION, path))


def test_the_role_installs_the_documented_unit() -> None:
    """The role's unit is the sample, but for where the command is and which libvirt it watches."""
    text = (COLLECTION / "roles/onpanic/templates/onpanic-watch.service.j2").read_text("utf-8")
    text = text.replace("{{ onpanic_venv }}/bin/onpanic", "/usr/bin/onpanic")
    text = text.replace("{{ onpanic_watch_connect }}", "qemu:///system")
    sample = (ROOT / "docs/samples/systemd/onpanic-watch.service").read_text("utf-8")
    assert settings(text) == settings(sample)


def settings(unit: str) -> list[str]:
    return [line for line in unit.splitlines() if line and not line.startswith("#")]


@pytest.mark.consumers
def test_the_role_takes_no_package_from_an_index_by_itself(ansible: Ansible) -> None:
    """The project is on no public index, so that its name there may be anybody's."""
    host = "localhost ansible_connection=local onpanic_connect=none"
    inventory = ansible.inventory(["[hypervisors]", host])
    playbook = Path(__file__).parent / "playbooks/install.yml"
    printed = ansible.play("-i", inventory, playbook, status=2)
    assert "Set onpanic_wheel to a wheel of onpanic" in printed
    assert "changed=0" in printed


def test_defaults_of_the_role_are_those_that_it_documents() -> None:
    """Each variable has the same default in both files."""
    defaults = (COLLECTION / "roles/onpanic/defaults/main.yml").read_text("utf-8")
    specs = (COLLECTION / "roles/onpanic/meta/argument_specs.yml").read_text("utf-8")
    set_to = dict(re.findall(r"^(onpanic_\w+): (.*)$", defaults, re.MULTILINE))
    said = dict(re.findall(r"^ {6}(onpanic_\w+):\n(?: {8}.*\n)*? {8}default: (.*)$", specs, re.MULTILINE))
    assert set_to == said
