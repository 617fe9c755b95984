"""A session in a terminal: typed by a program into a real shell, and recorded as it is printed.

The recording is an asciicast, version 2: a line of JSON for the size of the terminal, and one for each piece
of output with the seconds since the beginning.  https://docs.asciinema.org/manual/asciicast/v2/
"""

import codecs
import json
import lzma
import os
import pty
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from fcntl import ioctl
from pathlib import Path
from typing import NamedTuple

__all__ = ("COLUMNS", "ROWS", "SESSION", "Cast", "Printed", "record_session")

ROOT = Path(__file__).parent.parent.parent
#: The terminal: narrow, so that a phone shows it in a legible size.
COLUMNS, ROWS = 50, 20
#: What is typed.  ``guest.img`` panics as it boots; ``linux.elf`` is the memory of a Linux that has.
SESSION = r"""onpanic probe | grep observed | cut -c 1-44
onpanic accept restart
onpanic accept crash | fold -s -w 50
onpanic run --no-vmcoreinfo -- \
qemu-system-x86_64 -display none -m 16 \
-drive file=guest.img,format=raw
echo $?
onpanic why linux.elf | head -6 | fold -s -w 50
"""
_PROMPT, _MORE = "\033[1;32m$\033[0m ", "\033[32m>\033[0m "
_DUMP = ROOT / "tests/why/dumps/linux-6.12-null-pointer.elf.xz"
_DEADLINE = 60  # seconds for one command
_AFTER = 1.0  # seconds in which an output can be read before the next command is typed
# A boot sector: cli, mov dx 0x505, mov al 1, out dx al, hlt and back to it
_BOOT_SECTOR = bytes.fromhex("faba0505b001eef4ebfd").ljust(510, b"\0") + b"\x55\xaa"


class Printed(NamedTuple):
    """A piece of output.

    :param at: Seconds since the beginning.
    :param text: What was printed, control sequences included.
    """

    at: float
    text: str


class Cast(NamedTuple):
    """A recorded session: the size of the terminal, and all output."""

    columns: int
    rows: int
    printed: list[Printed]

    @classmethod
    def load(cls, path: Path) -> "Cast":
        """Read an asciicast."""
        head, *lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
        return cls(head["width"], head["height"], [Printed(at, text) for at, _, text in lines])

    def save(self, path: Path) -> None:
        """Write it as an asciicast."""
        head = {"version": 2, "width": self.columns, "height": self.rows}
        lines = [head, *([round(piece.at, 3), "o", piece.text] for piece in self.printed)]
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


def record_session(session: str = SESSION, *, key: float = 0.04) -> Cast:
    """Type commands into a shell, and return what its terminal showed.

    :param session: The lines of the commands.
    :param key: Seconds between two keys; 0 also for no pause before a command.
    :raise TimeoutError: When a command does not end.
    :raise OSError: When the shell ends.
    """
    with tempfile.TemporaryDirectory(prefix="onpanic-session-") as folder:
        _furnish(Path(folder))
        shell = _Shell(Path(folder))
        try:
            shell.wait_for(_PROMPT)
            continued = False
            for line in session.splitlines():
                if key and not continued:
                    shell.pause(_AFTER)
                shell.type(line, key)
                continued = line.endswith("\\")
                shell.wait_for(f"\n{_MORE if continued else _PROMPT}")
        finally:
            shell.end()
    return Cast(COLUMNS, ROWS, shell.printed())


def _furnish(folder: Path) -> None:
    """Write what the commands name into the folder."""
    program = folder / "bin/onpanic"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m onpanic "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    (folder / "guest.img").write_bytes(_BOOT_SECTOR)
    (folder / "linux.elf").write_bytes(lzma.decompress(_DUMP.read_bytes()))


class _Shell:
    """A shell with a terminal of its own.

    :param folder: Where it runs; its program ``onpanic`` is found first.
    """

    def __init__(self, folder: Path) -> None:
        self._pieces: list[tuple[float, bytes]] = []
        self._said = b""
        places = f"{folder / 'bin'}:{os.environ['PATH']}"
        wanted = {"PATH": places, "PS1": _PROMPT, "PS2": _MORE, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        environment = {name: value for name, value in os.environ.items() if name not in ("ENV", "NO_COLOR")}
        self._terminal, inner = pty.openpty()
        ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            ["setsid", "--ctty", "/bin/sh", "-i"],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            cwd=folder,
            env=environment | wanted,
        )
        os.close(inner)
        self._start = time.monotonic()

    def type(self, line: str, key: float) -> None:
        """Type a line."""
        for character in line + "\n":
            self._said = b""
            os.write(self._terminal, character.encode())
            self.pause(key)

    def pause(self, seconds: float) -> None:
        """Take what is printed within so many seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._take(left)

    def wait_for(self, end: str) -> None:
        """Wait until the output ends like that."""
        deadline = time.monotonic() + _DEADLINE
        while not self._said.endswith(end.encode()):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no prompt came: {self._said.decode(errors='replace')}")
            self._take(left)

    def printed(self) -> list[Printed]:
        """Return all output; a character that came in two pieces is whole."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return [Printed(at, decoder.decode(data)) for at, data in self._pieces]

    def end(self) -> None:
        """End the shell, and what it has started."""
        os.close(self._terminal)  # ends what it has started
        self._process.kill()
        self._process.wait()

    def _take(self, seconds: float) -> None:
        if not select.select([self._terminal], [], [], seconds)[0]:
            return
        data = os.read(self._terminal, 65536)
        self._said += data
        self._pieces.append((time.monotonic() - self._start, data))
