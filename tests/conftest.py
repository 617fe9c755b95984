"""What tests of several modules share: the command, who survives, a libvirt, other Debians' QEMUs."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import settings

from onpanic.matrix.debian import PACKAGES, FetchError, Root, fetch
from onpanic.probe.testing import PlayedEmulator

settings.register_profile("onpanic", deadline=None)  # no test asserts a duration
settings.load_profile("onpanic")

#: Who runs the tests' libvirtd where root runs the tests.
NOBODY = 65534

#: One suite has the emulators of all architectures; they are large.
FULL_SUITE = "trixie"
FOREIGN = tuple(f"qemu-system-{name}" for name in ("arm", "misc", "ppc", "riscv", "s390x"))


@pytest.fixture(scope="session")
def unavailable() -> Callable[[str], NoReturn]:
    """Give a function that ends a test for which something is missing here.

    It skips with the reason given; where the environment variable CI is set, it fails.
    """

    def end(reason: str) -> NoReturn:
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)

    return end


@pytest.fixture(scope="session")
def onpanic() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Give a function that runs the command in a process of its own."""

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "onpanic", *words],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, **environment},
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def complaint(onpanic: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., str]:
    """Give a function that runs ``onpanic probe``, which has to fail, and returns what it says.

    That is a line, and maybe a hint.
    """

    def run(*words: str, **environment: str) -> str:
        done = onpanic("probe", *words, **environment)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        lines = done.stderr.splitlines()
        assert len(lines) in (1, 2)
        assert lines[0].startswith("onpanic: ")
        assert all(line.startswith("onpanic: hint: ") for line in lines[1:])
        return lines[0].removeprefix("onpanic: ")

    return run


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a word that every process carries that the test starts, in its environment."""
    word = f"mark-{uuid.uuid4().hex}"
    monkeypatch.setenv("ONPANIC_TEST_MARK", word)
    return word


@pytest.fixture(scope="session")
def processes() -> Callable[[str], dict[int, str]]:
    """Give a function that finds processes by a word in their command line or environment."""

    def find(word: str) -> dict[int, str]:
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            if int(process.name) == os.getpid():
                continue
            try:
                line = (process / "cmdline").read_bytes()
                if word.encode() in line + (process / "environ").read_bytes():
                    found[int(process.name)] = line.replace(b"\0", b" ").decode(errors="replace")[:80]
            except OSError:
                continue  # it has ended, or is somebody else's
        return found

    return find


@pytest.fixture(scope="session")
def survivors(processes: Callable[[str], dict[int, str]]) -> Callable[[str], dict[int, str]]:
    """Give a function that returns who carries a word still, after five seconds, and kills them."""

    def find(word: str) -> dict[int, str]:
        deadline = time.monotonic() + 5
        while (found := processes(word)) and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in found:
            os.kill(pid, 9)
        return found

    return find


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder with a short name: a socket's path has room for 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="onpanic-") as name:
        yield Path(name)


class Guest:
    """A running guest with a monitor at `path` and another at `port`, and a third that is watched."""

    def __init__(self, emulator: str, folder: Path, *options: str) -> None:
        self.path, watched = folder / "asked", folder / "watched"
        unix = [word for p in (self.path, watched) for word in ("-qmp", f"unix:{p},server=on,wait=off")]
        tcp = ["-chardev", "socket,id=tcp,host=127.0.0.1,port=0,server=on,wait=off"]
        quiet = ["-display", "none", "-nodefaults", "-m", "16"]
        self.process = subprocess.Popen(
            [emulator, *quiet, *unix, *tcp, "-mon", "chardev=tcp,mode=control", *options],
            stdin=subprocess.DEVNULL,
        )
        self.events: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(60)
        while self.process.poll() is None:
            with suppress(OSError):
                self._socket.connect(str(watched))
                break
        self._lines = self._socket.makefile()
        assert "QMP" in json.loads(self._lines.readline())
        self.ask("qmp_capabilities")
        name = next(c["filename"] for c in self.ask("query-chardev") if c["label"] == "tcp")
        self.port = int(name.split(",")[0].rpartition(":")[2])

    def ask(self, command: str, **arguments: Any) -> Any:
        """Return the answer; events that come before it are kept."""
        self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            message = json.loads(self._lines.readline())
            if "event" not in message:
                return message["return"]
            self.events.append(message["event"])

    @property
    def status(self) -> str:
        return str(self.ask("query-status")["status"])

    def end(self) -> None:
        self._lines.close()
        self._socket.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def guest(folder: Path, unavailable: Callable[[str], NoReturn]) -> Iterator[Callable[..., Guest]]:
    """Give a function that starts a guest, with the options given."""
    emulator = shutil.which("qemu-system-x86_64") or unavailable("no qemu-system-x86_64 here")
    started: list[Guest] = []

    def start(*options: str) -> Guest:
        started.append(Guest(emulator, folder, *options))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture
def played(folder: Path) -> Iterator[Callable[[PlayedEmulator], str]]:
    """Give a function that plays a guest, and returns the address of its monitor."""
    with ExitStack() as stack:
        yield lambda emulator: stack.enter_context(_monitor(emulator, folder))


@contextmanager
def _monitor(emulator: PlayedEmulator, folder: Path) -> Iterator[str]:
    """Give a played emulator's monitor an address; clients are served one after the other."""
    path = folder / "played"
    command = [*emulator.command(), "-device", "pvpanic,id=notifier"]
    with (
        socket.socket(socket.AF_UNIX) as listener,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
    ):
        assert process.stdin
        assert process.stdout
        greeting = process.stdout.readline()
        clients: list[socket.socket] = []

        def speak() -> None:
            assert process.stdout
            for line in process.stdout:
                with suppress(OSError):
                    clients[-1].sendall(line)
            with suppress(OSError):
                clients[-1].shutdown(socket.SHUT_RDWR)  # it hangs up

        def listen() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client, suppress(OSError):
                    clients.append(client)
                    client.sendall(greeting)
                    while data := client.recv(65536):
                        assert process.stdin
                        process.stdin.write(data)
                        process.stdin.flush()

        listener.bind(str(path))
        listener.listen()
        threads = [threading.Thread(target=work, daemon=True) for work in (speak, listen)]
        for thread in threads:
            thread.start()
        try:
            yield str(path)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            process.kill()
            with suppress(BrokenPipeError):  # what it did not read
                process.stdin.close()
            for thread in threads:
                thread.join()


@pytest.fixture
def test_driver(libvirt: Any) -> Iterator[Any]:
    """Return a connection to libvirt's test driver; a domain called guest is gone afterwards."""
    with closing(libvirt.open("test:///default")) as found:
        yield found
        with suppress(libvirt.libvirtError):
            found.lookupByName("guest").undefine()


@pytest.fixture(scope="session")
def libvirt(unavailable: Callable[[str], NoReturn]) -> Any:
    """libvirt's module, with an event loop running."""
    try:
        import libvirt
        import libvirt_qemu  # noqa: F401
    except ImportError as error:
        unavailable(str(error))
    libvirt.registerErrorHandler(lambda *_: None, None)
    libvirt.virEventRegisterDefaultImpl()

    def serve() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=serve, daemon=True).start()
    return libvirt


@pytest.fixture(scope="session")
def libvirtd(unavailable: Callable[[str], NoReturn]) -> Callable[[], AbstractContextManager[str]]:
    """Give a function that starts a daemon of its own, and ends it: a context with its connection URI.

    Root's daemon would want a user and a network set up for it, anybody else's does not.
    """
    program = shutil.which("libvirtd", path=os.environ["PATH"] + ":/usr/sbin") or unavailable(
        "no libvirtd here"
    )
    shutil.which("qemu-system-x86_64") or unavailable("no qemu-system-x86_64 here")

    @contextmanager
    def serve() -> Iterator[str]:
        with tempfile.TemporaryDirectory(prefix="onpanic-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            (folder / "libvirt").mkdir()
            (folder / "libvirt/qemu.conf").write_text('stdio_handler = "file"\n')  # no virtlogd
            (folder / "libvirtd.conf").touch()
            root = os.geteuid() == 0
            for path in (folder, folder / "libvirt"):
                os.chown(path, NOBODY if root else -1, -1)
            homes = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"), name)
            with (folder / "log").open("wb") as log:
                daemon = subprocess.Popen(
                    [program, "-f", str(folder / "libvirtd.conf"), "--timeout", "60"],
                    stdin=subprocess.DEVNULL,
                    stderr=log,
                    env={**os.environ, **homes},
                    user=NOBODY if root else None,
                    extra_groups=[] if root else None,
                )
            path = folder / "libvirt/libvirt-sock"
            try:
                while not _listens(path):
                    if daemon.poll() is not None:
                        unavailable(f"libvirtd ended: {(folder / 'log').read_text()}")
                    time.sleep(0.01)
                yield f"qemu+unix:///session?socket={path}"
            finally:
                daemon.terminate()
                daemon.wait()

    return serve


def _listens(path: Path) -> bool:
    with suppress(OSError), socket.socket(socket.AF_UNIX) as one:
        one.connect(str(path))
        return True
    return False


@pytest.fixture(scope="session")
def uri(libvirt: Any, libvirtd: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The connection URI of a daemon that serves all tests."""
    with libvirtd() as found:
        held = libvirt.open(found)
        yield found
        held.close()


@pytest.fixture
def connection(libvirt: Any, uri: str) -> Iterator[Any]:
    found = libvirt.open(uri)
    yield found
    for domain in found.listAllDomains():
        with suppress(libvirt.libvirtError):
            domain.destroy()
        with suppress(libvirt.libvirtError):
            domain.undefine()
    found.close()


@pytest.fixture(scope="session")
def debian_root(unavailable: Callable[[str], NoReturn]) -> Callable[[str], Root]:
    """Give a function from a suite's name to its unpacked emulators, fetched if need be.

    They are kept in the folder that the environment variable ONPANIC_EMULATORS names, or
    in a cache folder.
    """

    @cache
    def fetched(suite: str) -> Root | FetchError:
        packages = PACKAGES + FOREIGN if suite == FULL_SUITE else PACKAGES
        try:
            return fetch(suite, packages, into=_folder())
        except FetchError as error:
            return error

    def root(suite: str) -> Root:
        found = fetched(suite)
        if isinstance(found, FetchError):
            unavailable(f"no emulators of {suite}: {' / '.join(str(found).splitlines())}")
        return found

    return root


@pytest.fixture(scope="session")
def debian_emulator(debian_root: Callable[[str], Root]) -> Callable[..., list[str]]:
    """Give a function ``debian_emulator(suite, name="qemu-system-x86_64")`` to a command."""

    def command(suite: str, name: str = "qemu-system-x86_64") -> list[str]:
        return debian_root(suite).command(name)

    return command


def _folder() -> Path:
    named = os.environ.get("ONPANIC_EMULATORS")
    if named:
        return Path(named)
    cache_home = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache_home) if cache_home else Path.home() / ".cache") / "onpanic" / "emulators"
