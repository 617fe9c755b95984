"""The documentation's site, built once for all tests, and a browser that reads it."""

import fcntl
import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parent.parent.parent
SECONDS = 280  # of the 300 that a test has


@pytest.fixture(scope="session")
def build_site(unavailable: Callable[[str], NoReturn]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that builds the site of a checkout, or of an unpacked release, into a folder."""
    for module in ("furo", "myst_parser", "sphinx", "sphinx_copybutton"):
        if importlib.util.find_spec(module) is None:
            unavailable(f"{module} is not installed")

    def build(out: Path, root: Path = ROOT, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*before, sys.executable, str(root / "tools/website.py"), str(out)],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env=environment(root),
            check=False,
        )

    return build


def environment(root: Path) -> dict[str, str]:
    """Return an environment in which Python imports the packages of a checkout, and writes nothing there."""
    packages = ("probe", "shims", "why", "compat-matrix", "fleet", "cli")
    paths = ":".join(str(root / package) for package in packages)
    return {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture(scope="session")
def site(
    build_site: Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the folder of the site; the processes that run the tests share it."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "site"
    with (shared / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            done = build_site(folder)
            assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return folder


class _Quiet(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name in the library
        """Say nothing: a page's requests are no news."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Return the address at which the site is served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site))) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()
