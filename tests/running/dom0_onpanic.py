"""onpanic in a lab's dom0: the built wheel, as a user of a Xen host has it, or parts of this tree."""

import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec
import platformdirs
import qemu.qmp

from onpanic.core.errors import FetchError

from .xen_lab import XenLab

__all__ = ("Dom0Onpanic", "copy_onpanic", "install_onpanic")

#: Runs the command in dom0, with its arguments.
Dom0Onpanic = Callable[..., subprocess.CompletedProcess[str]]

# libvirt's module and lxml are Debian's; what else the command needs there
_PACKAGES = ("platformdirs",)

_ROOT = Path(__file__).parents[2]
_CONSTRAINTS = _ROOT / "constraints.txt"
_SECONDS = 120


def install_onpanic(xen: XenLab, wheel: Path) -> Dom0Onpanic:
    """Install the wheel and what it needs in dom0; return a function that runs the command.

    :param wheel: The path of the wheel.
    :raise FetchError: When pip cannot fetch what it needs.
    """
    version = xen.run("python3 -c 'import sys; print(*sys.version_info[:2], sep=chr(46))'").stdout.strip()
    with tempfile.TemporaryDirectory(prefix="onpanic-wheel-") as folder:
        _pip(wheel, version, Path(folder))
        archive = xen.put("onpanic.tar", _tar({path.name: path for path in Path(folder).iterdir()}))
    packages = f"/usr/local/lib/python{version}/dist-packages"
    done = xen.run(
        f"mkdir -p {packages} && tar -xf {archive} -C {packages} && cp {packages}/bin/onpanic /usr/bin/"
        " && sed -i '1s|.*|#!/usr/bin/python3|' /usr/bin/onpanic && chmod 755 /usr/bin/onpanic"
    )
    assert done.returncode == 0, done.stderr
    return lambda *words, **options: xen.run("onpanic", *words, **options)


def copy_onpanic(xen: XenLab, parts: Iterable[str] = ("*",)) -> str:
    """Copy parts of this tree and their libraries into dom0, and return how its Python is called with them.

    What this Python has compiled is of use there if it has the same one.

    :param parts: The packages, such as ``core``; by default all of them.
    """
    packages = [path for part in parts for path in _ROOT.glob(f"*/onpanic/{part}") if path.is_dir()]
    files = {f"onpanic/{path.name}": path for path in (*packages, *_ROOT.glob("*/onpanic/*.py"))}
    for name, library in (("msgspec", msgspec), ("platformdirs", platformdirs), ("qemu/qmp", qemu.qmp)):
        files[name] = Path(str(library.__file__)).parent
    archive = xen.put("onpanic.tar", _tar(files))
    done = xen.run(f"mkdir /tmp/onpanic && tar -xf {archive} -C /tmp/onpanic")
    assert done.returncode == 0, done.stderr
    return "PYTHONPATH=/tmp/onpanic python3"


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


def _tar(files: Mapping[str, Path]) -> bytes:
    """Return an archive of files and folders by their names in it: a file each is slow over 9p."""
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, path in files.items():
                tar.add(path, arcname=name)
        return buffer.getvalue()
