"""Every shell command that the documentation shows is run by a test, or there is a reason why it is not."""

import ast
import re
from pathlib import Path

from ..running.shell_blocks import all_shell_blocks

TESTS = Path(__file__).parent.parent
#: Blocks that no test runs: a page, the block's first line, and the reason.
NOT_RUN = {
    (
        "docs/how-to/debian-packages.md",
        (
            "echo 'deb http://deb.debian.org/debian trixie-backports main'"
            " | sudo tee /etc/apt/sources.list.d/backports.list"
        ),
    ): "the root of tests/package/test_debian_packages.py has the backports of the host's own mirror",
    (
        "docs/how-to/debian-packages.md",
        "sudo apt build-dep .",
    ): "needs Debian 13; tests/package/test_debian_packages.py runs the other two lines in a root of it",
    (
        "docs/how-to/debian-packages.md",
        "cd dist/debian",
    ): "needs Debian 13; tests/package/test_debian_packages.py installs all of them in a root of it",
    (
        "docs/how-to/platforms.md",
        "incus config set guest raw.qemu='-device pvpanic' boot.autorestart=true",
    ): "Incus is not in Debian 12, and a guest needs its daemon and KVM",
    (
        "docs/how-to/platforms.md",
        (
            "qm set 100 --args '-device pvpanic -device vmcoreinfo"
            " -qmp unix:/run/onpanic/100.qmp,server=on,wait=off'"
        ),
    ): "Proxmox VE is a distribution of its own; tests/fleet/test_platform_samples.py runs the hookscript",
    (
        "docs/how-to/platforms.md",
        "virt-install --name guest --memory 2048 --osinfo linux2022 --import --disk guest.qcow2 \\",
    ): "virt-install needs a network of libvirt's, and an installed guest",
    (
        "docs/how-to/policies-on-libvirt.md",
        "virsh -c xen:///system dumpxml --inactive guest > guest.xml",
    ): "tests/xen/test_translation.py has libvirt's Xen driver define what to-libvirt prints, without virsh",
    (
        "docs/how-to/rpm-packages.md",
        "sudo dnf install ./onpanic-watch-*.rpm ./onpanic-0*.rpm ./python3-onpanic*.rpm",
    ): "dnf needs Fedora and systemd; tests/package/test_rpm.py installs the package with rpm",
    (
        "docs/how-to/watching.md",
        "onpanic watch --connect xen:///system",
    ): "tests/xen/test_watching.py runs the watcher on a real Xen, from Python",
}


def run_blocks() -> set[tuple[str, str]]:
    """Return the blocks that tests run: a module that takes blocks from pages has the page and the line."""
    found = set()
    for path in TESTS.rglob("test_*.py"):
        source = path.read_text("utf-8")
        nodes = list(ast.walk(ast.parse(source))) if "shell_block" in source else []
        if any(isinstance(node, ast.alias) and node.name == "shell_block" for node in nodes):
            texts = {node.value for node in nodes if isinstance(node, ast.Constant)}
            found |= {block for block in all_shell_blocks() if texts >= set(block)}
    return found


def test_every_block_is_run() -> None:
    """A block is run, or has a reason, and no entry is about a block that no page has."""
    run = run_blocks()
    assert run & set(NOT_RUN) == set()
    assert run | set(NOT_RUN) == set(all_shell_blocks())


def test_reasons_name_tests_that_exist() -> None:
    """Where a reason says what is tested instead, that is there."""
    named = re.findall(r"tests/[\w/]+\.py", " ".join(NOT_RUN.values()))
    assert len(named) > 2
    assert [name for name in named if not (TESTS.parent / name).exists()] == []
