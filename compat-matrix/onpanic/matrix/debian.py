"""Fetch another Debian suite's QEMU emulators beside the host's, installing nothing.

Debian's own tools do the work, without root: ``apt-get`` with private state resolves,
downloads and verifies the packages, ``dpkg-deb`` and ``tar`` unpack them, ``bwrap`` runs
them. The mirror and its keyring come from the host's own, see `apt_sources`.

    root = fetch("trixie", into=Path("emulators"))
    subprocess.run([*root.command("qemu-system-x86_64"), "-machine", "help"])

From a shell: ``python -m onpanic.matrix.debian trixie --into emulators``.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import apt_sources
from .apt_sources import SUITES, FetchError, Mirror, Source, read_mirror

__all__ = ["ALL_PACKAGES", "PACKAGES", "SUITES", "FetchError", "Root", "default_folder", "fetch", "main"]

PACKAGES: tuple[str, ...] = ("qemu-system-x86",)
"""What `fetch` gets by default. Others: qemu-system-arm, -misc, -ppc, -riscv, -s390x."""

ALL_PACKAGES: tuple[str, ...] = ("qemu-system",)
"""The package that needs the packages of all architectures."""

_STAMP = ".onpanic-root.json"

# Packages needn't depend on a shell (Debian Policy 3.8), and 7.2's qemu-system-i386 is a script.
_SHELL = "dash"

_TOOLS = {"apt-get": "apt", "dpkg-deb": "dpkg", "tar": "tar", "bwrap": "bubblewrap"}

# Seconds each tool may take.
_UPDATE, _DOWNLOAD, _UNPACK = 180.0, 1800.0, 120.0


@dataclass(frozen=True)
class Root:
    """An unpacked suite.

    :ivar path: The folder that the emulators see as ``/``.
    :ivar suite: One of `SUITES`.
    """

    path: Path
    suite: str

    def emulators(self) -> list[str]:
        """Return the names of the emulators here, sorted: ``["qemu-system-i386", …]``.

        Some are links to others (``qemu-system-ppc64le``, and Debian's own names for
        architectures such as ``qemu-system-amd64``); links to missing files are left out.
        """
        found = self.path.glob("usr/bin/qemu-system-*")
        return sorted(path.name for path in found if self._exists(path))

    def programs(self) -> list[str]:
        """Return the names of the emulators that are not another one by another name, sorted."""
        return [name for name in self.emulators() if not (self.path / "usr/bin" / name).is_symlink()]

    def command(self, emulator: str) -> list[str]:
        """Return the command that runs an emulator; append QEMU's own arguments.

        Standard input and output and every descriptor that the caller passes on (such
        as ``pass_fds``) reach the emulator, under the same numbers. An emulator killed by
        signal N is reported by bwrap as exit code 128 + N, as a shell would. It is ended
        when the thread that started bwrap ends (``--die-with-parent``, prctl(2)).

        :param emulator: A name from `emulators`.
        :raise FetchError: When this suite's folder has no such emulator.
        """
        if emulator not in self.emulators():
            raise FetchError(
                f"{emulator} isn't among the emulators fetched from {self.suite}\n"
                "next: fetch the package that has it, such as qemu-system-misc"
            )
        binds = ["--ro-bind", str(self.path), "/"]
        fresh = ["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]  # noqa: S108
        # Some builds have no other accelerator
        limits = ["--dev-bind-try", "/dev/kvm", "/dev/kvm", "--unshare-net", "--die-with-parent"]
        return ["bwrap", *binds, *fresh, *limits, f"/usr/bin/{emulator}"]

    def _exists(self, path: Path) -> bool:
        # An absolute link means a place in this root, not in the host's.
        for _ in range(8):
            if not path.is_symlink():
                return path.is_file()
            target = path.readlink()
            base = self.path if target.is_absolute() else path.parent
            path = base / str(target).lstrip("/")
        return False


def default_folder() -> Path:
    """Return where suites are unpacked if nothing else is said: in the user's cache."""
    from platformdirs import user_cache_path  # dear to load, and rarely needed

    return user_cache_path("onpanic") / "suites"


def fetch(suite: str, packages: Sequence[str] = PACKAGES, *, into: Path) -> Root:
    """Fetch packages of a suite, and all that they depend on, into the folder ``into/suite``.

    Returns at once when they are there already; packages fetched there before are kept
    (and fetched anew beside the missing ones). Remove the folder to get newer versions.

    :param suite: One of `SUITES`.
    :param packages: Names of binary packages.
    :raise FetchError: When a tool is missing, fails or takes too long, when the suite has
        no such package, or when ``into/suite`` holds something else. Nothing is left behind.
    """
    if suite not in SUITES:
        raise FetchError(f"no suite named {suite}\nnext: choose from {', '.join(SUITES)}")
    _need_tools()
    root = Root(into.resolve() / suite, suite)
    try:
        wanted = set(packages)
        if root.path.exists() and any(root.path.iterdir()):
            have = _read_stamp(root)
            if wanted <= have:
                return root
            wanted |= have
        mirror = read_mirror()
        root.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root.path.parent, prefix=".fetching-") as scratch:
            _fill(Path(scratch), mirror, suite, sorted(wanted))
            _move(Path(scratch), root.path)
    except OSError as error:
        hint = "next: check that the folder may be written to and that the disk has room"
        raise FetchError(f"{error}\n{hint}") from error
    return root


def _need_tools() -> None:
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        wanted = " ".join(_TOOLS[tool] for tool in missing)
        raise FetchError(f"{', '.join(missing)} not found\nnext: apt-get install {wanted}")


def _read_stamp(root: Root) -> set[str]:
    try:
        stamp = json.loads((root.path / _STAMP).read_text())
        if stamp["suite"] == root.suite:
            return set(stamp["packages"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise FetchError(
        f"{root.path} exists, but isn't an unpacked {root.suite}\nnext: move it away or choose another folder"
    )


def _fill(work: Path, mirror: Mirror, suite: str, packages: list[str]) -> None:
    """Make ``work/root``: everything that `packages` need, and the stamp."""
    work.chmod(0o755)  # apt downloads as a user of its own when root runs it
    try:
        read = _download(work, mirror, suite, packages)
        versions = _unpack(work)
    except FetchError as error:
        raise FetchError(mirror.veil(str(error))) from None
    stamp = {"suite": suite, "packages": packages, "read": read, "versions": versions}
    (work / "root" / _STAMP).write_text(json.dumps(stamp, indent=1) + "\n")


def _download(work: Path, mirror: Mirror, suite: str, packages: list[str]) -> list[str]:
    """Fill ``work/debs``; return the names of the suites that were read."""
    for folder in ("state", "lists/partial", "cache", "debs/partial", "log"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()  # nothing is installed, so every dependency is fetched
    (work / "apt.conf").write_text(apt_sources.APT_CONF)
    sources = work / "debian.sources"
    chosen: dict[str, Source] = {}
    for name, source in apt_sources.pockets(mirror, suite).items():
        sources.write_text(apt_sources.sources_text({**chosen, name: source}))
        try:
            hint = "check the network and the host's apt sources and keyring"
            _run(apt_sources.apt_command(work, "update"), seconds=_UPDATE, hint=hint)
        except FetchError:
            if not chosen:
                raise
            continue  # a suite that moved to the archives keeps no updates beside it
        chosen[name] = source
    sources.write_text(apt_sources.sources_text(chosen))
    install = apt_sources.apt_command(work, "-y", "--download-only", "install", _SHELL, *packages)
    _run(install, seconds=_DOWNLOAD, hint=f"check that {suite} has all of {' '.join(packages)}")
    return list(chosen)


def _unpack(work: Path) -> dict[str, str]:
    """Unpack ``work/debs`` into ``work/root``; return the version of each package."""
    root = work / "root"
    for name in ("bin", "sbin", "lib", "lib64"):  # merged /usr: wants both, old suites bear it
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for name in ("dev", "proc", "tmp"):  # what bwrap mounts on
        (root / name).mkdir()
    debs = sorted((work / "debs").glob("*.deb"))
    # Nothing here may be set-user-id, even if root unpacks it.
    plain = ["--no-same-owner", "--no-same-permissions"]
    tar = ["tar", "-x", "--keep-directory-symlink", *plain, "-C", str(root)]
    for deb in debs:
        get = ["dpkg-deb", "--fsys-tarfile", str(deb)]
        _run(get, tar, seconds=_UNPACK, hint="check that the disk has room")
    shell = root / "usr/bin/sh"
    if not shell.is_symlink():  # up to bookworm, dash's installation script made it
        shell.symlink_to(_SHELL)
    return dict(apt_sources.deb_version(deb.name) for deb in debs)


def _move(work: Path, path: Path) -> None:
    """Put ``work/root`` at `path`; what was there goes away with `work`."""
    old = work / "old"
    if path.exists():
        path.rename(old)
    try:
        (work / "root").rename(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise


def _run(*pipeline: list[str], seconds: float, hint: str) -> None:
    """Run commands, each one's output being the next one's input.

    :raise FetchError: When one of them fails, or when they take longer than `seconds`; it
        has the last things that they said, and `hint`.
    """
    deadline = time.monotonic() + seconds
    with tempfile.TemporaryFile() as words, _process_group() as children:
        for command in pipeline:
            last = command is pipeline[-1]
            children.append(
                subprocess.Popen(
                    command,
                    stdin=children[-1].stdout if children else subprocess.DEVNULL,
                    stdout=words if last else subprocess.PIPE,
                    stderr=words,
                    env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
                    process_group=children[0].pid if children else 0,
                )
            )
            if len(children) > 1 and (pipe := children[-2].stdout):
                pipe.close()  # so that a writer sees its reader's end
        try:
            codes = [child.wait(max(0.0, deadline - time.monotonic())) for child in children]
        except subprocess.TimeoutExpired:
            what = f"{pipeline[0][0]} took longer than {seconds:g} s"
            raise FetchError(f"{what}\nnext: {hint}") from None
        if any(codes):
            words.seek(0)
            said = words.read().decode(errors="replace").strip().splitlines()
            tail = [line for line in said if line.startswith("E:")] or said
            what = f"{pipeline[0][0]} failed: {' / '.join(tail[-2:]) or codes}"
            raise FetchError(f"{what}\nnext: {hint}")


@contextmanager
def _process_group() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Give a list for child processes of one process group, and end the group at exit."""
    children: list[subprocess.Popen[bytes]] = []
    try:
        yield children
    finally:
        if any(child.poll() is None for child in children):
            os.killpg(children[0].pid, signal.SIGKILL)
        for child in children:
            if child.stdout is not None:
                child.stdout.close()
            child.wait()


def main(argv: Sequence[str] | None = None) -> int:
    """Fetch suites and print one command line per emulator; return the exit code.

    With ``--run``, be an emulator of a suite that was fetched: ``trixie --run qemu-system-arm -M help``.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    run = words.index("--run") if "--run" in words else len(words)
    names = ", ".join(SUITES)
    parser = argparse.ArgumentParser("python -m onpanic.matrix.debian", description=main.__doc__)
    parser.add_argument("suites", nargs="+", choices=SUITES, metavar="SUITE", help=names)
    parser.add_argument(
        "--into", type=Path, metavar="DIR", help="the suites' folder (default: in your cache)"
    )
    parser.add_argument("--package", action="append", metavar="P", help="may be repeated")
    parser.add_argument("--run", metavar="EMULATOR", help="the rest of the command line is for it")
    options = parser.parse_args(words[: run + 2])
    into = options.into or default_folder()
    try:
        if options.run:
            command = _unpacked(options.suites[0], into).command(options.run)
            os.execvp(command[0], [*command, *words[run + 2 :]])  # noqa: S606  the emulator, and nothing between
        for suite in options.suites:
            root = fetch(suite, options.package or PACKAGES, into=into)
            for emulator in root.emulators():
                sys.stdout.write(shlex.join(root.command(emulator)) + "\n")
    except FetchError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _unpacked(suite: str, into: Path) -> Root:
    """Return a suite that was fetched before: it takes longer than anybody waits for an emulator."""
    root = Root(into.resolve() / suite, suite)
    if not root.path.exists():
        raise FetchError(
            f"{suite} is not in {into}\n"
            f"next: python3 -m onpanic.matrix.debian {suite} --package {ALL_PACKAGES[0]} fetches it"
        )
    return root


if __name__ == "__main__":
    sys.exit(main())
