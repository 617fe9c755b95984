"""What tests of the collection share: Ansible in an environment of its own, and hosts to log in to."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import pytest

from onpanic.matrix.debian import Root

from ..running.ansible_programs import Ansible, AnsibleMissingError, build_wheels, install_ansible
from ..running.emulators import HOSTS
from ..running.ssh_hosts import SshHost, run_host

Unavailable = Callable[[str], NoReturn]


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory, unavailable: Unavailable) -> Path:
    """Return the folder of Ansible's programs; all processes of a test run share one environment."""
    shared = tmp_path_factory.getbasetemp()
    try:
        return install_ansible(shared.parent if os.environ.get("PYTEST_XDIST_WORKER") else shared)
    except AnsibleMissingError as error:
        unavailable(str(error))


@pytest.fixture(scope="session")
def ansible(programs: Path) -> Iterator[Ansible]:
    """Return Ansible, with the collection built and installed as users install it."""
    with tempfile.TemporaryDirectory(prefix="onpanic-", ignore_cleanup_errors=True) as name:
        yield Ansible.with_collection(programs, Path(name))


@pytest.fixture
def wheel(folder: Path, unavailable: Unavailable) -> Path:
    """Return onpanic's wheel, in a folder with the wheels of what it needs on the hosts."""
    try:
        return build_wheels(folder / "wheels")
    except AnsibleMissingError as error:
        unavailable(str(error))


@pytest.fixture
def hosts(
    folder: Path,
    wheel: Path,
    debian_root: Callable[[str], Root],
    unavailable: Unavailable,
) -> Iterator[dict[str, SshHost]]:
    """Return running hosts by their names, each a suite's root with its libvirt, Python and sshd."""
    for program in ("bwrap", "ssh", "ssh-keygen"):
        shutil.which(program) or unavailable(f"no {program} here")
    shown = {wheel.parent: "/wheels"}
    with ExitStack() as stack:
        yield {
            suite: stack.enter_context(run_host(suite, debian_root(suite), folder / suite, shown))
            for suite in HOSTS
        }
