"""Fetching from a mirror on this host: intact, truncated, modified, or signed with another key."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import NoReturn

import pytest

from onpanic.core.errors import FetchError
from onpanic.matrix.sources.apt_sources import AptSource, Mirror
from onpanic.matrix.sources.debian_suites import Root, fetch

pytestmark = pytest.mark.processes

SUITE = "bullseye"
PACKAGES = ("dash", "qemu-system")
DEB = "pool/qemu-system_1.0_all.deb"


class Archive:
    """A Debian archive of two packages, signed with a key of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keyring = folder / "key.gpg"
        self._home = folder / "gnupg"
        self._home.mkdir(mode=0o700, parents=True)
        self._gpg("--quick-gen-key", "archive", "rsa2048", "sign", "never")
        self.keyring.write_bytes(self._gpg("--export"))
        (folder / "pool").mkdir()
        self._publish("".join(map(self._package, PACKAGES)).encode())

    def _package(self, name: str) -> str:
        """Create a package of one program; return its entry in the list of packages."""
        content = self.folder / name
        (content / "DEBIAN").mkdir(parents=True)
        (content / "usr/bin").mkdir(parents=True)
        program = content / "usr/bin" / ("dash" if name == "dash" else "qemu-system-x86_64")
        program.write_text("#!/bin/sh\nexit 1\n")
        program.chmod(0o755)
        control = f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody\nDescription: one\n"
        (content / "DEBIAN/control").write_text(control)
        deb = self.folder / f"pool/{name}_1.0_all.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-b", content, deb],
            check=True,
            capture_output=True,
            timeout=60,
        )
        data = deb.read_bytes()
        sums = f"Size: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
        return f"{control}Filename: pool/{deb.name}\n{sums}\n"

    def _publish(self, packages: bytes) -> None:
        """Write the list of packages and a signed release file."""
        dist = self.folder / "dists" / SUITE
        name = f"main/binary-{_architecture()}/Packages"
        (dist / name).parent.mkdir(parents=True)
        (dist / name).write_bytes(packages)
        release = (
            f"Origin: Debian\nSuite: {SUITE}\nCodename: {SUITE}\nDate: {formatdate(usegmt=True)}\n"
            f"Architectures: {_architecture()}\nComponents: main\nSHA256:\n"
            f" {hashlib.sha256(packages).hexdigest()} {len(packages)} {name}\n"
        )
        (dist / "Release").write_text(release)
        self._gpg("--clearsign", "-o", str(dist / "InRelease"), str(dist / "Release"))

    def _gpg(self, *words: str) -> bytes:
        quiet = ["--batch", "--passphrase", "", "--pinentry-mode", "loopback"]
        command = ["gpg", "--homedir", str(self._home), *quiet, *words]
        return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self._home), "--kill", "all"], check=False, timeout=60)


def _architecture() -> str:
    return subprocess.check_output(["dpkg", "--print-architecture"], text=True, timeout=60).strip()


@pytest.fixture
def archive(folder: Path, unavailable: Callable[[str], NoReturn]) -> Iterator[Archive]:
    """Yield an archive."""
    for tool in ("gpg", "dpkg-deb", "apt-get", "bwrap"):
        shutil.which(tool) or unavailable(f"no {tool} here")
    folder.chmod(0o755)  # apt reads it as its own user
    made = Archive(folder / "archive")
    yield made
    made.close()


def fetch_from(archive: Archive, into: Path) -> Root:
    source = AptSource(f"file://{archive.folder}", (SUITE,), ("main",), str(archive.keyring))
    return fetch(SUITE, ["qemu-system"], into=into, mirror=Mirror(source, None))


def test_a_signed_suite_is_unpacked(archive: Archive, tmp_path: Path) -> None:
    """Its programs can be executed."""
    root = fetch_from(archive, tmp_path / "suites")
    assert root.programs() == ["qemu-system-x86_64"]
    assert os.access(root.path / "usr/bin/qemu-system-x86_64", os.X_OK)


def half_a_package(archive: Archive) -> None:
    path = archive.folder / DEB
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def another_package(archive: Archive) -> None:
    path = archive.folder / DEB
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))


def no_package(archive: Archive) -> None:
    (archive.folder / DEB).unlink()


def half_a_list(archive: Archive) -> None:
    for path in (archive.folder / "dists").rglob("Packages*"):
        path.write_bytes(path.read_bytes()[:100])


def another_release(archive: Archive) -> None:
    path = archive.folder / "dists" / SUITE / "InRelease"
    path.write_text(path.read_text().replace("Origin: Debian", "Origin: debian"))


def no_release(archive: Archive) -> None:
    shutil.rmtree(archive.folder / "dists")


def another_key(archive: Archive) -> None:
    other = Archive(archive.folder.parent / "other")
    archive.keyring.write_bytes(other.keyring.read_bytes())
    other.close()


@pytest.mark.parametrize(
    "harm",
    [
        half_a_package,
        another_package,
        no_package,
        half_a_list,
        another_release,
        no_release,
        another_key,
    ],
    ids=lambda harm: harm.__name__,
)
def test_nothing_is_left_of_a_mirror_that_cannot_be_trusted(
    archive: Archive, tmp_path: Path, harm: Callable[[Archive], None]
) -> None:
    """The error has apt's own message, and no file is left."""
    harm(archive)
    with pytest.raises(FetchError, match=r"^apt-get failed: .*\n") as caught:
        fetch_from(archive, tmp_path / "suites")
    assert len(str(caught.value).splitlines()) == 2
    assert list((tmp_path / "suites").iterdir()) == []
