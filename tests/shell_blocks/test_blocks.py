"""Shell blocks that need no libvirt: each is run as it stands, with real emulators."""

import importlib.metadata
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from ..running.shell_blocks import ROOT, SUDO, Sandbox, shell_block

#: A boot sector that panics, by the port of pvpanic.
PANICS = bytes.fromhex("ba0505b001eef4").ljust(510, b"\0") + b"\x55\xaa"

#: What the installed onpanic-qemu runs.
MAIN = "from onpanic.shims.qemu.wrapper import main; main()"

MakeSandbox = Callable[..., Sandbox]

MAKES = (
    shell_block(
        "README.md",
        "make probe   # creates .venv, installs what is missing (QEMU included), and probes the host's QEMU",
    ),
    shell_block("docs/explanation/xen.md", 'make test PYTEST="-m xen"'),
)


@pytest.mark.processes
@pytest.mark.parametrize("text", MAKES, ids=lambda text: text.split("#")[0].strip())
def test_targets_of_make(text: str, sandbox: MakeSandbox) -> None:
    """The targets exist; make only says what it would do, since it would run these tests."""
    here = sandbox(make=f'exec "{shutil.which("make")}" -n "$@"')
    here.see_checkout()
    printed = here.run(text)
    assert "pytest" in printed or "onpanic probe" in printed


@pytest.mark.emulators
def test_the_first_minute(sandbox: MakeSandbox) -> None:
    """The front page of the site: what make installs is there already."""
    here = sandbox(make=f'exec "{shutil.which("make")}" -n "$@"')
    here.see_checkout()
    (here.work / ".venv/bin").mkdir(parents=True)
    (here.work / ".venv/bin/onpanic").symlink_to(here.folder / "bin/onpanic")
    assert here.run(shell_block("docs/index.md", "make probe")).endswith("accepted (by the isa notifier)\n")


@pytest.mark.processes
def test_modules_and_what_they_are_for(sandbox: MakeSandbox) -> None:
    """One line for each file: its name, and its docstring."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    here = sandbox()
    here.see_checkout()
    first = 'for file in $(git ls-files \'probe/*.py\'); do echo "$file: $(head -n 1 "$file")"; done'
    lines = here.run(shell_block("docs/explanation/architecture.md", first)).splitlines()
    assert any(line.startswith('probe/onpanic/core/errors.py: """') for line in lines)


@pytest.mark.processes
def test_builds_of_an_architecture(sandbox: MakeSandbox) -> None:
    printed = sandbox().run(
        shell_block("docs/how-to/compatibility-matrix.md", "onpanic matrix show --arch x86_64")
    )
    assert "qemu-system-x86_64 1.5.3" in printed


@pytest.mark.emulators
def test_a_cross_built_emulator(debian_emulator: Callable[..., list[str]], sandbox: MakeSandbox) -> None:
    """RUNNER stands for a program that runs it; this one runs that of another Debian suite."""
    command = " ".join(debian_emulator("trixie", "qemu-system-aarch64"))
    here = sandbox(RUNNER=f'[ "$1" = qemu-system-aarch64 ] && shift && exec {command} "$@"')
    text = shell_block("docs/how-to/checking-a-build.md", "onpanic check -- RUNNER qemu-system-aarch64")
    assert ", aarch64: nothing found" in here.run(text)


@pytest.mark.emulators
def test_a_project_with_pytest(sandbox: MakeSandbox, unavailable: Callable[[str], NoReturn]) -> None:
    """The sample is copied into a project, and passes there."""
    if not Path("/usr/bin/qemu-system-x86_64").exists():
        unavailable("no /usr/bin/qemu-system-x86_64 here")
    plugin = "" if importlib.metadata.entry_points(group="pytest11", name="onpanic") else "-p pytest_onpanic "
    here = sandbox(pytest=f'exec "{sys.executable}" -m pytest -p no:cacheprovider {plugin}"$@"')
    here.see_checkout()
    (here.folder / "home/project").mkdir()
    first = "cp docs/samples/pytest/test_guest_panic.py ~/project/ && cd ~/project"
    assert "2 passed" in here.run(shell_block("docs/how-to/checking-a-build.md", first))


@pytest.mark.emulators
def test_a_script_that_a_test_runner_takes_for_qemu(sandbox: MakeSandbox) -> None:
    """The report says that the guest panicked, and so does the status."""
    here = sandbox()
    script = here.work / "qemu"
    script.write_text(shell_block("docs/how-to/running.md", "#!/bin/sh"), "utf-8")
    script.chmod(0o755)
    (here.work / "guest.img").write_bytes(PANICS)
    options = "-display none -nodefaults -drive file=guest.img,format=raw"
    assert here.run(f"./qemu {options} || echo status $?").splitlines()[-1] == "status 86"
    assert json.loads((here.work / "result.json").read_text("utf-8"))["outcome"] == "panicked"


@pytest.mark.emulators
def test_the_wrapper_of_qemu(sandbox: MakeSandbox) -> None:
    """The dots stand for more options; with these, QEMU goes to the background."""
    here = sandbox(**{"onpanic-qemu": f'exec "{sys.executable}" -c "{MAIN}" "$@"'})
    text = shell_block("docs/how-to/policies-on-libvirt.md", "onpanic-qemu -machine pc -device isa-pvpanic …")
    here.run(text.replace("…", "-display none -S -daemonize -pidfile pid && kill $(cat pid)"))


@pytest.mark.processes
def test_the_watcher_as_a_service(sandbox: MakeSandbox) -> None:
    """The files are where systemd and the unit look for them; systemctl is played, since no systemd runs."""
    here = sandbox("/etc", sudo=SUDO, systemctl='echo "systemctl $*"')
    here.see_checkout()
    printed = here.run(shell_block("docs/how-to/watching.md", "cd docs/samples/systemd"))
    assert printed.splitlines() == ["systemctl daemon-reload", "systemctl enable --now onpanic-watch"]
    samples, units = ROOT / "docs/samples/systemd", here.folder / "etc/systemd/system"
    for name in ("onpanic-watch.service", "onpanic-watch.service.d/10-opt.conf"):
        assert (units / name).read_bytes() == (samples / name).read_bytes()
    assert (here.folder / "etc/onpanic/watch.toml").read_bytes() == (samples / "watch.toml").read_bytes()


@pytest.mark.processes
def test_the_file_of_metrics_is_linked(sandbox: MakeSandbox) -> None:
    """node_exporter's folder, which its package creates, has the file then."""
    here = sandbox("/var/lib", sudo=SUDO)
    folder = here.folder / "var/lib/prometheus/node-exporter"
    folder.mkdir(parents=True)
    first = "sudo ln -s /var/cache/onpanic/onpanic.prom /var/lib/prometheus/node-exporter/"
    here.run(shell_block("docs/how-to/watching.md", first))
    assert str((folder / "onpanic.prom").readlink()) == "/var/cache/onpanic/onpanic.prom"
