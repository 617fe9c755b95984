"""Fixtures that several test modules use: the command, guests, libvirt, other Debian suites' emulators."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, settings

from onpanic.core.errors import FetchError
from onpanic.core.libvirt_api import run_event_loop
from onpanic.matrix.debian import Root
from onpanic.probe.testing import PlayedEmulator

from .played.command import CommandLibvirt
from .played.libvirt import PlayedLibvirt
from .running.emulators import suite_root
from .running.guest import Guest, played_monitor
from .running.libvirtd import HOST, HOST_AND_NEWEST, DaemonEndedError, run_libvirtd
from .running.packages import build_packages
from .running.processes import processes_with, survivors_of
from .running.promtool import Promtool, PromtoolMissingError, promtool_path, run_promtool
from .running.shell_blocks import Sandbox

# No test asserts a duration, and no run depends on what another one has found
settings.register_profile(
    "onpanic",
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("onpanic")
# For further interpreters: what is tried is the interpreter, not the rules
settings.register_profile("short", parent=settings.get_profile("onpanic"), max_examples=10)

#: Seconds for a test with a marker instead of the default; the first such test may download something.
DEADLINES = {
    "browser": 300,
    "consumers": 300,
    "emulators": 900,
    "libvirt": 900,
    "package": 900,
    "processes": 300,
    "xen": 900,
}

#: Bytes that must be free in memory for the folders of tests without a marker.
MEMORY = 256 * 2**20

# A selection such as that of ``make quick``, and a module's mark, or the first one
_WITHOUT = re.compile(r"not \((\w+(?: or \w+)*)\)")
_MARK = re.compile(r"^pytestmark = \[?pytest\.mark\.(\w+)", re.MULTILINE)

#: What Python itself ignores, and resets in the processes that it starts.
IGNORED_BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}


def pytest_configure() -> None:
    """Give the processes that tests start the default signal dispositions.

    Under nohup, in the background of a script and in some CI systems signals are ignored, and child
    processes inherit that: a process that SIGINT ends elsewhere would continue to run.
    """
    for number in signal.valid_signals() - IGNORED_BY_PYTHON:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, _DISPOSITIONS.get(number, signal.SIG_DFL))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _outlive(_number: int, _frame: object) -> None:
    """Handle SIGHUP where it was ignored: the tests go on, and their processes get the default."""


_DISPOSITIONS: dict[int, Callable[[int, FrameType | None], Any]] = {
    signal.SIGHUP: _outlive,
    signal.SIGINT: signal.default_int_handler,
}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out a module if its mark deselects all of its tests: reading is faster than importing."""
    without = _WITHOUT.fullmatch(config.option.markexpr)
    if without and collection_path.match("test_*.py"):
        mark = _MARK.search(collection_path.read_text("utf-8"))
        if mark and mark[1] in without[1].split(" or "):
            return True
    return None  # others may leave it out


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test with a marker its deadline, and start with the longest ones, those of the package.

    A process that has run its own tests takes others' last ones; the longest is not to be among them.
    """
    items.sort(key=lambda item: item.get_closest_marker("package") is None)
    for item in items:
        seconds = [DEADLINES[mark.name] for mark in item.iter_markers() if mark.name in DEADLINES]
        if seconds and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(max(seconds)))


@pytest.fixture(scope="session")
def unavailable() -> Callable[[str], NoReturn]:
    """Return a function that ends a test because something is not installed.

    The test is skipped, or fails if the environment variable CI is set.
    """

    def end(reason: str) -> NoReturn:
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)

    return end


@pytest.fixture(scope="session")
def memory() -> Iterator[Path | None]:
    """Return a folder in memory; None where there is none with room, or where no program may be started."""
    place = Path("/dev/shm")
    found = os.statvfs(place) if place.is_dir() and os.access(place, os.W_OK) else None
    if found is None or found.f_flag & os.ST_NOEXEC or found.f_bavail * found.f_frsize < MEMORY:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="onpanic-", dir=place) as name:
        yield Path(name)


@pytest.fixture
def tmp_path(tmp_path: Path, memory: Path | None, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Return an empty folder: pytest's for a test with a marker, and one in memory for others.

    On a disk, replacing a file waits for the contents of the new one, which the watcher does for each step.
    """
    if memory is None or any(mark.name in DEADLINES for mark in request.node.iter_markers()):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="test-", dir=memory) as name:
        yield Path(name)


@pytest.fixture
def sandbox(folder: Path, unavailable: Callable[[str], NoReturn]) -> Callable[..., Sandbox]:
    """Return a function that returns a sandbox with the folders that are its own."""
    if missing := Sandbox.missing():
        unavailable(missing)

    def make(*private: str, binds: Mapping[str, Path] = {}, **programs: str) -> Sandbox:
        made = Sandbox(folder, private, binds)
        made.prepare(**programs)
        return made

    return make


@pytest.fixture(scope="module")
def chromium_folder(unavailable: Callable[[str], NoReturn], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty folder for a Chromium, which is installed."""
    for program in ("chromium", "chromedriver"):
        shutil.which(program) or unavailable(f"no {program}")
    return tmp_path_factory.mktemp("chromium")


@pytest.fixture(scope="session")
def onpanic() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the command in a process of its own."""

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
    """Return a function that runs ``onpanic probe``, which must fail, and returns the error message.

    The output is one line, or two lines if there is a hint.
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


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, unavailable: Callable[[str], NoReturn]) -> Path:
    """Return a folder with the wheel and the sdist."""
    if importlib.util.find_spec("hatchling") is None:
        unavailable("hatchling is not installed")
    folder = tmp_path_factory.mktemp("built")
    build_packages(folder)
    return folder


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def promtool(unavailable: Callable[[str], NoReturn]) -> Promtool:
    """Return a function that runs promtool, which must be content, and returns its output."""
    try:
        return partial(run_promtool, promtool_path())
    except PromtoolMissingError as error:
        unavailable(str(error))


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a word that is in the environment of every process that the test starts."""
    word = f"mark-{uuid.uuid4().hex}"
    monkeypatch.setenv("ONPANIC_TEST_MARK", word)
    return word


@pytest.fixture(scope="session")
def processes() -> Callable[[str], dict[int, str]]:
    """Return a function that finds processes by a word in their command line or environment."""
    return processes_with


@pytest.fixture(scope="session")
def survivors() -> Callable[[str], dict[int, str]]:
    """Return a function that finds, and kills, the processes that still have a word after half a minute."""
    return survivors_of


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder with a short name: a socket's path has room for 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="onpanic-") as name:
        yield Path(name)


@pytest.fixture
def guest(folder: Path, unavailable: Callable[[str], NoReturn]) -> Iterator[Callable[..., Guest]]:
    """Return a function that starts a guest, with the options given."""
    emulator = shutil.which("qemu-system-x86_64") or unavailable("no qemu-system-x86_64 here")
    started: list[Guest] = []

    def start(*options: str) -> Guest:
        started.append(Guest(emulator, folder, *options))
        return started[-1]

    try:
        yield start
    finally:
        for one in started:
            one.end()


@pytest.fixture
def played(folder: Path) -> Iterator[Callable[[PlayedEmulator], str]]:
    """Return a function that starts a played emulator and returns the address of its monitor."""
    with ExitStack() as stack:
        yield lambda emulator: stack.enter_context(played_monitor(emulator, folder))


@pytest.fixture
def played_libvirt(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedLibvirt]:
    """Return a played libvirt, and install its modules for the test.

    Modules that bind libvirt's module when they are imported are imported again, during the test and
    after it.
    """
    played = PlayedLibvirt()
    before = _forget_users_of_libvirt()
    for name, module in played.modules().items():
        played.replaced[name] = sys.modules.get(name)
        monkeypatch.setitem(sys.modules, name, module)
    report = threading.excepthook
    monkeypatch.setattr(threading, "excepthook", lambda of: of.exc_type is SystemExit or report(of))
    _forget_event_loop()
    try:
        yield played
    finally:
        played.end()
        _forget_event_loop()
        _forget_users_of_libvirt()
        for name, module in before.items():
            sys.modules[name] = module
            setattr(sys.modules[name.rpartition(".")[0]], name.rpartition(".")[2], module)
    assert played.callback_errors == []


@pytest.fixture
def played_libvirt_command(tmp_path: Path) -> Iterator[CommandLibvirt]:
    """Return a played libvirt for a command that runs as a process."""
    folder = tmp_path / "played-libvirt"
    folder.mkdir()
    with closing(CommandLibvirt(folder)) as command:
        yield command


def _forget_users_of_libvirt() -> dict[str, ModuleType]:
    """Let the project's modules that have libvirt's as a global be imported again; return them by name."""
    users = {
        name: module
        for name, module in list(sys.modules.items())
        if name.startswith("onpanic.") and isinstance(vars(module).get("libvirt"), ModuleType)
    }
    for name in users:
        del sys.modules[name]
        package, _, last = name.rpartition(".")
        vars(sys.modules[package]).pop(last, None)
    return users


def _forget_event_loop() -> None:
    """Let the next user of libvirt's module start an event loop for it."""
    clear = getattr(run_event_loop, "cache_clear", None)
    if clear is not None:
        clear()


@pytest.fixture
def test_driver(libvirt: Any) -> Iterator[Any]:
    """Return a connection to libvirt's test driver; a domain called guest is gone afterwards."""
    with closing(libvirt.open("test:///default")) as found:
        yield found
        with suppress(libvirt.libvirtError):
            found.lookupByName("guest").undefine()


@pytest.fixture(scope="session")
def libvirt(unavailable: Callable[[str], NoReturn]) -> Any:
    """Return libvirt's module, with a thread that runs its event loop."""
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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of a libvirtd on the libvirts that its marker names.

    pytest orders the tests by libvirt, so that few daemons run at the same time.
    """
    if "libvirt_name" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("libvirts")
        metafunc.parametrize("libvirt_name", marker.args if marker else HOST_AND_NEWEST, scope="session")


@pytest.fixture(scope="session")
def libvirtd_of(
    debian_root: Callable[[str], Root],
    unavailable: Callable[[str], NoReturn],
) -> Iterator[Callable[[str], AbstractContextManager[str]]]:
    """Return a function that returns a context with a libvirtd of that name, see `run_libvirtd`.

    All daemons of a suite have the same paths for its emulators.
    """
    emulators = Path(tempfile.mkdtemp(prefix="onpanic-"))
    emulators.chmod(0o755)

    @contextmanager
    def serve(name: str) -> Iterator[str]:
        program: str | Root | None = shutil.which("libvirtd", path=os.environ["PATH"] + ":/usr/sbin")
        if name == HOST:
            shutil.which("qemu-system-x86_64") or unavailable("no qemu-system-x86_64 here")
        else:
            program = debian_root(name)
        with ExitStack() as stack:
            try:
                uri = stack.enter_context(
                    run_libvirtd(program or unavailable("no libvirtd here"), emulators / name)
                )
            except DaemonEndedError as error:
                unavailable(f"{name}: {error}")
            yield uri

    yield serve
    shutil.rmtree(emulators)


@pytest.fixture(scope="session")
def libvirtd(
    libvirt_name: str, libvirtd_of: Callable[[str], AbstractContextManager[str]]
) -> Callable[[], AbstractContextManager[str]]:
    """Return a function that returns a context with a libvirtd of the test's own."""
    return lambda: libvirtd_of(libvirt_name)


@pytest.fixture(scope="session")
def shared_uri(
    libvirt: Any, libvirtd_of: Callable[[str], AbstractContextManager[str]]
) -> Iterator[Callable[[str], str]]:
    """Return a function that returns the connection URI of a libvirtd that all tests share.

    Each is started when it is first used, and ends with the tests.  It always has a receiver of events,
    without which it may stop sending any, see `unblock_events`.
    """
    with ExitStack() as stack:

        @cache
        def uri_of(name: str) -> str:
            found = stack.enter_context(libvirtd_of(name))
            kept = stack.enter_context(closing(libvirt.open(found)))
            lifecycle = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
            number = kept.domainEventRegisterAny(None, lifecycle, lambda *_: None, None)
            stack.enter_context(suppress(libvirt.libvirtError))  # the daemon may have ended
            stack.callback(kept.domainEventDeregisterAny, number)
            return found

        yield uri_of


@pytest.fixture(scope="session")
def uri(libvirt_name: str, shared_uri: Callable[[str], str]) -> str:
    """Return the connection URI of a libvirtd that all tests of this libvirt share."""
    return shared_uri(libvirt_name)


@pytest.fixture(scope="session")
def domcaps_emulator(libvirt: Any, uri: str) -> str:
    """Return the path of the emulator that libvirt uses for x86; it has the same path for the tests."""
    with closing(libvirt.open(uri)) as connection:
        return str(
            connection.getDomainCapabilities(arch="x86_64").partition("<path>")[2].partition("</path>")[0]
        )


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
    """Return a function that returns a suite's unpacked emulators, and fetches them if they are missing.

    They are kept in the folder that the environment variable ONPANIC_EMULATORS names, or
    in a cache folder.
    """

    @cache
    def fetched(suite: str) -> Root | FetchError:
        try:
            return suite_root(suite)
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
    """Return a function that returns the command of a suite's emulator."""

    def command(suite: str, name: str = "qemu-system-x86_64") -> list[str]:
        return debian_root(suite).command(name)

    return command
