"""Single packages of a Debian suite, of any architecture, without what they depend on."""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from onpanic.core.errors import FetchError
from onpanic.matrix.sources import apt_sources

__all__ = ("unpack_packages",)

#: What a kernel is split into; the packages that only name the newest kernel depend on them.
_PARTS = re.compile(r"Depends: (linux-(?:image|binary|modules)-\S+)")

# Seconds that a program may take
_DEADLINE = 300


def unpack_packages(
    suite: str, architecture: str, packages: Sequence[str], members: Sequence[str], into: Path
) -> None:
    """Download packages of a suite, and the packages that a kernel consists of, and unpack some members.

    :param suite: One of `apt_sources.SUITES`.
    :param architecture: Debian's name of it.
    :param packages: Names of binary packages.
    :param members: Patterns of the members to unpack, as tar has them.
    :param into: An existing folder.
    :raise FetchError: When a program fails.
    """
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".fetching-") as scratch:
        work = Path(scratch)
        work.chmod(0o755)  # apt downloads as its own user if root runs it
        for folder in ("state", "lists/partial", "cache", "debs/partial", "log"):
            (work / folder).mkdir(parents=True)
        (work / "debs").chmod(0o777)
        (work / "status").touch()
        foreign = f'APT::Architecture "{architecture}";\nAPT::Architectures {{ "{architecture}"; }};\n'
        (work / "apt.conf").write_text(apt_sources.APT_CONF + foreign)
        sources = apt_sources.pockets(apt_sources.read_mirror(), suite)
        try:
            _download(work, sources, packages)
        except FetchError:  # a mirror need not have the updates of all architectures
            _download(work, {suite: sources[suite]}, packages)
        for deb in sorted((work / "debs").glob("*.deb")):
            _unpack(deb, members, into)


def _download(work: Path, sources: dict[str, apt_sources.AptSource], packages: Sequence[str]) -> None:
    """Fill ``work/debs``."""
    (work / "debian.sources").write_text(apt_sources.sources_text(sources))
    _apt(work, "apt-get", "update")
    wanted, leaves = list(packages), set[str]()
    while wanted:  # a package that only names others has nothing to unpack
        parts = _PARTS.findall(_apt(work, "apt-cache", "depends", package := wanted.pop()))
        wanted += parts
        leaves |= set() if parts else {package}
    for half in (work / "debs").glob("*.deb"):
        half.unlink()
    _apt(work, "apt-get", "download", *sorted(leaves), folder=work / "debs")


def _unpack(deb: Path, members: Sequence[str], into: Path) -> None:
    """Unpack some members of a package."""
    plain = ["--no-same-owner", "--no-same-permissions", "--wildcards", "-C", str(into)]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as get:
        # tar fails if a pattern has no match in this package
        subprocess.run(
            ["tar", "-x", *plain, *members],
            stdin=get.stdout,
            stderr=subprocess.DEVNULL,
            timeout=_DEADLINE,
            check=False,
        )
    if get.returncode:
        raise FetchError(f"{deb.name} cannot be unpacked", "check that the disk has room")


def _apt(work: Path, program: str, *words: str, folder: Path | None = None) -> str:
    command = [program, *apt_sources.apt_command(work, *words)[1:]]
    done = subprocess.run(
        command, cwd=folder or work, capture_output=True, text=True, timeout=_DEADLINE, check=False
    )
    if done.returncode:
        raise FetchError(
            f"{program} {words[0]} failed: {done.stderr.strip()[-300:]}",
            "check the network and the host's apt sources",
        )
    return done.stdout
