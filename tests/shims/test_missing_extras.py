"""Without lxml or libvirt's Python module, what needs them says so, and the rest works."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

WITHOUT = """
import sys
for name in {missing!r}:
    sys.modules[name] = None  # an import of it fails, as if it was not installed
{code}
"""
COMMAND = "from onpanic.cli import main\nsys.exit(main({words!r}))"


def without(*missing: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process in which modules are not installed."""
    script = WITHOUT.format(missing=missing, code=code)
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("command", ["to-libvirt", "from-libvirt"])
def test_a_command_without_lxml_ends_with_one_clear_line(command: str, tmp_path: Path) -> None:
    (tmp_path / "domain.xml").write_text("<domain/>", "utf-8")
    done = without("lxml", code=COMMAND.format(words=[command, str(tmp_path / "domain.xml")]))
    assert (done.returncode, done.stdout) == (2, "")
    error, hint = done.stderr.splitlines()
    assert error == "onpanic: lxml is not installed"
    assert "pip install 'onpanic[xml]'" in hint


def test_the_help_needs_no_extra() -> None:
    words = [["fleet", name, "--help"] for name in ("verdict", "migrate", "diff")]
    code = f"""
from onpanic.cli import main
assert [main(words) for words in {words!r}] == [0, 0, 0]
"""
    done = without("lxml", "libvirt", code=code)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["to_libvirt", "from_libvirt", "Translation", "policy_of"])
def test_a_name_that_needs_lxml_names_the_extra(name: str) -> None:
    done = without("lxml", code=f"from onpanic.shims import {name}")
    assert done.returncode == 1
    assert "MissingExtraError: lxml is not installed" in done.stderr
    assert "onpanic[xml]" in done.stderr


@pytest.mark.parametrize("name", ["extend", "PolicyConnection", "PolicyDomain", "PolicyError"])
def test_a_name_that_needs_libvirt_names_the_extra(name: str) -> None:
    done = without("libvirt", code=f"from onpanic.shims import {name}")
    assert done.returncode == 1
    assert "MissingExtraError: libvirt-python is not installed" in done.stderr
    assert "onpanic[libvirt]" in done.stderr


def test_the_rest_needs_neither() -> None:
    code = """
from onpanic.core.errors import MissingExtraError
from onpanic.shims import Libvirt, Note, translated_command_line, translated_device
from onpanic.shims import DocumentError, RefusedError
import onpanic.shims.qemu.wrapper
assert Libvirt.of("9.1.0").pci
assert issubclass(MissingExtraError, ImportError)
"""
    done = without("lxml", "libvirt", code=code)
    assert (done.returncode, done.stderr) == (0, "")


def test_translating_needs_lxml_only() -> None:
    code = "from onpanic.shims import from_libvirt\nprint(from_libvirt('<domain/>').policy.on_panic)"
    done = without("libvirt", "libvirt_qemu", code=code)
    assert (done.stdout, done.stderr) == ("ignore\n", "")
