"""Quick tests on every supported Python that is available, with the built wheel."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NoReturn

import pytest

from onpanic.core.errors import FetchError
from onpanic.matrix.debian import fetch

pytestmark = pytest.mark.package

ROOT = Path(__file__).parent.parent.parent
OTHERS = [v for v in ("3.11", "3.12", "3.13", "3.14") if v != f"{sys.version_info[0]}.{sys.version_info[1]}"]
#: Debian's suite with the newest ones, and what the tests call beside Python.
SUITE, TOOLS = "sid", ("coreutils",)
QUICK = "not (browser or consumers or emulators or libvirt or package or processes or xen)"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "any")
#: The newest one runs all quick tests, those between it and the oldest one a part that imports every package.
NEWEST = "3.14"
BETWEEN = [
    *(f"tests/{name}" for name in ("check", "cli", "core", "qmp", "run")),
    "tests/shims/test_translate.py",
    "tests/why/test_reading.py",
]
#: Tests of the sources, of the documentation and of published data, which no interpreter changes.
SOURCE_ONLY = (
    "tests/site",
    "tests/test_architecture.py",
    "tests/test_dependencies.py",
    "tests/test_linters.py",
    "tests/matrix/test_published.py",
)
TESTING = ("pytest", "pytest-asyncio", "pytest-timeout", "hypothesis", "jsonschema", "ruamel.yaml")

Run = Callable[..., subprocess.CompletedProcess[str]]
Unavailable = Callable[[str], NoReturn]
Interpreter = Callable[[Path], list[str]]


def installed(version: str) -> list[str] | None:
    """Return an interpreter of this host that runs; pyenv's stand for one that may not be there."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = [shutil.which(f"python{version}"), *pyenv.glob(f"versions/{version}.*/bin/python{version}")]
    for python in map(str, filter(None, found)):
        done = subprocess.run([python, "-c", ""], capture_output=True, timeout=60, check=False)
        if done.returncode == 0:
            return [python]
    return None


def unpacked(version: str, folder: Path, unavailable: Unavailable) -> Interpreter:
    """Return a function from a folder that it may write to, to the command of Debian's interpreter."""
    try:
        root = fetch(SUITE, (f"python{version}", *TOOLS), into=folder / f"python{version}").path
    except FetchError as error:
        unavailable(f"no Python {version}: {error.message}")

    def command(work: Path) -> list[str]:
        links = [f"--symlink usr/{name} /{name}".split() for name in ("bin", "lib", "lib64")]
        return [
            *(
                "bwrap",
                "--die-with-parent",
                "--ro-bind",
                str(root / "usr"),
                "/usr",
                *chain.from_iterable(links),
            ),
            *("--ro-bind", "/etc", "/etc", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"),
            *("--ro-bind", str(ROOT), str(ROOT), "--bind", str(work), str(work), "--chdir", str(ROOT)),
            f"/usr/bin/python{version}",
        ]

    return command


@pytest.fixture(params=OTHERS)
def interpreter(request: pytest.FixtureRequest, folder: Path, unavailable: Unavailable) -> list[str]:
    """Return the command of an interpreter: this host's, or Debian's, unpacked beside it."""
    version: str = request.param
    native = installed(version)
    if native:
        return native
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "onpanic" / "emulators"
    unpacked_in = Path(os.environ.get("ONPANIC_EMULATORS") or cache)
    return unpacked(version, unpacked_in, unavailable)(folder)


@pytest.mark.timeout(600)
def test_the_quick_tests_pass(
    interpreter: list[str], wheel: Path, run: Run, unavailable: Unavailable, folder: Path
) -> None:
    """They run in a folder with a short name: a socket's path has at most 107 bytes."""
    on_it = partial(run, *interpreter, cwd=ROOT)
    version = on_it("-c", "import sys; print(*sys.version_info[:2], sep='.')").stdout.strip()
    abis = (f"cp{version.replace('.', '')}", "abi3", "none")
    site = folder / "site"
    done = run(
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--target", site),
        "--no-compile",  # it would be for the Python that runs pip
        *("--python-version", version, "--implementation", "cp", "--only-binary", ":all:"),
        *(word for abi in abis for word in ("--abi", abi)),
        *(word for platform in PLATFORMS for word in ("--platform", platform)),
        *(f"{wheel}[matrix,prometheus,terminal,xml]", *TESTING),
        cwd=folder,
    )
    if done.returncode:
        unavailable(f"pip has nothing for Python {version}: {done.stderr.strip().splitlines()[-1:]}")
    done = on_it(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", QUICK, f"--basetemp={folder / 'base'}"),
        *(word for path in SOURCE_ONLY for word in ("--ignore", path)),
        *("--hypothesis-profile", "short"),
        *(["tests"] if version == NEWEST else BETWEEN),
        PYTHONPATH=str(site),
        HYPOTHESIS_STORAGE_DIRECTORY=str(folder / "hypothesis"),
        CI="",
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
