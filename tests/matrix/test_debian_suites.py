"""Fetching other suites' emulators: with scripted tools, and (marked) the real ones."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from onpanic.core.errors import FetchError
from onpanic.matrix.sources.apt_sources import AptSource, Mirror
from onpanic.matrix.sources.debian_suites import SUITES, Root, fetch

ARCHIVE = AptSource("http://user:word@mirror.example/debian", ("bookworm",), ("main",), "/debian.gpg")
SECURITY = AptSource("http://safe.example/security", ("bookworm-security",), ("main",))
MIRROR = Mirror(ARCHIVE, SECURITY)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    folder = tmp_path / "trixie/usr/bin"
    folder.mkdir(parents=True)
    (folder / "qemu-system-arm").touch()
    (folder / "qemu-img").touch()
    (folder / "qemu-system-armhf").symlink_to("qemu-system-arm")
    (folder / "qemu-system-armel").symlink_to("/usr/bin/qemu-system-arm")
    (folder / "qemu-system-host").symlink_to(sys.executable)
    (folder / "qemu-system-gone").symlink_to("nothing")
    (folder / "qemu-system-loop").symlink_to("qemu-system-loop")
    return Root(tmp_path / "trixie", "trixie")


def test_emulators_leave_out_links_to_files_that_the_root_lacks(root: Root) -> None:
    """A link is followed within the root, also an absolute one."""
    assert root.emulators() == ["qemu-system-arm", "qemu-system-armel", "qemu-system-armhf"]


def test_programs_leave_out_links(root: Root) -> None:
    """A link is another name of a program that is in the list already."""
    assert root.programs() == ["qemu-system-arm"]


def test_command(root: Root) -> None:
    """The command binds the root read-only, and gives the emulator no network."""
    words = (
        "--dev /dev --proc /proc --tmpfs /tmp --dev-bind-try /dev/kvm /dev/kvm"
        " --unshare-net --die-with-parent /usr/bin/qemu-system-arm"
    )
    expected = ["bwrap", "--ro-bind", str(root.path), "/", *words.split()]
    assert root.command("qemu-system-arm") == expected


@pytest.mark.parametrize("name", ["qemu-system-gone", "qemu-img", "../../etc/passwd"])
def test_only_emulators_have_a_command(root: Root, name: str) -> None:
    """Other names are refused."""
    with pytest.raises(FetchError, match="is not among the emulators"):
        root.command(name)


class ScriptedTools:
    """Tools that produce packages of one emulator each, without a network.

    :param fails: The step that raises the fault: ``update``, ``install`` or ``unpack``.
    :param refuses: A suite that the mirror does not have.
    """

    def __init__(self, fails: str = "", fault: BaseException | None = None, refuses: str = "") -> None:
        self.installed: list[list[str]] = []
        self.sources = ""
        self._fails, self._fault, self._refuses = fails, fault, refuses

    def require(self) -> None:
        """All tools are there."""

    def run(self, *pipeline: Sequence[str], seconds: float, hint: str) -> None:
        assert seconds > 0
        command = pipeline[0]
        if command[0] == "apt-get":
            options = dict(word.split("=", 1) for word in command if "=" in word)
            self.sources = Path(options["Dir::Etc::SourceList"]).read_text("utf-8")
            step = "update" if command[-1] == "update" else "install"
        else:
            step = "unpack"
        if step == self._fails and self._fault:
            raise self._fault
        if step == "update" and f"Suites: {self._refuses}\n" in self.sources:
            raise FetchError(f"{ARCHIVE.uri} has no {self._refuses}", hint)
        if step == "install":
            packages = list(command[command.index("install") + 1 :])
            self.installed.append(packages[1:])  # without the shell
            for package in packages:
                (Path(options["Dir::Cache::Archives"]) / f"{package}_1%3a2_all.deb").touch()
        if step == "unpack":
            package = Path(command[-1]).name.partition("_")[0]
            (Path(pipeline[1][-1]) / f"usr/bin/qemu-system-{package}").touch()


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_fetch_returns_at_once_and_adds_packages(tmp_path: Path) -> None:
    """Packages that are there are not fetched again; missing ones are fetched together with them."""
    tools = ScriptedTools()
    into = tmp_path / "new" / "folder"

    def get(package: str) -> Root:
        return fetch("sid", [package], into=into, mirror=MIRROR, tools=tools)

    first = get("b")
    assert first == Root(into / "sid", "sid")
    assert [get("b"), get("a"), get("b")] == [first, first, first]
    assert tools.installed == [["b"], ["a", "b"]]
    assert names(into) == ["sid"]
    assert first.emulators() == ["qemu-system-a", "qemu-system-b", "qemu-system-dash"]


@pytest.mark.parametrize("step", ["update", "install", "unpack"])
@pytest.mark.parametrize("fault", [FetchError("x"), KeyboardInterrupt(), OSError("full")], ids=repr)
def test_a_failure_leaves_what_was_there(tmp_path: Path, step: str, fault: BaseException) -> None:
    """Whichever step fails, there is no half of a suite, and the packages fetched before are there."""
    expected = FetchError if isinstance(fault, OSError) else type(fault)
    broken = ScriptedTools(step, fault)
    with pytest.raises(expected):
        fetch("sid", into=tmp_path, mirror=MIRROR, tools=broken)
    assert names(tmp_path) == []
    root = fetch("sid", ["arm"], into=tmp_path, mirror=MIRROR, tools=ScriptedTools())
    with pytest.raises(expected):
        fetch("sid", ["more"], into=tmp_path, mirror=MIRROR, tools=broken)
    assert names(tmp_path) == ["sid"]
    assert root.emulators() == ["qemu-system-arm", "qemu-system-dash"]


STAMPS = {
    "none": None,
    "empty": b"",
    "a list": b"[]",
    "another suite": b'{"suite": "trixie", "packages": []}',
    "no packages": b'{"suite": "sid"}',
    "packages that are none": b'{"suite": "sid", "packages": [[]]}',
    "not UTF-8": b'{"suite": "sid", "packages": ["\xff"]}',
    "nested": b'{"suite": "sid", "packages": [], "more": ' + b"[" * 100_000,
}


@pytest.mark.parametrize("stamp", STAMPS.values(), ids=STAMPS)
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, stamp: bytes | None) -> None:
    """A folder without a valid stamp of the suite may hold other files."""
    (tmp_path / "sid").mkdir()
    (tmp_path / "sid/precious").touch()
    if stamp is not None:
        (tmp_path / "sid/.onpanic-root.json").write_bytes(stamp)
    with pytest.raises(FetchError, match="is not an unpacked sid"):
        fetch("sid", into=tmp_path, mirror=MIRROR, tools=ScriptedTools())
    assert (tmp_path / "sid/precious").exists()


def test_a_file_instead_of_the_folder(tmp_path: Path) -> None:
    """The error says what to check."""
    (tmp_path / "file").touch()
    with pytest.raises(FetchError, match="check that"):
        fetch("sid", into=tmp_path / "file", mirror=MIRROR, tools=ScriptedTools())


def test_an_unknown_suite(tmp_path: Path) -> None:
    """The error lists the suites."""
    with pytest.raises(FetchError, match="choose from bullseye"):
        fetch("../x", into=tmp_path)


def test_missing_tools_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint is the command that installs them."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchError, match=r"bwrap not found\napt-get install .*bubblewrap"):
        fetch("sid", into=tmp_path)


def test_updates_that_the_mirror_lacks_are_left_out(tmp_path: Path) -> None:
    """A suite in the archives has no updates there; without the suite itself the mirror is of no use."""
    tools = ScriptedTools(refuses="bullseye-updates")
    root = fetch("bullseye", into=tmp_path, mirror=MIRROR, tools=tools)
    stamp = json.loads((root.path / ".onpanic-root.json").read_bytes())
    assert stamp["read"] == ["bullseye", "bullseye-security"]
    assert stamp["versions"] == {"dash": "1:2", "qemu-system-x86": "1:2"}
    assert "bullseye-updates" not in tools.sources
    with pytest.raises(FetchError, match=r"^MIRROR has no trixie\ncheck the network"):
        fetch("trixie", into=tmp_path, mirror=MIRROR, tools=ScriptedTools(refuses="trixie"))


# The real suites: these need the network, unless they were fetched before


@pytest.fixture(scope="module", params=SUITES)
def fetched(request: pytest.FixtureRequest, debian_root: Callable[[str], Root]) -> Root:
    return debian_root(request.param)


QUIET = ["-machine", "none", "-nodefaults", "-display", "none"]
GOODBYE = b'{"execute": "qmp_capabilities"}\n{"execute": "quit"}\n'


@pytest.mark.emulators
@pytest.mark.parametrize("emulator", ["qemu-system-x86_64", "qemu-system-i386"])
def test_qmp_over_standard_streams(fetched: Root, emulator: str) -> None:
    """An emulator in its root speaks QMP with its caller."""
    command = [*fetched.command(emulator), *QUIET, "-qmp", "stdio"]
    done = subprocess.run(command, input=GOODBYE, capture_output=True, timeout=60, check=True)
    assert "QMP" in json.loads(done.stdout.splitlines()[0])


@pytest.mark.emulators
def test_qmp_over_a_descriptor_of_the_callers(fetched: Root) -> None:
    """Descriptors that the caller passes on keep their numbers."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(60)
        number = theirs.fileno()
        channel = ["-chardev", f"socket,id=qmp,fd={number}", "-mon", "chardev=qmp,mode=control"]
        command = [*fetched.command("qemu-system-x86_64"), *QUIET, *channel]
        with subprocess.Popen(command, pass_fds=[number], stdin=subprocess.DEVNULL) as child:
            theirs.close()
            assert "QMP" in json.loads(ours.makefile().readline())
            ours.sendall(GOODBYE)
            assert child.wait(60) == 0


@pytest.mark.emulators
def test_a_second_fetch_runs_nothing(fetched: Root) -> None:
    """A suite that is unpacked is used as it is."""
    tools = ScriptedTools("update", AssertionError("it was fetched again"))
    assert fetch(fetched.suite, into=fetched.path.parent, tools=tools) == fetched
    versions = json.loads((fetched.path / ".onpanic-root.json").read_bytes())["versions"]
    assert "qemu-system-x86" in versions


@pytest.mark.emulators
def test_a_package_that_does_not_exist(tmp_path: Path, unavailable: Callable[[str], NoReturn]) -> None:
    """Apt's own message is in the error, and nothing is left."""
    with pytest.raises(FetchError) as caught:
        fetch("sid", ["qemu-system-nosuch"], into=tmp_path)
    message = str(caught.value)
    if "check that sid has" not in message:
        unavailable(message)
    assert "Unable to locate" in message
    assert message.endswith("check that sid has all of qemu-system-nosuch")
    assert names(tmp_path) == []
