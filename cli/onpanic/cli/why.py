"""Show why a guest panicked: what it said last, read from its memory.

The guest's memory is read through QEMU's monitor, through libvirt, or from a dump in a file.  The guest
stays as it is.  Everything that is shown comes from the guest, which may be malicious.

With --check, tell whether a panic of a running guest would be reported, and could be read.

Exit status: 0 if the guest says that it panicked; 1 if it does not.  With --check: 0 if a panic would be
reported, and could be read; 1 if not.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onpanic.cli.guests import add_guest, check_guest, with_guest
from onpanic.cli.options import add_lines
from onpanic.cli.output import print_json, print_note
from onpanic.core.errors import UsageError

if TYPE_CHECKING:
    from onpanic.why.locating.unnoted_words import MemorySearch
    from onpanic.why.words.last_words import LastWords

_LINES = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_guest(parser)
    parser.add_argument("dump", nargs="?", type=Path, metavar="DUMP", help="a file with the guest's memory")
    which = parser.add_mutually_exclusive_group()
    add_lines(which, _LINES)
    which.add_argument("--all", action="store_true", help="show all lines of the guest's log")
    parser.add_argument(
        "--search",
        action="store_true",
        help="search the guest's whole memory if there is no faster way",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="tell whether a panic of a running guest would be reported, and could be read",
    )
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="form of the output (default: text)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Read the guest, print its last words, and return 0, or 1 if they do not tell of a panic."""
    if arguments.check:
        return _check(arguments)
    words = _read(arguments)
    lines = None if arguments.all else arguments.lines
    if arguments.format == "json":
        import msgspec

        print_json(msgspec.json.encode(msgspec.structs.replace(words, lines=words.last_lines(lines))))
    else:
        from onpanic.why.words.text_report import report_lines

        print("\n".join(report_lines(words, lines)))
    return 0 if words.panicked else 1


def _check(arguments: argparse.Namespace) -> int:
    if arguments.dump is not None or arguments.search or arguments.all:
        raise UsageError(
            "--check is for a live guest", "name it with --qmp or --domain, without DUMP, --search and --all"
        )
    check_guest(arguments)
    from onpanic.why.readiness.domain_readiness import readiness_of_domain
    from onpanic.why.readiness.monitor_readiness import readiness_of_session
    from onpanic.why.readiness.readiness_text import readiness_lines

    readiness = with_guest(arguments, readiness_of_session, readiness_of_domain)
    if arguments.format == "json":
        import msgspec

        print_json(msgspec.json.encode(readiness))
    else:
        print("\n".join(readiness_lines(readiness)))
    return 1 if readiness.fails else 0


def _read(arguments: argparse.Namespace) -> "LastWords":
    from onpanic.why.locating.unnoted_words import MemorySearch

    search = MemorySearch(print_note) if arguments.search else None
    if arguments.dump is not None:
        if arguments.qmp is not None or arguments.domain is not None or arguments.connect is not None:
            raise UsageError("more than one guest", "name a dump, or --qmp ADDRESS, or --domain NAME")
        from onpanic.why.readers.from_dump import words_in_dump

        return words_in_dump(arguments.dump, search)
    if arguments.qmp is None and arguments.domain is None:
        raise UsageError("which guest?", "name it with --qmp ADDRESS or --domain NAME, or name a dump of it")
    check_guest(arguments)
    from onpanic.why.readers.from_monitor import words_of_session

    return with_guest(
        arguments,
        partial(words_of_session, search=search),
        partial(_in_domain, timeout=arguments.timeout, search=search),
    )


def _in_domain(domain: Any, timeout: float, search: "MemorySearch | None") -> "LastWords":
    """Read a libvirt domain, a `libvirt.virDomain`, before libvirt's time is over."""
    from onpanic.why.readers.from_domain import words_in_domain

    return words_in_domain(domain, 0.9 * timeout, search=search)
