"""Write cli/share: the manual pages and the completion of shells, as they are installed: `make man`.

Everything is written from the texts that ``--help`` prints, and from the documentation.  Nothing depends on
the day: the date of a page is that of the newest release in CHANGELOG.md.  With a folder as its argument, it
writes there.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from manual.command_pages import Edition, command_page, top_page, wrapper_page
from manual.completion_bash import bash_completion
from manual.completion_fish import fish_completion
from manual.completion_zsh import zsh_completion
from manual.format_pages import host_record_page, record_page, settings_page
from manual.parsers import commands

from onpanic.core.version import PROGRAM

ROOT = Path(__file__).parent.parent
SHARE = ROOT / "cli/share"


def released() -> str:
    """Return the date of the newest release."""
    found = re.search(
        r"^## \S+ \((\d{4}-\d\d-\d\d)\)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    )
    if not found:
        raise ValueError("CHANGELOG.md has no release with a date")
    return found[1]


def files() -> Iterator[tuple[str, str]]:
    """Yield every file: its path below the folder ``share``, and its text."""
    known = list(commands())
    edition = Edition(known, released(), PROGRAM)
    yield "man/man1/onpanic.1", top_page(edition)
    yield "man/man1/onpanic-qemu.1", wrapper_page(edition)
    yield "man/man5/onpanic-record.5", record_page(edition)
    yield "man/man5/onpanic-host-record.5", host_record_page(edition)
    watch = next(command for command in known if command.name == "watch")
    yield "man/man5/onpanic-watch.toml.5", settings_page(edition, watch)
    for command in known:
        yield f"man/man1/{command.page}.1", command_page(command, edition)
    yield "bash-completion/completions/onpanic", bash_completion(known)
    yield "zsh/site-functions/_onpanic", zsh_completion(known)
    yield "fish/vendor_completions.d/onpanic.fish", fish_completion(known)


def main() -> None:
    folder = Path(sys.argv[1]) if sys.argv[1:] else SHARE
    for name, text in files():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")


if __name__ == "__main__":
    main()
