"""Shell blocks about installing, building and releasing: each is run as it stands, in a copy of the tree."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from onpanic.core.version import __version__

from ..running.packages import PACKAGE_VERSION
from ..running.rpm_build import missing_programs
from ..running.rpm_macros import macros
from ..running.shell_blocks import ROOT, SUDO, Sandbox, shell_block

pytestmark = pytest.mark.package

Unavailable = Callable[[str], NoReturn]
INSTALLING = "docs/how-to/installing.md"
RELEASING = "docs/how-to/releasing.md"
#: Plays the Python of the checkout's environment.
PYTHON = """\
export PYTHONPATH=$PWD/probe:$PWD/shims:$PWD/why:$PWD/compat-matrix:$PWD/fleet:$PWD/cli:$PYTHONPATH
exec "{0}" "$@"
"""

#: Nothing of these tests' Python; and pip finds in its cache what they have installed.
CLEAN = f"""\
unset PYTHONPATH
export PIP_CONSTRAINT={ROOT / "constraints.txt"} PIP_CACHE_DIR={Path.home() / ".cache/pip"}
"""


@pytest.fixture
def sandbox(sandbox: Callable[..., Sandbox], unavailable: Unavailable) -> Callable[..., Sandbox]:
    """Return a function that returns a sandbox that works in a clone with this checkout's files."""
    if not (ROOT / ".git").exists():
        unavailable("this is no checkout")

    def make(*private: str, **programs: str) -> Sandbox:
        made = sandbox(*private, **programs)
        git = ("git", "-C", str(ROOT))
        listed = subprocess.run([*git, "ls-files", "-z"], capture_output=True, check=True, timeout=60)
        for name in listed.stdout.decode().split("\0")[:-1]:
            if (ROOT / name).is_file():
                (made.work / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, made.work / name)
        return made

    return make


def run_with_pip(here: Sandbox, text: str, unavailable: Unavailable) -> str:
    """Run a text; where pip cannot get what it installs, the test ends."""
    try:
        return here.run(CLEAN + text)
    except AssertionError as error:
        if "ERROR: No matching distribution found for" in str(error):
            unavailable("pip cannot install what the page has it install")
        raise


def test_the_host_gets_it_and_loses_it(sandbox: Callable[..., Sandbox], unavailable: Unavailable) -> None:
    """What the guide installs for the whole host works, has its manual pages, and is removed again.

    sudo and apt are played: the sandbox's user is root, and the tests need these packages, too.
    """
    here = sandbox(
        "/opt", "/usr/local", sudo=SUDO, apt='echo "apt $*"', python3=f'exec "{sys.executable}" "$@"'
    )
    (here.folder / "bin/onpanic").unlink()
    for name in ("bin", "share"):
        (here.folder / "usr/local" / name).mkdir(parents=True)
    first = "sudo apt install python3-venv python3-dev libvirt-dev pkg-config gcc"
    printed = run_with_pip(here, shell_block(INSTALLING, first), unavailable)
    assert printed.startswith("apt install ")
    assert here.run("/usr/local/bin/onpanic --version").strip() == f"onpanic {__version__}"
    here.run(shell_block(INSTALLING, "sudo cp -r /opt/onpanic/share/* /usr/local/share/"))
    assert (here.folder / "usr/local/share/man/man1/onpanic.1").exists()
    removal = "find /opt/onpanic/share -type f -printf '/usr/local/share/%P\\n' | sudo xargs rm -f"
    here.run(shell_block(INSTALLING, removal))
    assert not [
        path for top in ("opt", "usr/local") for path in (here.folder / top).rglob("*") if path.is_file()
    ]


def test_the_wheel_for_hosts(sandbox: Callable[..., Sandbox], unavailable: Unavailable) -> None:
    """The wheel that the collection's role installs."""
    here = sandbox(python3=f'exec "{sys.executable}" "$@"')
    text = shell_block("docs/how-to/ansible.md", "python3 -m pip wheel --no-deps --wheel-dir dist .")
    run_with_pip(here, text, unavailable)
    assert [path.name for path in (here.work / "dist").iterdir()] == [
        f"onpanic-{__version__}-py3-none-any.whl"
    ]


def test_rpm_packages(sandbox: Callable[..., Sandbox], unavailable: Unavailable) -> None:
    """The source package is built from the sdist; mock is played, and is given that package alone."""
    if missing := missing_programs(("rpmbuild",)):
        unavailable(f"no {missing[0]} here")
    here = sandbox(python3=f'exec "{sys.executable}" "$@"', mock='echo "mock $#: $*"')
    (here.folder / "home/.rpmmacros").write_text(macros(), "utf-8")
    text = shell_block("docs/how-to/rpm-packages.md", "python3 -m hatchling build -t sdist")
    last = here.run(text).splitlines()[-1]
    package = rf"onpanic-{re.escape(PACKAGE_VERSION)}-\S*\.src\.rpm"
    assert re.fullmatch(rf"mock 1: .*/rpmbuild/SRPMS/{package}", last)


@pytest.mark.emulators
def test_a_release(sandbox: Callable[..., Sandbox], unavailable: Unavailable) -> None:
    """From the version to the tag at the repository's host, which is a folder here."""
    here = sandbox(python3=f'exec "{sys.executable}" "$@"')
    environment = here.work / ".venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin/python").write_text("#!/bin/sh\n" + PYTHON.format(sys.executable), "utf-8")
    (environment / "bin/python").chmod(0o755)
    (environment / "probe.done").touch()
    here.run(
        "git config --global user.name Releaser && git config --global user.email releaser@example.org\n"
        "git init --quiet --bare ../origin && git init --quiet && git add -A && git commit -qm before\n"
        "git remote add origin ../origin\n"
    )
    blocks = (
        shell_block(RELEASING, "version=0.2.0"),
        shell_block(RELEASING, 'git commit -am "onpanic $version"'),
        shell_block(RELEASING, 'tools/release "$version" dist'),
        shell_block(RELEASING, "python3 -m venv .check"),
        shell_block(RELEASING, 'git push --atomic origin HEAD "v$version"'),
        shell_block(RELEASING, "tools/set-version 0.3.0.dev0"),
    )
    # The tests that it runs are among these; one shell, for the variable's sake
    options = "export PYTEST_ADDOPTS='-p no:cacheprovider --ignore tests/manual/test_completion.py'\n"
    printed = run_with_pip(here, options + "".join(blocks), unavailable)
    assert printed.count("PASSED") == 2, printed[-2000:]
    assert "\nonpanic 0.2.0\n" in printed
    assert here.run("git -C ../origin tag").split() == ["v0.2.0"]
    assert here.run("git status --porcelain").split() in ([], ["??", ".check/"])
