"""The built wheel in a lab's dom0: the command ``onpanic``, as a user of a Xen host has it."""

import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from onpanic.core.errors import FetchError

from .xen_lab import XenLab

__all__ = ("Dom0Onpanic", "install_onpanic")

#: Runs the command in dom0, with its arguments.
Dom0Onpanic = Callable[..., subprocess.CompletedProcess[str]]

# libvirt's module and lxml are Debian's; what else the command needs there
_PACKAGES = ("platformdirs",)

_CONSTRAINTS = Path(__file__).parent.parent.parent / "constraints.txt"
_SECONDS = 120


def install_onpanic(xen: XenLab, wheel: Path) -> Dom0Onpanic:
    """Install the wheel and what it needs in dom0; return a function that runs the command.

    :param wheel: The path of the wheel.
    :raise FetchError: When pip cannot fetch what it needs.
    """
    version = xen.run("python3 -c 'import sys; print(*sys.version_info[:2], sep=chr(46))'").stdout.strip()
    with tempfile.TemporaryDirectory(prefix="onpanic-wheel-") as folder:
        _pip(wheel, version, Path(folder))
        archive = xen.put("onpanic.tar", _tar(Path(folder)))
    packages = f"/usr/local/lib/python{version}/dist-packages"
    done = xen.run(
        f"mkdir -p {packages} && tar -xf {archive} -C {packages} && cp {packages}/bin/onpanic /usr/bin/"
        " && sed -i '1s|.*|#!/usr/bin/python3|' /usr/bin/onpanic && chmod 755 /usr/bin/onpanic"
    )
    assert done.returncode == 0, done.stderr
    return lambda *words, **options: xen.run("onpanic", *words, **options)


def _pip(wheel: Path, version: str, folder: Path) -> None:
    words = ["--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    words += ["--python-version", version, "--constraint", str(_CONSTRAINTS), "--target", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *words, str(wheel), *_PACKAGES],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        raise FetchError(f"pip: {' / '.join(done.stderr.splitlines()[-2:])}", "is there a network?")


def _tar(folder: Path) -> bytes:
    """Return an archive: a file each is slow over 9p."""
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for path in folder.iterdir():
                tar.add(path, arcname=path.name)
        return buffer.getvalue()
