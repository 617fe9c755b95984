"""What tests of several modules share: the command, and QEMUs of other Debian suites, unpacked once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings

from onpanic.matrix.debian import PACKAGES, FetchError, Root, fetch

settings.register_profile("onpanic", deadline=None)  # no test asserts a duration
settings.load_profile("onpanic")

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
