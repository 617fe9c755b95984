"""A Linux that QEMU's TCG runs, and that carries out commands: what labs are made of.

An agent in the Linux reads a line from its second serial port, runs it in a shell, and answers with the exit
status.  The output is in a folder that both sides share by 9p.
"""

import lzma
import os
import re
import select
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from .processes import KILLED

__all__ = ("SHARE", "TcgLinux", "agent", "kernel_modules", "mount_share", "shared_folder")

#: Where the Linux has the shared folder.
SHARE = "/run/lab"

# The name under which it is shared
_SHARED = "share"

_SIZE = 65536


class TcgLinux:
    """A running QEMU whose Linux has an `agent`.

    :ivar share: The shared folder on this side.
    """

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        """Start it.

        :param command: QEMU's command, without serial ports.
        :param folder: An empty folder; the shared folder is its subfolder ``share``.
        """
        self.share = folder / _SHARED
        self.share.mkdir()
        self._log = folder / "log"
        self._said = b""
        serial = ["-serial", f"file:{self._log}", "-serial", "stdio"]
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command, *serial, *shared_folder(_SHARED, self.share)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, line: str, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a line of shell, and return its exit status and output.

        :param line: The line.
        :param seconds: How long it may take.
        """
        assert "\n" not in line
        assert self._process.stdin
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        status = self.wait_for(r"status (\d+)", seconds)
        return subprocess.CompletedProcess(line, int(status), self._output("stdout"), self._output("stderr"))

    def wait_for(self, pattern: str, seconds: float) -> str:
        """Wait for a line of the agent, and return the first group of the pattern."""
        assert self._process.stdout
        deadline = time.monotonic() + seconds
        while not (found := re.search(rf"^{pattern}\r?\n".encode(), self._said, re.MULTILINE)):
            left = deadline - time.monotonic()
            assert left > 0, f"the lab does not answer: {self._end_of_log()}"
            if select.select([self._process.stdout], [], [], left)[0]:
                data = os.read(self._process.stdout.fileno(), _SIZE)
                assert data, f"the lab has ended: {self._said.decode(errors='replace')} {self._end_of_log()}"
                self._said += data
        self._said = self._said[found.end() :]
        return found[1].decode()

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait(KILLED)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()

    def _output(self, name: str) -> str:
        path = self.share / name
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def _end_of_log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-2000:] if self._log.exists() else ""


def agent(console: str) -> str:
    """Return the agent, a shell script.

    :param console: The device that its own errors go to.
    """
    return f"""
exec <>/dev/ttyS1 >&0 2>/dev/{console}
stty raw -echo
echo ready
while read -r line; do
  /bin/sh -c "$line" </dev/null >{SHARE}/stdout 2>{SHARE}/stderr
  echo "status $?"
done
"""


def mount_share(path: str) -> str:
    """Return the command by which the Linux mounts the folder that both sides share."""
    return f"mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 {_SHARED} {path}"


def shared_folder(tag: str, path: Path, options: str = "multidevs=remap") -> list[str]:
    """Return the options of QEMU that share a folder under a name."""
    device = ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
    return ["-fsdev", f"local,id={tag},path={path},security_model=none,{options}", *device]


def kernel_modules(root: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Return modules of the kernel below a root and what they depend on, in the order of their loading.

    :param names: The modules; the kernel may have them built in.
    """
    (folder,) = root.glob("usr/lib/modules/*")
    available = {path.name.partition(".")[0].replace("-", "_"): path for path in folder.rglob("*.ko*")}
    order: dict[str, bytes] = {}

    def add(name: str) -> None:
        name = name.replace("-", "_")
        path = available.get(name)
        if path is None or f"{name}.ko" in order:
            return
        content = path.read_bytes()
        content = lzma.decompress(content) if path.suffix == ".xz" else content
        depends = re.search(rb"\0depends=([^\0]*)\0", content)
        for other in depends[1].decode().split(",") if depends else ():
            add(other)
        order[f"{name}.ko"] = content

    for name in names:
        add(name)
    return order
