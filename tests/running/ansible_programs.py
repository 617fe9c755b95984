"""Ansible in an environment of its own, with the collection, and what it installs on the tests' hosts."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Self

from .emulators import HOSTS
from .ssh_hosts import SshHost

__all__ = ("COLLECTION", "Ansible", "AnsibleMissingError", "build_wheels", "install_ansible", "login")

ROOT = Path(__file__).parent.parent.parent
COLLECTION = ROOT / "ansible"
#: The deadline of one command, in seconds.
DEADLINE = 300

SSH = "-F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
# What hosts have in common in an inventory
COMMON = (
    "ansible_host=127.0.0.1",
    f"ansible_ssh_common_args='{SSH}'",
)


class AnsibleMissingError(Exception):
    """Something cannot be installed."""


class Ansible(NamedTuple):
    """Ansible, with the collection installed.

    :param programs: The folder of its programs.
    :param folder: A folder for what it writes, with a short name.
    """

    programs: Path
    folder: Path

    @classmethod
    def with_collection(cls, programs: Path, folder: Path) -> Self:
        """Build the collection and install it, as users do."""
        (folder / "home").mkdir()
        (folder / "ansible.cfg").touch()  # not the user's, nor the machine's
        made = cls(programs, folder)
        built = made.run("ansible-galaxy", "collection", "build", COLLECTION, "--output-path", folder)
        assert built.returncode == 0, built.stdout + built.stderr
        (archive,) = folder.glob("*.tar.gz")
        words = ("collection", "install", "--offline", "--collections-path", folder, archive)
        installed = made.run("ansible-galaxy", *words)
        assert installed.returncode == 0, installed.stdout + installed.stderr
        return made

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

    def play(self, *words: str | Path, status: int = 0) -> str:
        """Run a playbook, which must end with a status; return what it prints."""
        done = self.run("ansible-playbook", *words)
        assert done.returncode == status, done.stdout[-6000:] + done.stderr[-3000:]
        return done.stdout

    def inventory(self, lines: Iterable[str]) -> Path:
        """Write an inventory of hosts on the loopback address."""
        path = self.folder / "inventory"
        path.write_text("\n".join([*lines, "[all:vars]", *COMMON, ""]), "utf-8")
        return path


def install_ansible(folder: Path) -> Path:
    """Return the folder of Ansible's programs; several processes may install it in one folder.

    It is no part of the developers' environment: each release of Ansible supports some versions of Python.

    :raise AnsibleMissingError: When it cannot be installed.
    """
    environment = folder / "ansible-environment"
    with (folder / "ansible-environment.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (environment / "complete").exists():
            wanted = ROOT / "tests/ansible/requirements.txt"
            _run(sys.executable, "-m", "venv", "--without-pip", "--clear", str(environment))
            _run(*_pip("--python", str(environment)), "install", "--quiet", "--no-deps", "-r", str(wanted))
            (environment / "complete").touch()
    return environment / "bin"


def build_wheels(folder: Path) -> Path:
    """Fill a folder with the wheels of onpanic and of what it needs on the hosts; return onpanic's.

    :raise AnsibleMissingError: When they cannot be had.
    """
    folder.mkdir()
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    (wheel,) = folder.glob("*.whl")
    for version in HOSTS.values():
        _run(
            *(*_pip(), "download", "--quiet", "--dest", str(folder), "--only-binary", ":all:"),
            *("--constraint", str(ROOT / "constraints.txt")),
            *("--python-version", version, "--implementation", "cp"),
            *("--abi", f"cp{version.replace('.', '')}", "--abi", "abi3", "--abi", "none"),
            *("--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_17_x86_64"),
            *("--platform", "manylinux2014_x86_64", "--platform", "any", "msgspec", "qemu.qmp"),
        )
    return wheel


def login(host: SshHost) -> str:
    """Return the variables of an inventory with which Ansible logs in to a host."""
    return f"ansible_port={host.port} ansible_user={host.user} ansible_ssh_private_key_file={host.key}"


def _pip(*options: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "pip", "--disable-pip-version-check", *options)


def _run(*words: str) -> None:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False)
    if done.returncode:
        raise AnsibleMissingError(f"{' '.join(words[1:5])}: {' '.join(done.stderr.split())[-300:]}")
