"""QEMU emulators of other Debian suites, unpacked beside the host's; nothing is installed.

Debian's own tools do the work, and none of them needs root: ``apt-get`` with a state of its own
resolves, downloads and verifies the packages, ``dpkg-deb`` and ``tar`` unpack them, ``bwrap`` runs
the emulators.  The mirror and its keyring are the host's, see `apt_sources`::

    root = fetch("trixie", into=Path("emulators"))
    subprocess.run([*root.command("qemu-system-x86_64"), "-machine", "help"])
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from onpanic.core.errors import FetchError, MissingExtraError
from onpanic.core.json_decoding import decode_json
from onpanic.matrix.sources import apt_sources
from onpanic.matrix.sources.apt_sources import SUITES, AptSource, Mirror, read_mirror
from onpanic.matrix.sources.host_tools import HostTools, Tools

__all__ = ("ALL_PACKAGES", "PACKAGES", "SUITES", "Root", "default_folder", "fetch", "unpacked")

#: The default of `fetch`.  Others: qemu-system-arm, -misc, -ppc, -riscv, -s390x.
PACKAGES: tuple[str, ...] = ("qemu-system-x86",)

#: The package that depends on the packages of all architectures.
ALL_PACKAGES: tuple[str, ...] = ("qemu-system",)

_STAMP = ".onpanic-root.json"

# Packages need not depend on a shell (Debian Policy 3.8), and 7.2's qemu-system-i386 is a script
_SHELL = "dash"

# Seconds that each program may take
_UPDATE, _DOWNLOAD, _UNPACK = 180.0, 1800.0, 120.0

_MAX_LINKS = 8  # that are followed from one name


@dataclass(frozen=True)
class Root:
    """An unpacked suite.

    :ivar path: The folder that the emulators see as ``/``.
    :ivar suite: One of `SUITES`.
    """

    path: Path
    suite: str

    def emulators(self) -> list[str]:
        """Return the names of the emulators, sorted: ``["qemu-system-i386", …]``.

        Some are links to others, such as ``qemu-system-ppc64le``, and Debian's own names for
        architectures, such as ``qemu-system-amd64``.  Links to missing files are left out.
        """
        found = self.path.glob("usr/bin/qemu-system-*")
        return sorted(path.name for path in found if self._exists(path))

    def programs(self) -> list[str]:
        """Return the names of the emulators without links to others, sorted."""
        return [name for name in self.emulators() if not (self.path / "usr/bin" / name).is_symlink()]

    def command(self, emulator: str) -> list[str]:
        """Return the command that runs an emulator; append QEMU's own arguments.

        Standard input and output, and every descriptor that the caller passes on (``pass_fds``), reach
        the emulator under the same numbers.  If the emulator is killed by signal N, bwrap exits with
        128 + N, as a shell would.  The emulator is killed when the thread that started bwrap ends
        (``--die-with-parent``, prctl(2)).

        :param emulator: A name from `emulators`.
        :raise FetchError: When the suite has no such emulator.
        """
        if emulator not in self.emulators():
            raise FetchError(
                f"{emulator} is not among the emulators fetched from {self.suite}",
                "fetch the package that has it, such as qemu-system-misc",
            )
        binds = ["--ro-bind", str(self.path), "/"]
        fresh = ["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]  # noqa: S108
        # Some builds have no other accelerator than KVM
        limits = ["--dev-bind-try", "/dev/kvm", "/dev/kvm", "--unshare-net", "--die-with-parent"]
        return ["bwrap", *binds, *fresh, *limits, f"/usr/bin/{emulator}"]

    def package_version(self, package: str) -> str:
        """Return the version of a package that was unpacked; empty if it was not."""
        stamp = _stamp(self)
        return stamp.versions.get(package, "") if stamp else ""

    def _exists(self, path: Path) -> bool:
        """Return whether a path leads to a file; an absolute link is relative to this root."""
        for _ in range(_MAX_LINKS):
            if not path.is_symlink():
                return path.is_file()
            target = path.readlink()
            base = self.path if target.is_absolute() else path.parent
            path = base / str(target).lstrip("/")
        return False


class _Stamp(msgspec.Struct, frozen=True):
    """The stamp file of an unpacked suite.

    :param suite: One of `SUITES`.
    :param packages: The packages that were requested, without dependencies.
    :param read: The suites that the packages come from, such as ``bookworm-security``.
    :param versions: All unpacked packages, with their versions.
    """

    suite: str
    packages: list[str]
    read: list[str] = []
    versions: dict[str, str] = {}


def default_folder() -> Path:
    """Return the folder that suites are unpacked in by default, in the user's cache.

    :raise MissingExtraError: When platformdirs is not installed.
    """
    try:
        from platformdirs import user_cache_path
    except ImportError as error:
        raise MissingExtraError("platformdirs", "matrix") from error

    return user_cache_path("onpanic") / "suites"


def fetch(
    suite: str,
    packages: Sequence[str] = PACKAGES,
    *,
    into: Path,
    mirror: Mirror | None = None,
    tools: Tools | None = None,
) -> Root:
    """Fetch packages of a suite, with everything that they depend on, into the folder ``into/suite``.

    Returns at once if they are there.  Packages that were fetched before are kept, and fetched again
    beside the missing ones.  Remove the folder to get newer versions.

    :param suite: One of `SUITES`.
    :param packages: Names of binary packages.
    :param into: The folder of all suites; it is created if necessary.
    :param mirror: Where to get them from; None for the host's mirror.
    :param tools: The programs to use; None for the host's.
    :raise FetchError: When a program is missing, fails or takes too long, when the suite has no such
        package, or when ``into/suite`` holds something else.  What was there before is unchanged.
    """
    if suite not in SUITES:
        raise FetchError(f"no suite named {suite}", f"choose from {', '.join(SUITES)}")
    tools = tools or HostTools()
    tools.require()
    root = Root(into.resolve() / suite, suite)
    try:
        wanted = set(packages)
        if root.path.exists() and any(root.path.iterdir()):
            present = _fetched_packages(root)
            if wanted <= present:
                return root
            wanted |= present
        mirror = mirror or read_mirror()
        root.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root.path.parent, prefix=".fetching-") as scratch:
            work = Path(scratch)
            work.chmod(0o755)  # apt downloads as its own user if root runs it
            try:
                _make_root(work, mirror, suite, sorted(wanted), tools)
            except FetchError as error:
                raise FetchError(mirror.redact(error.message), mirror.redact(error.hint)) from None
            _replace(root.path, work / "root", work / "old")
    except OSError as error:
        hint = "check that the folder may be written to and that the disk has room"
        raise FetchError(str(error), hint) from error
    return root


def unpacked(suite: str, into: Path) -> Root:
    """Return a suite that was fetched before.

    :param into: The folder of all suites.
    :raise FetchError: When it was not fetched.  It is not fetched now, which would take minutes.
    """
    root = Root(into.resolve() / suite, suite)
    if not root.path.exists():
        raise FetchError(
            f"{suite} is not in {into}",
            f"python3 -m onpanic.matrix.debian {suite} --package {ALL_PACKAGES[0]} fetches it",
        )
    return root


def _fetched_packages(root: Root) -> set[str]:
    """Return the packages that were fetched into a folder, without their dependencies."""
    stamp = _stamp(root)
    if stamp is None or stamp.suite != root.suite:
        raise FetchError(
            f"{root.path} exists, but is not an unpacked {root.suite}",
            "move it away or choose another folder",
        )
    return set(stamp.packages)


def _stamp(root: Root) -> _Stamp | None:
    """Return the stamp of an unpacked suite; None if it cannot be read."""
    try:
        return decode_json((root.path / _STAMP).read_bytes(), _Stamp)
    except (OSError, ValueError):
        return None


def _make_root(work: Path, mirror: Mirror, suite: str, packages: list[str], tools: Tools) -> None:
    """Create ``work/root`` with the packages, their dependencies, and the stamp."""
    read = _download(work, mirror, suite, packages, tools)
    versions = _unpack(work, tools)
    stamp = _Stamp(suite, packages, read, versions)
    data = msgspec.json.format(msgspec.json.encode(stamp), indent=1)
    (work / "root" / _STAMP).write_bytes(data + b"\n")


def _download(work: Path, mirror: Mirror, suite: str, packages: list[str], tools: Tools) -> list[str]:
    """Fill ``work/debs``; return the names of the suites that were read."""
    for folder in ("state", "lists/partial", "cache", "debs/partial", "log"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()  # nothing is installed, so that apt fetches every dependency
    (work / "apt.conf").write_text(apt_sources.APT_CONF, "utf-8")
    chosen: dict[str, AptSource] = {}
    for name, source in apt_sources.pockets(mirror, suite).items():
        _write_sources(work, {**chosen, name: source})
        try:
            hint = "check the network and the host's apt sources and keyring"
            tools.run(apt_sources.apt_command(work, "update"), seconds=_UPDATE, hint=hint)
        except FetchError:
            if not chosen:
                raise
            continue  # a suite that has moved to the archives has no updates there
        chosen[name] = source
    _write_sources(work, chosen)
    install = apt_sources.apt_command(work, "-y", "--download-only", "install", _SHELL, *packages)
    tools.run(install, seconds=_DOWNLOAD, hint=f"check that {suite} has all of {' '.join(packages)}")
    return list(chosen)


def _write_sources(work: Path, chosen: dict[str, AptSource]) -> None:
    text = apt_sources.sources_text(chosen)
    (work / "debian.sources").write_text(text, "utf-8", "surrogateescape")


def _unpack(work: Path, tools: Tools) -> dict[str, str]:
    """Unpack ``work/debs`` into ``work/root``; return the version of each package."""
    root = work / "root"
    for name in ("bin", "sbin", "lib", "lib64"):  # merged /usr: new suites need it, old ones work with it
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for name in ("dev", "proc", "tmp"):  # mount points for bwrap
        (root / name).mkdir()
    debs = sorted((work / "debs").glob("*.deb"))
    # No file may be set-user-id, even if root unpacks it
    plain = ["--no-same-owner", "--no-same-permissions"]
    tar = ["tar", "-x", "--keep-directory-symlink", *plain, "-C", str(root)]
    for deb in debs:
        get = ["dpkg-deb", "--fsys-tarfile", str(deb)]
        tools.run(get, tar, seconds=_UNPACK, hint="check that the disk has room")
    shell = root / "usr/bin/sh"
    if not shell.is_symlink():  # up to bookworm, dash's installation script creates it
        shell.symlink_to(_SHELL)
    return dict(apt_sources.deb_version(deb.name) for deb in debs)


def _replace(path: Path, new: Path, old: Path) -> None:
    """Move a folder to a path, and what was there out of the way; undo it if that fails."""
    if path.exists():
        path.rename(old)
    try:
        new.rename(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise
