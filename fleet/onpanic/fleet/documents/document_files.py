"""The documents in files and folders: a document a file, or one a line, or an array of them."""

import os
import stat
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import msgspec

__all__ = ("HostDocument", "documents_of", "split_documents")


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

    A folder stands for all files in it and below it, but for hidden ones.  A file or folder that cannot be
    read is a document with a problem.

    :param sources: Files and folders; ``-`` for standard input.
    """
    for source in sources:
        if source == "-":
            yield from split_documents("standard input", stdin.read())
        elif os.path.isdir(source):  # noqa: PTH112  as what follows
            yield from _documents_below(source)
        else:
            yield from _documents_in(source)


def _documents_in(path: str) -> Iterator[HostDocument]:
    """Yield the documents of a file."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123  of a hundred thousand files
            data = file.read()
    except OSError as error:
        yield HostDocument(path, b"", error.strerror or str(error))
    else:
        yield from split_documents(path, data)


def _documents_below(top: str) -> Iterator[HostDocument]:
    """Yield the documents of a folder in the order of their names, and then those of the folders in it."""
    folders = [top]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            yield HostDocument(folder, b"", error.strerror or str(error))
            continue
        visible = [entry for entry in entries if not entry.name.startswith(".")]
        folders += [entry.path for entry in visible if entry.is_dir(follow_symlinks=False)]
        for entry in reversed(visible):
            if not entry.is_dir(follow_symlinks=False):
                problem = "" if entry.is_file(follow_symlinks=False) else _irregular(entry.path)
                yield from [HostDocument(entry.path, b"", problem)] if problem else _documents_in(entry.path)


def _irregular(path: str) -> str:
    """Return why a link or a special file is not read; empty if it is the link of a file.

    To open a pipe would wait for its writer, and links of folders may lead in circles.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except OSError as error:
        return error.strerror or str(error)
    if stat.S_ISDIR(mode):
        return "a link to a folder: name the folder itself"
    return "" if stat.S_ISREG(mode) else "not a regular file"


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
