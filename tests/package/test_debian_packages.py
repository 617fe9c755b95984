"""The Debian packages: built, checked, installed, tested and purged in clean roots."""

import fcntl
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest

from onpanic.core.errors import FetchError, FileError

from ..running.control_groups import may_make_control_groups
from ..running.debian_builds import ROOT, SOURCES, build_debs, build_requirements, lint, pack_sources
from ..running.debian_root import DebianRoot, open_root, root_archive

pytestmark = pytest.mark.package

SUITE = "trixie"
#: The root in which the packages are tested: it has no Python module but Python's own.
TESTBED = (
    *("autopkgtest", "fish", "libvirt-clients", "libvirt-daemon-system", "man-db", "qemu-system-x86"),
    *("systemd", "zsh"),
)
#: What the packages or their tests depend on.
MODULES = (
    *("python3-all", "python3-jinja2", "python3-libvirt", "python3-lxml", "python3-msgspec"),
    *("python3-packaging", "python3-platformdirs", "python3-prometheus-client", "python3-pytest"),
    *("python3-qemu-qmp", "python3-rich"),
)
OURS = ("onpanic", "onpanic-doc", "onpanic-watch", "python3-onpanic")
#: What no two builds may take from the one who builds.
ANOTHER = {"TZ": "Pacific/Chatham", "LANG": "tr_TR.UTF-8", "LC_ALL": "", "DEB_BUILD_OPTIONS": "nocheck"}

#: Folders of files that only note what was installed, or last until the next start; and those of the test.
ASIDE = (
    *(
        "/dev",
        "/exchange",
        "/proc",
        "/run",
        "/tmp",
        "/tree",
        "/var/cache/apt",
        "/var/cache/libvirt",
        "/var/cache/man",
        "/var/lib/apt",
    ),
    *("/var/lib/dpkg", "/var/log"),
)
#: What a command that misses Debian's packages prints.
MISSING = [
    "onpanic: libvirt-python is not installed",
    "onpanic: hint: install it with apt install python3-libvirt python3-lxml",
]
#: What autopkgtest takes for a tree that was built, by its debian/files.
TREE = f"mkdir /tree; tar -xf /exchange/{SOURCES} -C /tree debian; touch /tree/debian/files"
#: What a watcher that ran leaves, and an administrator who changed something.
USE = """
mkdir -p /var/lib/onpanic/0123456789ab /var/lib/onpanic/dumps /var/cache/onpanic
touch /var/lib/onpanic/0123456789ab/guest.json /var/cache/onpanic/onpanic.prom
sed -i 's/^dumps = .*/dumps = 3/' /etc/onpanic/watch.toml
systemctl --root=/ enable onpanic-watch.service
"""

Unavailable = Callable[[str], NoReturn]


class Built(NamedTuple):
    """The packages of two builds, and what lintian prints."""

    first: Path
    second: Path
    lintian: Path


@pytest.fixture(scope="session")
def archive(unavailable: Unavailable) -> Callable[..., Path]:
    """Return a function that returns the archive of a root."""

    def make(*packages: tuple[str, ...] | list[str]) -> Path:
        try:
            return root_archive(SUITE, *packages)
        except FetchError as error:
            unavailable(f"no root of {SUITE}: {' / '.join(str(error).splitlines())}")

    return make


@pytest.fixture(scope="session")
def built(
    archive: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory, unavailable: Unavailable
) -> Built:
    """Build the packages twice; the processes that run the tests share them."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "debian-packages"
    made = Built(folder / "first", folder / "second", folder / "lintian")
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.lintian.exists():
            for one in (made.first, made.second):
                one.mkdir(exist_ok=True)
            try:
                pack_sources(made.first)
            except FileError as error:
                unavailable(str(error))
            shutil.copy(made.first / SOURCES, made.second)
            root_of = archive(build_requirements())
            with open_root(root_of, made.first) as root:
                build_debs(root)
                said = lint(root)
            with open_root(root_of, made.second) as root:
                build_debs(root, "/build/of-another/user", ["-b"], umask=0o077, **ANOTHER)
            made.lintian.write_text(said, "utf-8")
    return made


def test_lintian_has_nothing_to_say(built: Built) -> None:
    """About the source package and the binary ones; what is overridden has a reason beside it."""
    assert built.lintian.read_text("utf-8") == ""


def test_two_builds_have_the_same_bytes(built: Built) -> None:
    first, second = ({path.name: path.read_bytes() for path in one.glob("*.deb")} for one in built[:2])
    assert {name.partition("_")[0] for name in first} == set(OURS)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_installing_testing_and_purging(built: Built, archive: Callable[..., Path]) -> None:
    """The packages' own tests pass, with as few other packages as possible and with all; nothing is left.

    Where systemd can run, it runs as on a host: installing the service does not start it, and purging it
    stops it.
    """
    boot = may_make_control_groups()
    names = {path.name.partition("_")[0]: f"/exchange/{path.name}" for path in built.first.glob("*.deb")}
    with open_root(archive(TESTBED, MODULES), built.first, boot=boot) as root:
        root.must("sh", "-ec", TREE)
        install(root, names["onpanic"], names["python3-onpanic"])
        assert root.run("onpanic", "status", "--domain", "guest").stdout.splitlines() == MISSING
        assert autopkgtest(root, "--test-name=command") == {"command": "PASS"}
        root.must("apt-get", "--yes", "purge", "onpanic", "python3-onpanic")
        install(root, *MODULES)
        before = files(root)
        install(root, *names.values())
        assert root.must("man", "--where", "onpanic-watch.toml").endswith("onpanic-watch.toml.5.gz\n")
        root.must("sh", "-ec", USE)
        root.must("systemctl", "--root=/", "disable", "onpanic-watch.service")
        control = (ROOT / "debian/tests/control").read_text("utf-8")
        tests = re.findall(r"^Tests: (\S+)$", control, re.MULTILINE)
        without = [] if boot else ["panic"]
        results = autopkgtest(root, *(f"--skip-test={name}" for name in without))
        assert results == {name: "PASS" for name in tests if name not in without}
        root.must("touch", "/var/lib/onpanic/dumps/guest.elf")
        root.must("apt-get", "--yes", "purge", *OURS)
        kept = {f"/var/lib/onpanic{name}" for name in ("", "/dumps", "/dumps/guest.elf")}
        assert files(root) ^ before == kept


def install(root: DebianRoot, *packages: str) -> None:
    """Install packages, from the archives that the root has."""
    root.must("apt-get", "--quiet", "--yes", "--no-install-recommends", "install", *packages)


def autopkgtest(root: DebianRoot, *options: str) -> dict[str, str]:
    """Run the tests of the installed packages; return the result of each."""
    words = ("autopkgtest", *options, "--ignore-restrictions=isolation-container", "--no-built-binaries")
    done = root.run(*words, "/tree/", "--", "null")
    summary = done.stdout.partition("@@@ summary")[2]
    results = dict(re.findall(r"^(\S+) +(PASS|FAIL|SKIP|FLAKY)\b", summary, re.MULTILINE))
    if set(results.values()) != {"PASS"}:
        pytest.fail(done.stdout[-6000:], pytrace=False)
    return results


def files(root: DebianRoot) -> set[str]:
    """Return the paths of the root's files."""
    aside = [word for path in ASIDE for word in ("-path", path, "-o")]
    return set(
        root.must("find", "/", "-xdev", "(", *aside, "-false", ")", "-prune", "-o", "-print").splitlines()
    )
