"""The documents in files and folders: a document a file, or one a line, or an array of them."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

__all__ = ("DOCUMENT_LIMIT", "HostDocument", "documents_in", "documents_of", "split_documents")

#: Bytes of a file that are read: a host with all machine types of 30 emulators has 20 MB, and a file may hold
#: many hosts.
DOCUMENT_LIMIT = 4 * 2**30


class HostDocument(msgspec.Struct, frozen=True):
    """A document that was found.

    :param source: Where: the file, with ``:LINE`` if it holds several.
    :param data: The document; empty if there is a problem.
    :param problem: Why it could not be read; empty if it could.
    """

    source: str
    data: bytes
    problem: str = ""


def documents_of(sources: Iterable[str], stdin: BinaryIO) -> Iterator[HostDocument]:
    """Yield the documents of files and folders.

    A folder stands for all files in it and below it, but for hidden ones.  A file that cannot be read is a
    document with a problem.

    :param sources: Files and folders; ``-`` for standard input.
    """
    for source in sources:
        if source == "-":
            yield from split_documents("standard input", stdin.read())
        else:
            for path in documents_in(Path(source)):
                try:
                    yield from split_documents(str(path), path.read_bytes())
                except OSError as error:
                    yield HostDocument(str(path), b"", error.strerror or str(error))


def documents_in(path: Path) -> Iterator[Path]:
    """Yield a file, or the files of a folder in the order of their names."""
    if not path.is_dir():
        yield path
        return
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))


def split_documents(source: str, data: bytes) -> Iterator[HostDocument]:
    """Yield the documents of a file: the whole of it, an item of an array, or a line each."""
    stripped = data.strip()
    if stripped.startswith(b"["):
        try:
            items = msgspec.json.decode(stripped, type=list[msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            yield HostDocument(source, data)
            return
        for number, item in enumerate(items, 1):
            yield HostDocument(f"{source}[{number}]", bytes(item))
        return
    lines = stripped.split(b"\n")
    if len(lines) == 1 or not _is_document(lines[0]):
        yield HostDocument(source, data)
        return
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            yield HostDocument(f"{source}:{number}", line)


def _is_document(line: bytes) -> bool:
    """Return whether the first of several lines stands alone, so that the file has a document a line."""
    found = line.strip()
    return found.startswith(b"{") and len(found) > 1 and not found.endswith((b"{", b","))
