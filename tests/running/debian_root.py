"""Installed Debian suites: made by mmdebstrap, kept as archives, and unpacked into memory to be used.

A root exists in namespaces of its own: its mounts, its processes and its files end with the process that
opened it, whatever ends that.  It has no network: what may be installed later is downloaded when it is made.
systemd can run in it, as in a container.
"""

import fcntl
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from onpanic.core.errors import FetchError
from onpanic.matrix.sources import apt_sources

from .control_groups import control_group
from .emulators import emulators_folder

__all__ = ("BACKPORTS", "PROGRAMS", "USER", "DebianRoot", "open_root", "root_archive")

#: What this needs of a host: the programs, and Debian's package of each.
PROGRAMS = {"bwrap": "bubblewrap", "mmdebstrap": "mmdebstrap", "nsenter": "util-linux", "tar": "tar"}

#: The user and group without privileges.
USER = 1000

#: The backports of a suite, for what it does not have itself.
BACKPORTS = {"trixie": "trixie-backports"}

# Seconds for making a root, and for one command in it
_MAKE, _RUN = 600, 600

# No translations, no bug scripts, and no time spent on making the disk's contents durable
_LEAN = ("force-unsafe-io", "path-exclude=/usr/share/locale/*", "path-exclude=/usr/share/bug/*")

_ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


def root_archive(suite: str, packages: Sequence[str], later: Sequence[str] = ()) -> Path:
    """Return the archive of a minimal suite with some packages; make it if it is missing.

    :param suite: One of `apt_sources.SUITES`.
    :param packages: Names of packages to install.
    :param later: Names of packages that ``apt-get`` can install in the root, where it has no network.
    :raise FetchError: When a program is missing or fails.
    """
    missing = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
    if missing:
        raise FetchError(f"{', '.join(missing)} not found", f"apt-get install {' '.join(missing)}")
    wanted = json.dumps([suite, sorted(packages), sorted(later), _LEAN])
    folder = emulators_folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder.absolute() / f"debian-{suite}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}.tar"
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test run may want the same
        if not path.exists():
            with tempfile.TemporaryDirectory(prefix="onpanic-") as scratch:
                _make_archive(suite, packages, later, path, Path(scratch))
    return path


def _make_archive(
    suite: str, packages: Sequence[str], later: Sequence[str], path: Path, scratch: Path
) -> None:
    mirror = apt_sources.read_mirror()
    suites = [suite, BACKPORTS[suite]] if suite in BACKPORTS else [suite]
    sources = scratch / "debian.sources"
    sources.write_text(apt_sources.sources_text(dict.fromkeys(suites, mirror.archive)), "utf-8")
    # Proxies, certificates, how old a mirror may be: mmdebstrap does not read the host's
    settings = scratch / "acquire.conf"
    settings.write_text(_run("apt-config", "dump", "Acquire"), "utf-8")
    new = path.with_suffix(f".{os.getpid()}.tar")
    words = [
        *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}"),
        *(f"--aptopt={settings}", *(f"--dpkgopt={option}" for option in _LEAN)),
    ]
    if later:  # the lists, and the packages to be installed later, but not those that are
        words.append("--skip=cleanup/apt")
        download = shlex.join(["apt-get", "--quiet", "--yes", "--download-only", "install", *sorted(later)])
        hook = '--customize-hook=APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" {} >&2'
        words += [hook.format(command) for command in ("apt-get clean", download)]
    words += [suite, str(new), str(sources)]
    try:
        if os.geteuid() == 0:  # in memory: dpkg writes many small files
            mount = 'mkdir "$0"; mount -t tmpfs tmpfs "$0"; TMPDIR="$0" exec "$@"'
            words = [*_UNSHARE, "--pid", "--mount-proc", "sh", "-ec", mount, str(scratch / "tmp"), *words]
        _run(*words, redact=mirror)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


_UNSHARE = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--fork", "--kill-child")


def _run(*words: str, redact: apt_sources.Mirror | None = None) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_MAKE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FetchError(str(error)) from error
    if done.returncode:
        said = " / ".join(done.stderr.split("\n")[-6:])
        raise FetchError(
            f"{words[0]} failed: {redact.redact(said) if redact else said}",
            "check the network and the host's apt sources",
        )
    return done.stdout


class DebianRoot:
    """A root that is open.

    :ivar exchange: A folder of the host, which is ``/exchange`` in the root.
    """

    def __init__(self, pid: int, exchange: Path) -> None:
        self._pid, self.exchange = pid, exchange

    def run(
        self,
        *words: str,
        user: int = 0,
        cwd: str = "/",
        environment: Mapping[str, str] = {},
        seconds: float = _RUN,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command; what it prints on stderr is in ``stdout``, too.

        :param words: Its words.
        :param user: The number of its user and group.
        :param cwd: Its folder in the root.
        :param environment: Variables beside PATH and the locale.
        :param seconds: Its deadline.
        """
        namespaces = ["--user", "--preserve-credentials"] if os.geteuid() else []
        home = {"HOME": "/root" if user == 0 else "/tmp"}
        variables = [f"{name}={value}" for name, value in {**_ENVIRONMENT, **home, **environment}.items()]
        drop = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        return subprocess.run(
            [
                *("setpriv", "--pdeathsig", "KILL", "nsenter", f"--target={self._pid}", *namespaces),
                *("--mount", "--pid", "--net", "--ipc", "--uts", "env", "-i", *variables, *drop),
                *("sh", "-c", 'cd "$0" && exec "$@"', cwd, *words),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )

    def must(self, *words: str, user: int = 0, cwd: str = "/", **environment: str) -> str:
        """Run a command that must succeed; return what it prints.

        :raise AssertionError: When it fails; the message is the end of what it prints.
        """
        done = self.run(*words, user=user, cwd=cwd, environment=environment)
        assert done.returncode == 0, f"{shlex.join(words)[:200]}: {done.returncode}\n{done.stdout[-6000:]}"
        return done.stdout


# systemd's interface for containers; /proc/sys is the host's own.  No timers: what the suite does at midnight
# would come between two looks at the files
_BOOTING = ("--as-pid-1", "--unshare-cgroup", "--ro-bind", "/proc/sys", "/proc/sys", "--tmpfs", "/run")
_BOOT = """
mount -t sysfs -o ro sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /run/systemd/system/timer.d
printf '[Unit]\\nConditionVirtualization=no\\n' >/run/systemd/system/timer.d/never.conf
echo ready
exec env -i container=bwrap /usr/lib/systemd/systemd >/dev/null
"""
# A unit that does not work in a container leaves it degraded
_BOOTED = """
until [ -S /run/systemd/private ]; do sleep 0.1; done
systemctl is-system-running --wait | grep -E 'running|degraded'
"""


@contextmanager
def open_root(archive: Path, exchange: Path, *, boot: bool = False) -> Iterator[DebianRoot]:
    """Unpack a root into memory, where it stays until the context ends.

    :param archive: What `root_archive` returned.
    :param exchange: An existing folder of the host.
    :param boot: Whether systemd is the first process, and has started its units; for this the root needs
        the package, and `may_make_control_groups` must be true.
    """
    group = control_group() if boot else nullcontext("")
    with tempfile.TemporaryDirectory(prefix="onpanic-") as scratch, group as enter:
        place, info = Path(scratch, "root"), Path(scratch, "info")
        place.mkdir()
        unpack = 'mount -t tmpfs -o mode=0755 tmpfs "$0"; tar --exclude="./dev/*" -xf "$1" -C "$0"; shift'
        options = ["--user", "--map-root-user", "--map-auto"] if os.geteuid() else []
        words = [
            *(*_UNSHARE, *options, "sh", "-ec", f'{enter}{unpack}; exec "$@" 3>{info}'),
            *(str(place), str(archive)),
            *("bwrap", "--bind", str(place), "/", "--dev", "/dev", "--proc", "/proc"),
            *("--perms", "1777", "--tmpfs", "/tmp", "--bind", str(exchange), "/exchange"),
            *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--hostname", "debian"),
            *("--die-with-parent", "--cap-add", "ALL", "--info-fd", "3"),
            *((*_BOOTING, "sh", "-ec", _BOOT) if boot else ("sh", "-c", "echo ready; exec sleep infinity")),
        ]
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout
                if process.stdout.readline() != "ready\n":
                    raise FetchError(f"{archive}: cannot be unpacked and entered", "is there memory for it?")
                found = json.loads(info.read_text("utf-8"))
                root = DebianRoot(found["child-pid"], exchange)
                if boot:
                    root.must("sh", "-c", _BOOTED)
                yield root
            finally:
                process.kill()
