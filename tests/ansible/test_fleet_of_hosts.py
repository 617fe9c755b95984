"""The collection on real hosts, over ssh: from an inventory to a verdict."""

import re
import tomllib
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest

from onpanic.fleet.documents.document_files import documents_of
from onpanic.fleet.documents.read_fleet import read_fleet

from ..running.ansible_programs import Ansible, login
from ..running.ssh_hosts import SshHost

pytestmark = [pytest.mark.consumers, pytest.mark.emulators, pytest.mark.libvirt]

ROOT = Path(__file__).parent.parent.parent
PLAYBOOKS = Path(__file__).parent / "playbooks"


@pytest.mark.timeout(600)
def test_from_the_inventory_to_the_verdict(ansible: Ansible, hosts: dict[str, SshHost], wheel: Path) -> None:
    """Install onpanic, judge the hosts, and keep a domain's policy on each; one test, for the hosts' sake.

    A host on which onpanic fails, and one that cannot be reached, are in the verdict.
    """
    inventory = ansible.inventory(
        [
            "[hypervisors]",
            *(f"{name} {login(host)} onpanic_connect={host.uri}" for name, host in hosts.items()),
            "[hypervisors:vars]",
            "onpanic_ask_timeout=60",  # the machine may be busy
            "onpanic_timeout=300",
            "[silent]",
            f"broken {login(hosts['sid'])} onpanic_executable=/bin/false",
            "unreachable ansible_port=9",  # discard(9), which nothing serves
        ]
    )
    install = ("-i", inventory, PLAYBOOKS / "install.yml", "-e", f"onpanic_wheel={wheel}")
    assert changed(ansible.play(*install, "--check", "--limit", "sid")) == {"sid": True}
    assert not list((hosts["sid"].folder.parent / "opt").iterdir())
    assert changed(ansible.play(*install)) == dict.fromkeys(hosts, True)
    assert changed(ansible.play(*install, "--limit", "sid")) == {"sid": False}
    for host in hosts.values():
        unit = host.folder.parent / "etc/systemd/system/onpanic-watch.service"
        assert f"ExecStart=/opt/onpanic/bin/onpanic watch --connect {host.uri} " in unit.read_text("utf-8")
        settings = unit.parent.parent.parent / "onpanic/watch.toml"
        assert tomllib.loads(settings.read_text("utf-8")) == {"dump-quota": "200G", "grace": 30.0}

    kept = ansible.folder / "kept"
    printed = ansible.play("-i", inventory, "onpanic.onpanic.verdict", "-e", f"onpanic_keep={kept}")
    assert "2 more not counted" in printed
    assert "2 did not answer: broken (/bin/false ended with status 1), unreachable" in printed
    for line in shown():
        assert line in printed
    fleet = read_fleet(documents_of([str(kept)], BytesIO()), datetime.now(UTC))
    assert {host.name for one in fleet.classes for host in one.hosts} == set(hosts)
    found = {one.record.libvirt.version[:2] for one in fleet.classes if one.record.libvirt}
    assert found == {"9.", "11", "12"}
    silent = {one.name: one.detail for one in fleet.uncounted}
    assert set(silent) == {"broken", "unreachable"}
    assert "Connection refused" in silent["unreachable"]

    asked = '{"onpanic_policy": "restart", "onpanic_machines": ["pc-q35-7.2"]}'
    one = ("-i", inventory, "onpanic.onpanic.verdict", "-e", asked)
    printed = ansible.play(*one, "--limit", "sid,unreachable", status=2)
    assert "1 more not counted" in printed
    assert "x86_64  pc-q35-7.2  1 host" in printed  # its QEMU 11.1 was asked about the machine type
    assert "Not all hosts keep the policy, or are known to" in printed

    ansible.play("-i", inventory, PLAYBOOKS / "policies.yml")


def shown() -> list[str]:
    """Return the lines of the verdict that the documentation shows."""
    page = (ROOT / "docs/how-to/ansible.md").read_text("utf-8")
    (block,) = re.findall(r"^```text\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return [line for line in block.splitlines() if line.startswith('        "')]


def changed(printed: str) -> dict[str, bool]:
    """Return for each host of a recap whether something was changed."""
    found = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+) ", printed, re.MULTILINE)
    return {name: count != "0" for name, count in found}
