"""The libvirt of an unpacked Debian suite, run in a root of its own by bubblewrap; nothing is installed.

The daemon runs in libvirt's session mode, as an unprivileged user, and starts the suite's own
emulators::

    root = fetch("trixie", [*PACKAGES, *LIBVIRT_PACKAGES], into=Path("suites"))
    with libvirt_of(root) as daemon:
        connection = libvirt.open(daemon.uri)
"""

import contextlib
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from onpanic.core.errors import FetchError
from onpanic.matrix.sources.debian_suites import Root
from onpanic.matrix.sources.host_tools import deferred_signals

__all__ = (
    "LIBVIRT_PACKAGES",
    "NOBODY",
    "SuiteLibvirt",
    "accepts_connections",
    "daemon_command",
    "daemon_environment",
    "last_lines",
    "libvirt_of",
    "make_daemon_folder",
    "socket_in",
)

#: What `libvirt_of` needs beside an emulator's package.
LIBVIRT_PACKAGES: tuple[str, ...] = (
    "libvirt-daemon",
    "libvirt-daemon-driver-qemu",
    "libvirt-clients",
    "util-linux",  # setpriv
)

#: The user and the group that the daemon runs as if root starts it: nobody, nogroup.
NOBODY = 65534

_DAEMON, _SETPRIV = "usr/sbin/libvirtd", "usr/bin/setpriv"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Seconds that the daemon may take to accept connections, and to be gone when it is killed
_START, _END = 60.0, 30.0


@dataclass(frozen=True)
class SuiteLibvirt:
    """A running libvirt of a Debian suite.

    :ivar uri: Its connection URI.
    :ivar folder: The daemon's private folder.  It has the same path for the daemon and its guests, which see
        no other folder of the host, so disks of guests belong here.
    """

    uri: str
    folder: Path


@contextlib.contextmanager
def libvirt_of(root: Root, *, seconds: float = _START) -> Iterator[SuiteLibvirt]:
    """Run a suite's libvirt until the context is left.

    The daemon and its guests have their own root, PID namespace and network.  They are killed at exit,
    and also when the thread that entered the context ends, even by SIGKILL (``PR_SET_PDEATHSIG``,
    prctl(2)).  Their folder is removed at exit.

    :param root: A suite that was fetched with `LIBVIRT_PACKAGES`.
    :param seconds: How long the daemon may take to accept connections.
    :raise FetchError: When the suite lacks a package, or the daemon does not start; the message contains the
        last lines that it printed.
    """
    # A socket's path has room for 107 bytes, and libvirt's are up to 60 bytes longer than the folder's
    place = tempfile.gettempdir() if len(tempfile.gettempdir()) <= 30 else "/tmp"  # noqa: S108
    with tempfile.TemporaryDirectory(prefix="onpanic-", dir=place, ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        make_daemon_folder(root, folder)
        with (folder / "log").open("wb") as log, _sandbox(root, folder, log.fileno()) as daemon:
            deadline = time.monotonic() + seconds
            while not accepts_connections(folder):
                ended = daemon.poll() is not None
                if ended or time.monotonic() > deadline:
                    what = "ended" if ended else f"does not accept connections after {seconds:g} s"
                    raise FetchError(
                        f"libvirtd of {root.suite} {what}: {last_lines(folder / 'log')}",
                        "check that bwrap can create namespaces here, and remove the suite to fetch it again",
                    )
                time.sleep(0.01)
            yield SuiteLibvirt(f"qemu+unix:///session?socket={socket_in(folder)}", folder)


def make_daemon_folder(root: Root, folder: Path) -> None:
    """Fill a daemon's private folder: its configuration, users, and the paths of its emulators.

    An emulator has the same path for the daemon, where the suite's ``/usr`` is bound to it, and outside,
    where it is a script that starts the emulator.  So what libvirt says about an emulator can be used
    outside.

    :param root: A suite that was fetched with `LIBVIRT_PACKAGES`.
    :param folder: An empty folder.
    :raise FetchError: When the suite lacks a package.
    """
    for program in (_DAEMON, _SETPRIV):
        if not (root.path / program).is_file():
            raise FetchError(
                f"/{program} is not in the {root.suite} that was fetched",
                f"fetch {' '.join(LIBVIRT_PACKAGES)}",
            )
    # libvirt looks up itself and its clients
    users = {0: ("root", 0), NOBODY: ("nobody", NOBODY)}
    users.setdefault(os.geteuid(), ("onpanic", os.getegid()))
    files = {
        "libvirt/qemu.conf": 'stdio_handler = "file"\n',  # there is no virtlogd
        "libvirtd.conf": "",
        "etc/passwd": "".join(f"{n}:x:{uid}:{gid}::{folder}:/bin/sh\n" for uid, (n, gid) in users.items()),
        "etc/group": "".join(f"{n}:x:{gid}:\n" for n, gid in users.values()),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    emulators = _emulators(folder)
    emulators.mkdir(parents=True)
    for name in root.emulators():
        script = emulators / name
        script.write_text(f'#!/bin/sh\nexec {shlex.join(root.command(name))} "$@"\n', "utf-8")
        script.chmod(0o755)
    for path in (folder, folder / "libvirt") if os.geteuid() == 0 else ():
        os.chown(path, NOBODY, NOBODY)


def daemon_command(
    root: Root, folder: Path, *, shared: bool = False, options: tuple[str, ...] = ()
) -> list[str]:
    """Return the command that runs a suite's libvirtd; its environment is `daemon_environment`.

    :param root: The suite.
    :param folder: The daemon's folder, see `make_daemon_folder`.
    :param shared: Whether the daemon shares the host's processes, network and temporary folder, so that
        guests survive it, and their PIDs are those of the host.
    :param options: Further options of bwrap.
    """
    usr = str(root.path / "usr")
    # What bwrap makes itself is accessible to root only, before version 0.9
    parents = [
        word for path in reversed(folder.parents[:-1]) for word in ("--perms", "0755", "--dir", str(path))
    ]
    links = [
        word for name in ("bin", "sbin", "lib", "lib64") for word in ("--symlink", f"usr/{name}", f"/{name}")
    ]
    host = ["--dev", "/dev", "--dev-bind-try", "/dev/kvm", "/dev/kvm", "--ro-bind", "/sys", "/sys"]
    if shared:
        temporary = tempfile.gettempdir()
        host += ["--bind", "/proc", "/proc", "--bind", temporary, temporary]
    else:
        host += ["--unshare-pid", "--proc", "/proc", "--unshare-net", "--unshare-ipc"]
        host += ["--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108
    words = [
        "bwrap",
        *options,
        "--die-with-parent",
        "--perms",
        "0755",
        "--tmpfs",
        "/",
        "--ro-bind",
        usr,
        "/usr",
    ]
    words += [*links, *host, *parents, "--bind", str(folder), str(folder)]
    words += ["--ro-bind", str(folder / "etc"), "/etc", "--ro-bind", usr, str(_emulators(folder).parent)]
    words += ["--perms", "1777", "--dir", "/var/tmp"]  # noqa: S108
    if os.geteuid() == 0:
        identity = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all"]
        words += [f"/{_SETPRIV}", *identity, "--pdeathsig=KILL"]  # bwrap's is lost with the change
    return [*words, f"/{_DAEMON}", "-f", str(folder / "libvirtd.conf")]


def daemon_environment(folder: Path) -> dict[str, str]:
    """Return the environment of a daemon."""
    names = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")
    return {
        **dict.fromkeys(names, str(folder)),
        "PATH": f"{_emulators(folder)}:{os.environ.get('PATH', '')}:{_PATH}",
        "LC_ALL": "C.UTF-8",
    }


def socket_in(folder: Path) -> Path:
    """Return the socket of the daemon that uses a folder."""
    return folder / "libvirt/libvirt-sock"


def accepts_connections(folder: Path) -> bool:
    """Return whether the daemon that uses a folder accepts connections."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1.0)
        client.connect(str(socket_in(folder)))
        return True
    return False


def last_lines(log: Path) -> str:
    """Return what a daemon printed last, in one line."""
    lines = log.read_text("utf-8", errors="replace").strip().splitlines()
    return " / ".join(lines[-2:]) or "it printed nothing"


@contextlib.contextmanager
def _sandbox(root: Root, folder: Path, log: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon in its own PID namespace, and kill everything in it at exit.

    :raise FetchError: When bwrap cannot be started.
    """
    reading, writing = os.pipe()
    with contextlib.ExitStack() as at_exit:
        at_exit.callback(os.close, reading)
        with deferred_signals():  # an exception within Popen would lose the process
            try:
                bwrap = subprocess.Popen(
                    daemon_command(root, folder, options=("--info-fd", str(writing))),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    env=daemon_environment(folder),
                    pass_fds=[writing],
                    process_group=0,  # Ctrl-C must not end the daemon before its user
                )
            except OSError as error:
                raise FetchError(f"bwrap: {error.strerror}", "apt-get install bubblewrap") from error
            finally:
                os.close(writing)
            at_exit.callback(_end, bwrap, reading)
        yield bwrap


def _end(bwrap: subprocess.Popen[bytes], info: int) -> None:
    """Kill bwrap, with everything in its PID namespace.

    :param info: Where bwrap writes the PID of the first process (``--info-fd``).
    """
    try:
        _kill_first_process(bwrap, info)
    finally:
        bwrap.kill()
        bwrap.wait(_END)


def _kill_first_process(bwrap: subprocess.Popen[bytes], info: int) -> None:
    """Kill the first process of bwrap's PID namespace, and wait until bwrap has reaped it.

    The kernel kills all others before (pid_namespaces(7)).  If bwrap itself were killed, nothing would show
    when they are gone.
    """
    if not select.select([info], [], [], _END)[0] or not (text := os.read(info, 65536)):
        return  # bwrap ended before it had created the namespace
    with contextlib.suppress(ProcessLookupError, ValueError, subprocess.TimeoutExpired):
        os.kill(json.loads(text)["child-pid"], signal.SIGKILL)
        bwrap.wait(_END)


def _emulators(folder: Path) -> Path:
    """Return the folder of the emulators' paths, see `make_daemon_folder`."""
    return folder / "suite/bin"
