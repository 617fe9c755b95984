"""Shell commands of the documentation that have no output: their text, and a shell that runs it as it stands.

A session that can simply be run is a ``console`` block, see tools/examples.py.
"""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ("ROOT", "SUDO", "Sandbox", "all_shell_blocks", "shell_block")

ROOT = Path(__file__).parent.parent.parent
#: Plays sudo for a user who is root in a `Sandbox`.
SUDO = 'exec "$@"'
_BLOCK = re.compile(r"^( *)```sh\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_SECONDS = 240


def all_shell_blocks() -> dict[tuple[str, str], str]:
    """Return the text of every ``sh`` block, by its page and first line."""
    found: dict[tuple[str, str], str] = {}
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for _, block in _BLOCK.findall(page.read_text("utf-8")):
            text = textwrap.dedent(block)
            key = (str(page.relative_to(ROOT)), text.partition("\n")[0])
            if key in found:
                raise ValueError(f"two blocks of {key[0]} begin with {key[1]}")
            found[key] = text
    return found


def shell_block(page: str, first: str) -> str:
    """Return the text of a page's ``sh`` block that begins with this line.

    Tests have both as they are: tests/shell_blocks/test_all_blocks.py reads from them which blocks are run.

    :raise KeyError: When no page has such a block.
    """
    return all_shell_blocks()[page, first]


class Sandbox(NamedTuple):
    """Runs shell commands as their user would, with `onpanic` on the path and some folders of its own.

    :param folder: An empty folder.  Its ``home`` is the home directory, its ``work`` the working directory.
    :param private: Absolute paths of the host's folders that the sandbox has of its own, empty at first; they
        are in `folder`, below the same paths.
    :param binds: Further paths that the sandbox sees, each with where it is.
    """

    folder: Path
    private: tuple[str, ...] = ()
    binds: Mapping[str, Path] = {}

    @property
    def work(self) -> Path:
        """Return the working directory."""
        return self.folder / "work"

    def prepare(self, **programs: str) -> None:
        """Create the folders, and programs that are first on the path: scripts of sh by their names."""
        for name in ("bin", "home", "work"):
            (self.folder / name).mkdir()
        programs.setdefault("onpanic", f'exec "{sys.executable}" -m onpanic "$@"')
        for name, script in programs.items():
            path = self.folder / "bin" / name
            path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
            path.chmod(0o755)

    def command(self, text: str) -> list[str]:
        """Return the command of a shell that runs a text, and ends where one of its commands fails."""
        words = ["bwrap", "--die-with-parent", "--dev-bind", "/", "/"]
        for path in self.private:
            inside = self.folder / path.strip("/")
            inside.mkdir(parents=True, exist_ok=True)
            words += ["--bind", str(inside), path]
        for path, outside in self.binds.items():
            words += ["--bind", str(outside), path]
        return [*words, "--chdir", str(self.work), "/bin/sh", "-e", "-c", text]

    def environment(self) -> dict[str, str]:
        """Return the environment of the shell."""
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}:/usr/sbin:/sbin"
        of_make = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")  # what is said to the make that runs the tests
        rest = {name: value for name, value in os.environ.items() if name not in of_make}
        return {**rest, "HOME": str(self.folder / "home"), "PATH": path}

    def run(self, text: str) -> str:
        """Run a text, which must succeed; return what it prints."""
        done = subprocess.run(
            self.command(text),
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:]
        return done.stdout

    def see_checkout(self) -> None:
        """Fill the working directory with links to what the checkout has."""
        for path in ROOT.iterdir():
            if path.name not in {".venv", ".emulators", "dist"}:
                (self.work / path.name).symlink_to(path)

    @staticmethod
    def missing() -> str | None:
        """Return a reason why there can be no sandbox here."""
        return None if shutil.which("bwrap") else "no bwrap here"
