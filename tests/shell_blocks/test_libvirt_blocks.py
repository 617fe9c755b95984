"""Shell blocks for a host with libvirt: each is run as it stands, on a libvirtd in system mode."""

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from ..running.shell_blocks import Sandbox, shell_block
from ..running.system_libvirtd import run_system_libvirtd

pytestmark = pytest.mark.libvirt

POLICIES = "docs/how-to/policies-on-libvirt.md"
#: A boot sector that waits for the power button by the registers of ACPI, and then turns the PC off.
WAITS = bytes.fromhex("fa ba0206 b80001 ef ba0006 ed f6c401 74fa ba0406 b80020 ef f4")
DISK = WAITS.ljust(510, b"\0") + b"\x55\xaa"
GUEST = """
<domain type='qemu'>
  <name>guest</name>
  <memory unit='MiB'>32</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <on_crash>destroy</on_crash>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='/var/lib/libvirt/guest.img'/>
      <target dev='hda' bus='ide'/>
    </disk>
    <serial type='null'/>
  </devices>
</domain>
"""


@pytest.fixture
def host(
    folder: Path, sandbox: Callable[..., Sandbox], unavailable: Callable[[str], NoReturn]
) -> Iterator[Sandbox]:
    """Yield a sandbox on a host whose libvirt has a running guest."""
    shutil.which("virsh") or unavailable("no virsh here")
    program = shutil.which("libvirtd", path="/usr/sbin:/usr/bin") or unavailable("no libvirtd here")
    daemon = folder / "libvirt"
    with run_system_libvirtd(program, daemon):
        (daemon / "lib/guest.img").write_bytes(DISK)
        # ssh is played: the only host is this one
        played = {"ssh": '[ "$1" = -n ] && shift 2 && exec "$@"'}
        made = sandbox("/run", "/etc", binds={"/run/libvirt": daemon / "run"}, **played)
        (made.folder / "run/libvirt").mkdir(parents=True)
        (made.work / "original.xml").write_text(GUEST, "utf-8")
        made.run("virsh define original.xml && virsh start guest")
        yield made


def test_a_domain_is_given_a_policy(host: Sandbox) -> None:
    """The guest is shut down by its power button, and started with the policy.

    The policy is translated again, and the watcher watches the guest until Ctrl-C.
    """
    host.run(shell_block(POLICIES, "virsh dumpxml --inactive guest > guest.xml"))
    assert host.run("virsh domstate guest").strip() == "running"
    text = "virsh dumpxml guest | onpanic from-libvirt - | grep on_panic"
    assert host.run(text).strip() == "<on_panic coredump='yes' grace='30'>restart</on_panic>"
    again = "virsh dumpxml --inactive guest | onpanic to-libvirt - > guest.xml && virsh define guest.xml"
    before = host.run("virsh dumpxml --inactive guest")
    host.run(shell_block(POLICIES, again))
    assert host.run("virsh dumpxml --inactive guest") == before

    text = shell_block("docs/how-to/watching.md", "onpanic watch --connect qemu:///system")
    with subprocess.Popen(
        host.command(f"exec {text}"),
        env=host.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    ) as watcher:
        try:
            assert watcher.stdout
            assert " watching detail=" in watcher.stdout.readline()
        finally:
            watcher.send_signal(signal.SIGINT)


def test_the_host_and_its_guest_are_asked(host: Sandbox) -> None:
    """What libvirt can promise; the guest, through a monitor and through libvirt; the labels; the fleet."""
    printed = host.run(shell_block(POLICIES, "onpanic domcaps --connect qemu:///system"))
    assert "<on_panic" in printed

    monitor = "-qmp unix:/run/vm.qmp,server=on,wait=off"
    host.run(f"qemu-system-x86_64 -display none -S -daemonize -pidfile pid {monitor}")
    try:
        printed = host.run(shell_block("docs/how-to/probing.md", "onpanic probe --qmp /run/vm.qmp"))
    finally:
        host.run("kill $(cat pid)")
    assert printed.count("the emulator, probed in") == 2

    labels = "mkdir -p /etc/kubernetes/node-feature-discovery/features.d"
    host.run(shell_block("docs/reference/host-record.md", labels))
    written = host.folder / "etc/kubernetes/node-feature-discovery/features.d/onpanic"
    assert "feature.node.kubernetes.io/onpanic-x86_64.q35.restart=true" in written.read_text("utf-8")

    (host.work / "hosts").write_text("kvm1\n", "utf-8")
    printed = host.run(shell_block("docs/how-to/fleets.md", "mkdir fleet"))
    assert "1 host" in printed
    assert {path.name for path in (host.work / "fleet").iterdir()} == {"kvm1.json"}
