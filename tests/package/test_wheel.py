"""The built wheel, in environments that hold nothing else."""

import json
import shlex
import shutil
import subprocess
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from onpanic.core.version import __version__
from onpanic.probe.testing import QEMU_7_2

pytestmark = pytest.mark.package

Run = Callable[..., subprocess.CompletedProcess[str]]
Environment = Callable[..., Path]
SAMPLES = Path(__file__).parent.parent.parent / "docs" / "samples"

STRICT_PROJECT = """
[pytest]
addopts = --strict-markers --strict-config
filterwarnings = error
"""
DOMAIN = """
<domain type='qemu'><name>guest</name><os><type arch='x86_64' machine='pc'>hvm</type></os>
<on_panic>restart</on_panic><on_crash>destroy</on_crash><devices/></domain>
"""
WATCH = ["watch", "--once", "--qmp", "guest.qmp", "--on-panic", "pause"]
#: What each command needs that is not in the core, and the package that it misses first.
NEEDS = [
    (["to-libvirt", "domain.xml"], "xml", "lxml"),
    (["to-libvirt", "--connect", "test:///default", "domain.xml"], "libvirt", "libvirt-python"),
    (["from-libvirt", "domain.xml"], "xml", "lxml"),
    (["domcaps"], "libvirt", "libvirt-python"),
    (["probe", "--domain", "guest"], "libvirt", "libvirt-python"),
    (["status", "--domain", "guest"], "libvirt", "libvirt-python"),
    (["status", "--qmp", "guest.qmp"], "xml", "lxml"),
    (["resume", "--domain", "guest"], "libvirt", "libvirt-python"),
    (["matrix", "build", "records", "-o", "out"], "matrix", "packaging"),
    (["watch", "--once"], "watch", "libvirt-python"),
    (WATCH, "watch", "lxml"),
    ([*WATCH, "--metrics-listen", "0"], "prometheus", "prometheus-client"),
]


def test_a_project_that_only_has_it_installed(environment: Environment, run: Run, tmp_path: Path) -> None:
    """Its pytest turns warnings into errors, and knows nothing of onpanic."""
    (tmp_path / "pytest.ini").write_text(STRICT_PROJECT)
    (tmp_path / "test_foreign.py").write_text("def test_it():\n    assert 1 + 1 == 2\n")
    done = run(environment("", "pytest") / "python", "-m", "pytest", "-v", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "onpanic-" in done.stdout  # the plug-in was loaded
    assert "1 passed" in done.stdout


def test_a_project_that_uses_the_plugin(
    environment: Environment, run: Run, emulator: str, tmp_path: Path
) -> None:
    (tmp_path / "pytest.ini").write_text(STRICT_PROJECT)
    shutil.copy(SAMPLES / "pytest" / "test_guest_panic.py", tmp_path)
    python = environment("", "pytest") / "python"
    done = run(python, "-m", "pytest", "--onpanic-emulator", emulator, cwd=tmp_path)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("how", [["onpanic"], ["python", "-m", "onpanic"]], ids=" ".join)
def test_the_version(how: list[str], environment: Environment, run: Run, tmp_path: Path) -> None:
    """The command, the module, the library and the metadata have the same one."""
    bin_ = environment()
    done = run(bin_ / how[0], *how[1:], "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"onpanic {__version__}\n", "")
    script = "import importlib.metadata as m, onpanic.probe as p; print(p.__version__, m.version('onpanic'))"
    assert run(bin_ / "python", "-c", script, cwd=tmp_path).stdout.split() == [__version__] * 2


def test_the_core(environment: Environment, run: Run, emulator: str, tmp_path: Path) -> None:
    """It probes, decides, checks and explains with its two libraries."""
    command = environment() / "onpanic"
    done = run(command, "probe", "--format", "json", emulator, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["machines"][0]["facts"]["cont-after-panic"]["answer"] == "yes"
    (tmp_path / "record.json").write_text(done.stdout)
    assert (
        run(command, "accept", "pause", "--record", "record.json", cwd=tmp_path).stdout
        == "accepted (by the isa notifier)\n"
    )
    assert run(command, "check", "-q", emulator, cwd=tmp_path).returncode == 0
    assert "explain" in run(command, "--help", cwd=tmp_path).stdout
    assert run(command, "explain", "no-way-back", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("extra", "packages"),
    [("", "core qmp probe check"), ("all", "core qmp probe check shims why watch run matrix cli")],
    ids=["core", "all"],
)
def test_every_module_is_there(
    extra: str, packages: str, environment: Environment, run: Run, tmp_path: Path
) -> None:
    """Also those that nothing has imported yet.  Each can be imported first."""
    script = """
import importlib, os, pkgutil, sys
import pytest_onpanic
modules = []
for name in sys.argv[1:]:
    package = importlib.import_module("onpanic." + name)
    modules += [name for _, name, _ in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in modules:
    if name.endswith("__main__"):
        continue
    child = os.fork()
    if not child:
        for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] == "onpanic"]:
            del sys.modules[loaded]
        importlib.import_module(name)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(name)
"""
    python = environment(extra, "pytest") / "python"
    done = run(python, "-W", "error", "-c", script, *packages.split(), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("words", "extra", "package"), NEEDS, ids=str)
def test_a_command_whose_extra_is_missing(
    words: list[str], extra: str, package: str, environment: Environment, run: Run, tmp_path: Path
) -> None:
    """It ends with a line that says what is missing, and one that names the extra that is enough."""
    (tmp_path / "domain.xml").write_text(DOMAIN)
    done = run(environment() / "onpanic", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    missing, hint = done.stderr.splitlines()
    assert missing == f"onpanic: {package} is not installed"
    assert hint.startswith(f"onpanic: hint: install it with {environment()}/python")  # not another one's pip
    assert hint.endswith(f" -m pip install 'onpanic[{extra}]'")


def test_the_oldest_dependencies(environment: Environment, run: Run, emulator: str, tmp_path: Path) -> None:
    """The core works with them, and a file that is invalid is not an internal error."""
    metadata = tomllib.loads((SAMPLES.parent.parent / "pyproject.toml").read_text("utf-8"))
    required = [one.partition(",")[0].replace(" >= ", "==") for one in metadata["project"]["dependencies"]]
    command = environment("", *required) / "onpanic"
    done = run(command, "check", emulator, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "known.toml").write_text("[[expect]]\ntag = 1\n")
    done = run(command, "check", "--expect", "known.toml", emulator, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("onpanic: known.toml: not an expectation file")
    (tmp_path / "record.json").write_text("{")
    done = run(command, "accept", "pause", "--record", "record.json", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_library_whose_extra_is_missing(environment: Environment, run: Run, tmp_path: Path) -> None:
    script = """
import asyncio
from onpanic.probe import MissingExtraError, Policy
from onpanic.watch import Settings, watch_domains, watch_monitors
def extra(function):
    try:
        function()
    except MissingExtraError as error:
        return error.hint
import onpanic.shims
print(extra(lambda: onpanic.shims.to_libvirt))
print(extra(lambda: onpanic.shims.extend))
print(extra(lambda: asyncio.run(watch_domains(None, Settings(), print))))
print(extra(lambda: asyncio.run(watch_monitors(["qmp"], Policy("pause"), Settings(), print))))
"""
    done = run(environment() / "python", "-c", script, cwd=tmp_path)
    extras = [hint.partition("[")[2].partition("]")[0] for hint in done.stdout.splitlines()]
    assert extras == ["xml", "libvirt", "watch", "watch"], done.stderr


def test_without_rich_there_are_no_progress_bars(
    environment: Environment, run: Run, emulator: str, tmp_path: Path
) -> None:
    """That is not an error, not even on a terminal."""
    shutil.which("script") or pytest.skip("no script(1) here")
    command = f"{environment() / 'onpanic'} probe --machine pc --machine isapc --introspect-only {emulator}"
    done = run("script", "-qec", command, "/dev/null", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "Traceback" not in done.stdout
    assert "isapc" in done.stdout


@pytest.mark.parametrize(
    ("extra", "words", "said"),
    [
        (
            "xml",
            ["to-libvirt", "--record", "record.json", "--libvirt-version", "9.0.0", "domain.xml"],
            "<panic",
        ),
        ("libvirt", ["domcaps", "--connect", "test:///default"], ""),
        ("matrix", ["matrix", "show", "--arch", "avr"], "qemu-system-avr"),
        ("watch", ["watch", "--once", "--qmp", "guest.qmp", "--on-panic", "pause"], "watching"),
        ("terminal", ["--version"], "onpanic"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_each_extra_is_enough(
    extra: str, words: list[str], said: str, environment: Environment, run: Run, emulator: str, tmp_path: Path
) -> None:
    bin_ = environment(extra)
    (tmp_path / "domain.xml").write_text(DOMAIN)
    if "record.json" in words:
        (tmp_path / "record.json").write_text(
            run(bin_ / "onpanic", "probe", "--format", "json", emulator, cwd=tmp_path).stdout
        )
    done = run(bin_ / "onpanic", *words, cwd=tmp_path, XDG_STATE_HOME=str(tmp_path))
    assert "not installed" not in done.stderr
    assert "onpanic: internal error" not in done.stderr
    assert said in done.stdout


def test_a_matrix_is_built_from_what_the_wheel_has(
    environment: Environment, run: Run, tmp_path: Path
) -> None:
    """Page, scripts, style and schemas are in it, and so is an emulator to play."""
    command = environment("matrix") / "onpanic"
    played = [str(command.parent / "python"), *QEMU_7_2.command()[1:]]
    emulator = tmp_path / "qemu-system-x86_64"
    emulator.write_text(f'#!/bin/sh\nexec {shlex.join(played)} "$@"\n')
    emulator.chmod(0o755)
    done = run(command, "matrix", "collect", "-q", "-o", "records", emulator, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert run(command, "matrix", "build", "-q", "records", "-o", "out", cwd=tmp_path).returncode == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"matrix.json", "MATRIX.md", "index.html"}


def test_what_is_in_the_wheel(wheel: Path) -> None:
    """Every package says that it has types, the data is there, and nothing else is."""
    names = set(zipfile.ZipFile(wheel).namelist())
    packages = ("core", "qmp", "probe", "check", "shims", "why", "watch", "run", "matrix", "fleet", "cli")
    assert {f"onpanic/{package}/py.typed" for package in packages} <= names
    assert {"pytest_onpanic.py", "onpanic/__main__.py", "onpanic/matrix/matrix.json"} <= names
    assert [name for name in names if name.endswith(".schema.json")]
    assert [name for name in names if name.endswith(".html.j2")]
    assert "onpanic/__init__.py" not in names
    tops = {name.partition("/")[0] for name in names}
    shared = f"onpanic-{__version__}.data"
    assert tops == {"onpanic", "pytest_onpanic.py", f"onpanic-{__version__}.dist-info", shared}
    share = Path(__file__).parents[2] / "cli/share"
    files = {str(path.relative_to(share)) for path in share.rglob("*") if path.is_file()}
    assert {name for name in names if name.startswith(shared)} == {f"{shared}/data/share/{f}" for f in files}


def test_manual_pages_and_completion_are_installed(environment: Environment) -> None:
    """They are below the prefix, where man and shells look for them."""
    share = environment().parent / "share"
    completion = ("bash-completion/completions/onpanic", "fish/vendor_completions.d/onpanic.fish")
    for name in (
        "man/man1/onpanic.1",
        "man/man5/onpanic-record.5",
        *completion,
        "zsh/site-functions/_onpanic",
    ):
        assert (share / name).is_file(), name
