"""The examples of the documentation: every command in README.md and docs/*.md, with its output.

Run as a program it runs each of them and writes the output that it has now into the page, where
that differs in more than numbers, times and widths: after a change of what commands print.

A page's examples are its fenced blocks.  ``console`` is a session of a shell: a line that begins
with ``$`` is a command, one that begins with ``>`` continues it, and the rest is what it prints
on stdout and then on stderr.  Each session has a folder of its own; in a tutorial all blocks of a page are
one session.  A session with the prompt ``dom0#`` needs a dom0 of Xen, where the tests run it.
``python`` is a program.  Blocks of other languages are not run.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
TIMEOUT = 120  # seconds for one command
#: What examples may name: folders of a checkout.
FOLDERS = ("compat-matrix", "docs", "tests")

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_DOM0 = "dom0# "
_COMMAND = re.compile(rf"^(?:\$ |{_DOM0}).*\n(?:> .*\n)*", re.MULTILINE)
_OF_KVM = re.compile(
    r"^ *\w+ +notifier hyperv +(?:works|panic-not-reported: |probe-inconclusive: TCG ).*\n", re.MULTILINE
)
# The watcher has tried the monitor of an ended QEMU once more before it has stopped
_TRIED_AGAIN = re.compile(r'^\S+ info    waiting .*Connection refused"\n', re.MULTILINE)
_TUTORIALS = "docs/tutorial/"
_PRELUDE = f'onpanic() {{ "{sys.executable}" -m onpanic "$@"; }}\n'


class Block(NamedTuple):
    """A fenced block of a page: the page, its language, and the text between its fences."""

    page: str
    language: str
    text: str


def pages() -> list[Path]:
    """Return README.md and every page of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks() -> Iterator[Block]:
    """Yield every fenced block of every page."""
    for page in pages():
        name = str(page.relative_to(ROOT))
        for language, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
            yield Block(name, language, text)


def runs_here(block: Block) -> bool:
    """Return whether a block is a session that can be run; ``make`` runs the tests themselves."""
    return block.language == "console" and not block.text.startswith(("$ make", _DOM0))


def sessions() -> Iterator[Block]:
    """Yield every session that can be run; that of a tutorial is the text of all its blocks."""
    pages_of_tutorials: dict[str, str] = {}
    for block in filter(runs_here, blocks()):
        if block.page.startswith(_TUTORIALS):
            pages_of_tutorials[block.page] = pages_of_tutorials.get(block.page, "") + block.text
        else:
            yield block
    for page, text in pages_of_tutorials.items():
        yield Block(page, "console", text)


def runs_in_dom0(block: Block) -> bool:
    """Return whether a block is a session in a dom0."""
    return block.language == "console" and block.text.startswith(_DOM0)


def steps(session: str) -> list[tuple[str, str]]:
    """Return the commands of a session, as they are written, each with the output that is shown."""
    commands = _COMMAND.findall(session)
    outputs = _COMMAND.split(session)
    if outputs.pop(0) or not commands:
        raise ValueError(f"a session begins with a command: {session.splitlines()[0]}")
    return list(zip(commands, outputs, strict=True))


def run(session: str, folder: Path) -> list[tuple[str, str]]:
    """Run the commands of a session in a folder; return them, each with what it printed."""
    _link_folders(folder)
    try:
        return [(command, _printed(command, folder)) for command, _ in steps(session)]
    finally:
        _end_daemon(folder / "pid")


def _link_folders(folder: Path) -> None:
    for name in FOLDERS:
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)


def run_python(program: str, folder: Path) -> None:
    """Run a program in a folder.  Raises `CalledProcessError` when it fails."""
    _link_folders(folder)
    subprocess.run([sys.executable, "-c", program], cwd=folder, check=True, timeout=TIMEOUT)


def shape(text: str) -> str:
    """Return a text without what differs from day to day, and with the host's KVM: Hyper-V's notifier."""
    text = _TRIED_AGAIN.sub("", _OF_KVM.sub("", text))
    return re.sub(r"\s+", " ", re.sub(r"[0-9a-f.+~-]*\d[\w.+~-]*", "#", text)).strip()


def updated(session: str, printed: list[tuple[str, str]]) -> str:
    """Return a session with the outputs that are no longer true replaced."""
    shown = [output for _, output in steps(session)]
    pairs = zip(printed, shown, strict=True)
    return "".join(command + (old if shape(old) == shape(new) else new) for (command, new), old in pairs)


def main() -> None:
    """Bring every page up to date."""
    found = list(blocks())
    printed: dict[str, list[tuple[str, str]]] = {}
    for session in sessions():
        with tempfile.TemporaryDirectory() as folder:
            printed.setdefault(session.page, []).extend(run(session.text, Path(folder)))
    for name, results in printed.items():
        page = ROOT / name
        old = text = page.read_text(encoding="utf-8")
        for block in found:
            if block.page == name and runs_here(block):
                count = len(steps(block.text))
                new = updated(block.text, results[:count])
                del results[:count]
                text = text.replace(f"```console\n{block.text}```", f"```console\n{new}```")
        if text != old:
            page.write_text(text, encoding="utf-8")
            print(f"{name}: updated")


def _printed(command: str, folder: Path) -> str:
    script = _PRELUDE + "\n".join(line[2:] for line in command.splitlines())
    with subprocess.Popen(
        ["/bin/sh", "-c", script],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,  # so that all of it can be ended
    ) as shell:
        try:
            return "".join(shell.communicate(timeout=TIMEOUT))
        except BaseException:
            os.killpg(shell.pid, signal.SIGKILL)
            raise


def _end_daemon(pid: Path) -> None:
    """Kill the QEMU that an example has left.  One that ends removes the file itself."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
        os.kill(int(pid.read_text(encoding="ascii")), signal.SIGKILL)


if __name__ == "__main__":
    main()
