"""The RPM packages, built from the sdist, and installed in an empty root.

Debian's rpm builds them.  What Fedora has besides it is played: its macros, and systemd.
"""

import gzip
import importlib.util
import os
import re
import subprocess
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from onpanic.core.version import __version__

from ..running.packages import PACKAGE_VERSION
from ..running.rpm_build import SPEC, build_rpms, missing_programs, query, rpm_tool
from ..running.rpm_macros import SITE
from ..running.rpm_root import RpmRoot

pytestmark = pytest.mark.package

Unavailable = Callable[[str], NoReturn]
ROOT = SPEC.parent.parent
SHARE = ROOT / "cli" / "share"
UNIT = "/usr/lib/systemd/system/onpanic-watch.service"
SETTINGS = "/etc/onpanic/watch.toml"
EXTRAS = ("libvirt", "matrix", "prometheus", "terminal", "watch", "xml")
PACKAGES = {
    "onpanic",
    "onpanic-doc",
    "onpanic-watch",
    "python3-onpanic",
    *(f"python3-onpanic+{extra}" for extra in EXTRAS),
}
#: What the build requires; it imports every module.
BUILD_MODULES = (
    "hatchling",
    "jinja2",
    "libvirt",
    "lxml",
    "packaging",
    "platformdirs",
    "prometheus_client",
    "rich",
)
SECTIONS = (
    *("package", "description", "prep", "generate_buildrequires", "build", "install", "check"),
    *("post", "preun", "postun", "files", "changelog"),
)
DIRECTIVES = ("config", "dir", "doc", "ghost", "license")
#: Folders of others' packages, in which ours have files.
SHARED_FOLDERS = {
    "/usr/lib/systemd/system",
    SITE,
    "/usr/share/bash-completion/completions",
    "/usr/share/doc",
    "/usr/share/fish/vendor_completions.d",
    "/usr/share/licenses",
    "/usr/share/man/man1",
    "/usr/share/man/man5",
    "/usr/share/zsh/site-functions",
    "/etc",
}


@pytest.fixture(scope="session")
def rpms(sdist: Path, tmp_path_factory: pytest.TempPathFactory, unavailable: Unavailable) -> dict[str, Path]:
    """Return the packages by name; the source package is "src"."""
    if missing := missing_programs(("rpm", "rpmbuild", "rpmlint", "bwrap")):
        unavailable(f"not installed: {' '.join(missing)}")
    for module in BUILD_MODULES:
        if importlib.util.find_spec(module) is None:
            unavailable(f"not installed: {module}, which the build requires")
    built = build_rpms(sdist, tmp_path_factory.mktemp("rpms"))
    return {
        "src" if path.name.endswith(".src.rpm") else query(path, "%{NAME}", "--qf")[0]: path for path in built
    }


@pytest.fixture
def root(tmp_path: Path, unavailable: Unavailable) -> RpmRoot:
    if os.geteuid():
        unavailable("rpm --root needs root")
    folder = tmp_path / "root"
    folder.mkdir()
    return RpmRoot(folder)


@pytest.fixture
def installed(root: RpmRoot, rpms: dict[str, Path]) -> RpmRoot:
    """Return a root in which all packages are installed."""
    root.rpm("-U", "--nodeps", *(path for name, path in rpms.items() if name != "src"))
    return root


def test_the_spec_file_is_parsed(tmp_path: Path, unavailable: Unavailable) -> None:
    """No macro that it uses is left as it is."""
    if missing := missing_programs(("rpmspec",)):
        unavailable(f"not installed: {' '.join(missing)}")
    done = rpm_tool("rpmspec", "-P", SPEC, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(re.findall(r"%\{?\??(\w+)", done.stdout)) <= {*SECTIONS, *DIRECTIVES}
    done = rpm_tool("rpmspec", "-q", "--qf", r"%{NAME}\n", SPEC, folder=tmp_path)
    assert set(done.stdout.split()) == PACKAGES


def test_rpmlint_finds_nothing(rpms: dict[str, Path], tmp_path: Path) -> None:
    config = SPEC.with_name("rpmlint.toml")
    words = [str(word) for word in ("rpmlint", "--config", config, SPEC, *rpms.values())]
    environment = {**os.environ, "HOME": str(tmp_path)}  # it writes there
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "0 errors, 0 warnings" in done.stdout


def test_what_the_packages_require(rpms: dict[str, Path]) -> None:
    """The command needs two libraries; each extra of the wheel is a package with its own."""

    def required(name: str) -> set[str]:
        own = f" = {PACKAGE_VERSION}-1"
        lines = {line.removesuffix(own) for line in query(rpms[name], "--requires")}
        return {
            re.sub(r"python3\.\d+dist", "python3dist", line)
            for line in lines
            if not line.startswith("rpmlib(")
        }

    assert set(rpms) == {*PACKAGES, "src"}
    assert required("onpanic") == {"python3-onpanic", "/usr/bin/python3"}
    library = required("python3-onpanic") - {f"python(abi) = {SITE.split('/')[3].removeprefix('python')}"}
    assert library == {
        "python3dist(msgspec) >= 0.19",
        "(python3dist(qemu-qmp) < 0.1 with python3dist(qemu-qmp) >= 0.0.4)",
    }
    assert {"onpanic", "python3-onpanic+watch", "systemd"} <= required("onpanic-watch")
    assert required("onpanic-doc") == set()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert {*EXTRAS} == {*extras} - {"all", "dev"}
    for extra in EXTRAS:
        found = {line.replace(" ", "") for line in required(f"python3-onpanic+{extra}")}
        names = (re.sub(r"([\w-]+) *(.*)", r"python3dist(\1)\2", one) for one in extras[extra])
        assert {"python3-onpanic", *(name.replace(" ", "") for name in names)} <= found
    assert {"python3dist(hatchling)", "python3dist(lxml) >= 4.9"} <= required("src")


def test_the_hints_name_packages() -> None:
    """Each extra has the command that installs it, and what it names is built."""
    hints = tomllib.loads(SPEC.with_name("extras.toml").read_text("utf-8"))
    assert set(hints) == {*EXTRAS, "all"}
    for extra in EXTRAS:
        assert hints[extra] == f"dnf install python3-onpanic+{extra}"


def test_each_file_is_in_one_package(rpms: dict[str, Path]) -> None:
    """Folders are, too, and only a package of an extra may name another's metadata."""
    lines = [
        line
        for name in PACKAGES
        for line in query(rpms[name], r"[%{FILENAMES} %{FILEFLAGS:fflags}\n]", "--qf")
    ]
    owned = Counter(line.split(" ")[0] for line in lines if "g" not in line.split(" ")[1])
    assert [name for name, times in owned.items() if times > 1] == []
    folders = {str(Path(name).parent) for name in owned}
    assert folders - set(owned) <= {*SHARED_FOLDERS, "/usr/bin", "/usr/lib/python3"}
    settings = [line.split(" ")[1] for line in lines if line.startswith(f"{SETTINGS} ")]
    assert settings == ["cn"]


def test_the_command_runs(rpms: dict[str, Path], root: RpmRoot) -> None:
    """The two packages are enough for it."""
    root.rpm("-U", "--nodeps", rpms["onpanic"], rpms["python3-onpanic"])
    assert root.path("/usr/bin/onpanic").read_text().startswith("#!/usr/bin/python3 ")
    done = root.run("onpanic", "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"onpanic {__version__}\n", "")
    assert "no-way-back" in root.run("onpanic", "explain", "no-way-back").stdout
    record = ROOT / "compat-matrix/records/qemu-system-x86_64-1.5.3.json"
    done = root.run("onpanic", "accept", "default", "--record", "record.json", files={"record.json": record})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("accepted")


def test_a_command_that_lacks_a_library(rpms: dict[str, Path], root: RpmRoot) -> None:
    """It names the package that has what it needs."""
    root.rpm("-U", "--nodeps", rpms["onpanic"], rpms["python3-onpanic"])
    done = root.run("onpanic", "to-libvirt", "guest.xml", files={"guest.xml": ROOT / "docs/guest.xml"})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "onpanic: lxml is not installed",
        "onpanic: hint: install it with dnf install python3-onpanic+xml",
    ]


def test_what_shells_and_man_read(installed: RpmRoot) -> None:
    """Each is where Fedora's programs look for it, and as it is in the wheel."""
    for path in sorted(SHARE.rglob("*")):
        there = installed.path(f"/usr/share/{path.relative_to(SHARE)}")
        if path.is_file() and path.parent.name.startswith("man"):
            assert gzip.decompress(there.with_name(f"{there.name}.gz").read_bytes()) == path.read_bytes()
        elif path.is_file():
            assert there.read_bytes() == path.read_bytes()


def test_the_unit_is_the_sample(installed: RpmRoot) -> None:
    """Its command is in the package onpanic, and nothing tells to copy it."""
    sample = (ROOT / "docs/samples/systemd/onpanic-watch.service").read_text("utf-8")
    unit = installed.path(UNIT).read_text("utf-8")
    assert unit.splitlines()[1:] == sample.splitlines()[1:]
    assert "Copy" not in unit
    (command,) = re.findall(r"^ExecStart=(\S+) watch .*--config (\S+)", unit, re.MULTILINE)
    assert installed.rpm("-qf", "--qf", r"%{NAME}\n", command[0]) == ["onpanic"]
    assert installed.rpm("-qf", "--qf", r"%{NAME}\n", command[1]) == ["onpanic-watch"]
    drop_ins = list(installed.path("/usr/share/doc/onpanic-watch").rglob("*.conf"))
    assert drop_ins
    assert not [one for one in drop_ins if "/opt/" in one.read_text("utf-8")]


def test_the_documentation_is_complete(installed: RpmRoot) -> None:
    """Links from a page to another, to a sample or to a picture lead to files that are there."""
    folder = installed.path("/usr/share/doc/onpanic-doc")
    found = 0
    for page in (folder / "docs").rglob("*.md"):
        for link in re.findall(r"\]\(([\w./-]+)(?:#[\w-]*)?\)", page.read_text("utf-8")):
            target = Path(os.path.normpath(page.parent / link))
            if target.is_relative_to(folder / "docs"):
                assert target.exists(), f"{page.relative_to(folder)}: {link}"
                found += 1
    assert found > 100
    assert not (folder / "docs/conf.py").exists()  # how Sphinx builds the site
    assert not [path for path in folder.rglob("*") if path.is_file() and path.stat().st_mode & 0o111]


def test_what_systemd_is_told(installed: RpmRoot, rpms: dict[str, Path]) -> None:
    """The preset decides at first, and settings survive an update, which restarts the service."""
    assert installed.asked_of_systemctl() == ["--no-reload preset onpanic-watch.service"]
    installed.path(SETTINGS).write_text("grace = 5.0\n", "utf-8")
    installed.rpm("-U", "--nodeps", "--replacepkgs", rpms["onpanic-watch"])
    assert installed.path(SETTINGS).read_text("utf-8") == "grace = 5.0\n"
    assert installed.asked_of_systemctl() == ["try-restart onpanic-watch.service"]
    installed.rpm("-e", "--nodeps", "onpanic-watch")
    assert installed.asked_of_systemctl() == ["--no-reload disable --now onpanic-watch.service"]
    assert installed.path(f"{SETTINGS}.rpmsave").read_text("utf-8") == "grace = 5.0\n"


def test_nothing_is_left(installed: RpmRoot) -> None:
    """Only folders of the distribution's are."""
    assert UNIT in installed.new_paths()
    installed.rpm("-e", "--nodeps", *PACKAGES)
    above = {str(parent) for folder in SHARED_FOLDERS for parent in Path(folder).parents}
    assert installed.new_paths() <= SHARED_FOLDERS | above
