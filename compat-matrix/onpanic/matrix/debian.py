"""The command ``python -m onpanic.matrix.debian``: fetch emulators of other Debian suites, and run them.

::

    python -m onpanic.matrix.debian trixie --into emulators
    python -m onpanic.matrix.debian trixie --run qemu-system-x86_64 -machine help

The work is done by `onpanic.matrix.sources.debian_suites`.
"""

import argparse
import io
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from onpanic.core.errors import FetchError, MissingExtraError
from onpanic.matrix.sources.debian_suites import (
    ALL_PACKAGES,
    PACKAGES,
    SUITES,
    Root,
    default_folder,
    fetch,
    unpacked,
)

__all__ = ("ALL_PACKAGES", "PACKAGES", "SUITES", "Root", "default_folder", "fetch", "main")


def main(argv: Sequence[str] | None = None) -> int:
    """Fetch suites and print one command line per emulator; return the exit status.

    With ``--run``, run an emulator of a suite that was fetched before:
    ``trixie --run qemu-system-arm -M help``.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    run = words.index("--run") if "--run" in words else len(words)
    parser = argparse.ArgumentParser("python -m onpanic.matrix.debian", description=main.__doc__)
    parser.add_argument("suites", nargs="+", choices=SUITES, metavar="SUITE", help=", ".join(SUITES))
    parser.add_argument(
        "--into", type=Path, metavar="DIR", help="the folder of all suites (default: in your cache)"
    )
    parser.add_argument("--package", action="append", metavar="P", help="a package to fetch; repeatable")
    parser.add_argument(
        "--run", metavar="EMULATOR", help="run this emulator with the rest of the command line"
    )
    options = parser.parse_args(words[: run + 2])
    try:
        into = options.into or default_folder()
        if options.run:
            command = unpacked(options.suites[0], into).command(options.run)
            os.execvp(command[0], [*command, *words[run + 2 :]])  # noqa: S606  no shell is wanted
        for suite in options.suites:
            root = fetch(suite, options.package or PACKAGES, into=into)
            for emulator in root.emulators():
                sys.stdout.write(shlex.join(root.command(emulator)) + "\n")
    except (FetchError, MissingExtraError) as error:
        sys.stderr.write(f"{error.message}\n" + (f"next: {error.hint}\n" if error.hint else ""))
        return 1
    except OSError as error:  # bwrap cannot be executed
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # names of files need not be text
    sys.exit(main())
