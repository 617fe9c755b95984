"""What tests of the collection share: Ansible in an environment of its own, and hosts to log in to."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest

from onpanic.matrix.debian import Root

from ..running.emulators import HOSTS
from ..running.ssh_hosts import SshHost, run_host

ROOT = Path(__file__).parent.parent.parent
COLLECTION = ROOT / "ansible"
#: The deadline of one command, in seconds.
DEADLINE = 300

Unavailable = Callable[[str], NoReturn]

_SSH = (
    *("-F none", "-o StrictHostKeyChecking=no", "-o UserKnownHostsFile=/dev/null", "-o LogLevel=ERROR"),
    "-o ControlPersist=20",
)


class Ansible(NamedTuple):
    """Ansible, with the collection installed.

    :param programs: The folder of its programs.
    :param folder: A folder for what it writes, with a short name.
    """

    programs: Path
    folder: Path

    def run(self, program: str, *words: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        """Run one of its programs."""
        dropped = ("ANSIBLE_", "PYTHON", "PYTEST", "VIRTUAL_ENV", "LC_", "LANG")
        rest = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        own = {
            "ANSIBLE_COLLECTIONS_PATH": str(self.folder),
            "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.folder / "home"),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_PYTHON_INTERPRETER": "auto_silent",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"),
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "PATH": f"{self.programs}:{os.environ['PATH']}",
        }
        return subprocess.run(
            [str(word) for word in (program, *words)],
            cwd=cwd,
            env={**rest, **own},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory, unavailable: Unavailable) -> Path:
    """Return the folder of Ansible's programs; all processes of a test run share one environment.

    It is no part of the developers' environment: each release of Ansible supports some versions of Python.
    """
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    environment = shared / "ansible-environment"
    with (shared / "ansible-environment.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (environment / "complete").exists():
            pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", environment)
            wanted = ("-r", Path(__file__).with_name("requirements.txt"))
            for words in (
                (sys.executable, "-m", "venv", "--without-pip", "--clear", environment),
                (*pip, "install", "--quiet", "--no-deps", *wanted),
            ):
                done = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE, check=False)
                if done.returncode:
                    unavailable(f"no Ansible: {done.stderr.strip().splitlines()[-1:]}")
            (environment / "complete").touch()
    return environment / "bin"


@pytest.fixture
def ansible(programs: Path, folder: Path) -> Ansible:
    """Return Ansible, with the collection built and installed as users install it."""
    (folder / "home").mkdir()
    (folder / "ansible.cfg").touch()  # not the user's, nor the machine's
    found = Ansible(programs, folder)
    built = found.run("ansible-galaxy", "collection", "build", COLLECTION, "--output-path", folder)
    assert built.returncode == 0, built.stdout + built.stderr
    (archive,) = folder.glob("*.tar.gz")
    words = ("collection", "install", "--offline", "--collections-path", folder, archive)
    installed = found.run("ansible-galaxy", *words)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    return found


@pytest.fixture
def hosts(
    folder: Path,
    wheels: Path,
    debian_root: Callable[[str], Root],
    unavailable: Unavailable,
) -> Iterator[dict[str, SshHost]]:
    """Return running hosts by their names, each a suite's root with its libvirt, Python and sshd."""
    for program in ("bwrap", "ssh", "ssh-keygen"):
        shutil.which(program) or unavailable(f"no {program} here")
    with ExitStack() as stack:
        yield {
            suite: stack.enter_context(
                run_host(suite, debian_root(suite), folder / suite, {wheels: "/wheels"})
            )
            for suite in HOSTS
        }


@pytest.fixture
def wheels(folder: Path, unavailable: Unavailable) -> Path:
    """Return a folder with wheels of onpanic and of what it needs, for the Pythons of the hosts."""
    found = folder / "wheels"
    found.mkdir()
    build = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", found)
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for version in HOSTS.values():
        words = [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"),
            *("--dest", str(found), "--only-binary", ":all:", "--constraint", str(ROOT / "constraints.txt")),
            *("--python-version", version, "--implementation", "cp"),
            *("--abi", f"cp{version.replace('.', '')}", "--abi", "abi3", "--abi", "none"),
            *("--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_17_x86_64"),
            *("--platform", "manylinux2014_x86_64", "--platform", "any", "msgspec", "qemu.qmp"),
        ]
        done = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE, check=False)
        if done.returncode:
            unavailable(f"no wheels for Python {version}: {done.stderr.strip().splitlines()[-1:]}")
    return found


@pytest.fixture
def inventory(folder: Path, hosts: dict[str, SshHost]) -> Path:
    """Return an inventory: the hosts, one on which onpanic fails, and one that nothing answers for."""
    lines = ["[hypervisors]"]
    for name, host in hosts.items():
        lines.append(f"{name} {_login(host)} onpanic_connect={host.uri}")
    last = next(reversed(hosts.values()))
    lines += ["[silent]", f"broken {_login(last)} onpanic_executable=/bin/false"]
    lines += ["unreachable ansible_port=9"]  # discard(9), which nothing serves
    lines += ["[all:vars]", "ansible_host=127.0.0.1", f"ansible_ssh_common_args='{' '.join(_SSH)}'"]
    path = folder / "inventory"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def _login(host: SshHost) -> str:
    return f"ansible_port={host.port} ansible_user={host.user} ansible_ssh_private_key_file={host.key}"
