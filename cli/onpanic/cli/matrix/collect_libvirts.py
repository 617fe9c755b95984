"""The part of ``onpanic matrix collect`` that collects records of libvirts."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from onpanic.cli.signals import interruptible
from onpanic.core.errors import OnpanicError
from onpanic.core.libvirt_api import silence_libvirt
from onpanic.matrix.collecting.suite_libvirts import record_suite_libvirt
from onpanic.matrix.collecting.workers import CollectOutcome
from onpanic.matrix.libvirts.collect_libvirt import record_libvirt
from onpanic.matrix.libvirts.libvirt_files import keep_libvirt_record
from onpanic.matrix.libvirts.libvirt_record import LibvirtRecord
from onpanic.matrix.sources.debian_libvirts import LIBVIRT_PACKAGES
from onpanic.matrix.sources.debian_suites import PACKAGES, default_folder, fetch

__all__ = ("collect_libvirts",)


def collect_libvirts(
    uris: list[str], suites: list[str], folder: Path, *, unpacked: Path | None, quiet: bool
) -> Iterator[CollectOutcome]:
    """Make and write the record of each libvirt, even if others fail, and yield the outcomes.

    :param uris: Connection URIs of libvirts that run already.
    :param suites: Debian suites.
    :param folder: Where records are written.
    :param unpacked: Where suites are unpacked; None for the default.
    :param quiet: Do not print what takes long.
    """

    def announce(text: str) -> None:
        if not quiet and sys.stderr:
            print(f"onpanic: {text}", file=sys.stderr)

    silence_libvirt()
    for uri in dict.fromkeys(uris):

        def of_uri(uri: str = uri) -> LibvirtRecord:
            announce(f"{uri}: starting guests that panic; this takes about half a minute")
            return record_libvirt(uri)

        yield _outcome(uri, folder, of_uri)
    for suite in dict.fromkeys(suites):

        def of_suite(suite: str = suite) -> LibvirtRecord:
            into = unpacked or default_folder()
            announce(f"{suite}: fetching its libvirt, unless it is in {into}")
            root = fetch(suite, [*PACKAGES, *LIBVIRT_PACKAGES], into=into)
            return record_suite_libvirt(root, announce)

        yield _outcome(f"libvirt of {suite}", folder, of_suite)


def _outcome(name: str, folder: Path, make: Callable[[], LibvirtRecord]) -> CollectOutcome:
    """Make a record and write it; every error becomes an outcome."""
    try:
        with interruptible():  # guests are removed before this process ends
            record = make()
        written, is_new = keep_libvirt_record(folder, record)
    except OnpanicError as error:
        return CollectOutcome(name, "failed", why=error.message, hint=error.hint)
    except OSError as error:
        return CollectOutcome(name, "failed", why=f"{folder}: {error.strerror}", hint="name another folder")
    problems = [guest for guest in record.guests if guest.end is None and guest.setting is None]
    why = f"a guest with <on_crash>{problems[0].on_crash}: {problems[0].problem}" if problems else ""
    return CollectOutcome(name, "collected" if is_new else "kept", written, why)
