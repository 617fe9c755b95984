"""The documents in files and folders: a document a file, or one a line, or an array of them."""

import os
import stat
from codecs import BOM_UTF8 as _BOM
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import BinaryIO

import msgspec

__all__ = ("DOCUMENT_LIMIT", "FILE_LIMIT", "HostDocument", "documents_of", "split_documents")

#: Bytes of a document that are read: a host with all machine types of 30 emulators has 20 MB.
DOCUMENT_LIMIT = 64 * 2**20

#: Bytes of a file that are read, if it has not a document a line; then there is no limit.
FILE_LIMIT = 4 * DOCUMENT_LIMIT


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
    read is a document with a problem; so is one without a document.

    :param sources: Files and folders; ``-`` for standard input.
    """
    for source in sources:
        if source == "-":
            yield from _documents_read("standard input", lambda: nullcontext(stdin))
        elif os.path.isdir(source):  # noqa: PTH112  as what follows
            found = _documents_below(source)
            first = next(found, HostDocument(_name(source), b"", "a folder without a file"))
            yield from chain((first,), found)
        else:
            yield from _documents_in(source)


def _name(path: str) -> str:
    """Return a path as text: its bytes may be no UTF-8."""
    return os.fsencode(path).decode(errors="replace")


def _documents_in(path: str) -> Iterator[HostDocument]:
    """Yield the documents of a file."""
    return _documents_read(_name(path), lambda: open(path, "rb"))  # noqa: PTH123  of a hundred thousand files


def _documents_read(
    source: str, opened: Callable[[], AbstractContextManager[BinaryIO]]
) -> Iterator[HostDocument]:
    """Yield the documents of a file; if it cannot be read to its end, a last one with the problem."""
    try:
        with opened() as file:
            yield from _documents_in_stream(source, file)
    except OSError as error:
        yield HostDocument(source, b"", error.strerror or str(error))


def _documents_in_stream(source: str, stream: BinaryIO) -> Iterator[HostDocument]:
    """Yield the documents of a file as they are read, if it has one on each line."""
    begin: list[bytes] = []
    found: list[tuple[int, bytes]] = []
    while len(found) < 2 and (line := stream.readline(DOCUMENT_LIMIT + 1)):
        begin.append(line)
        if line.strip():
            found.append((len(begin), line))
    if len(found) == 2 and _stands_alone(found[0][1].removeprefix(_BOM)):
        _skip_rest(found[1][1], stream)
        yield from _on_lines(source, chain(found, enumerate(_lines(stream), len(begin) + 1)))
        return
    if found and len(found[0][1]) > DOCUMENT_LIMIT and not found[0][1].lstrip().startswith(b"["):
        yield HostDocument(source, b"", f"a line of more than {_mib(DOCUMENT_LIMIT)}: nothing of it counts")
        return
    data = b"".join(begin)
    data += stream.read(FILE_LIMIT + 1 - len(data))
    if len(data) > FILE_LIMIT:
        problem = f"larger than {_mib(FILE_LIMIT)}, and not a document a line: none of its documents counts"
        yield HostDocument(source, b"", problem)
        return
    yield from split_documents(source, data)


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield lines; of one that is too long only the first bytes, one more than a document may have."""
    while line := stream.readline(DOCUMENT_LIMIT + 1):
        yield line
        _skip_rest(line, stream)


def _skip_rest(line: bytes, stream: BinaryIO) -> None:
    """Read what is left of a line that is too long."""
    while len(line) > DOCUMENT_LIMIT and not line.endswith(b"\n"):
        line = stream.readline(DOCUMENT_LIMIT + 1)


def _documents_below(top: str) -> Iterator[HostDocument]:
    """Yield the documents of a folder in the order of their names, and then those of the folders in it."""
    folders = [top]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            yield HostDocument(_name(folder), b"", error.strerror or str(error))
            continue
        visible = [entry for entry in entries if not entry.name.startswith(".")]
        folders += [entry.path for entry in visible if entry.is_dir(follow_symlinks=False)]
        for entry in reversed(visible):
            if not entry.is_dir(follow_symlinks=False):
                problem = "" if entry.is_file(follow_symlinks=False) else _irregular(entry.path)
                if problem:
                    yield HostDocument(_name(entry.path), b"", problem)
                else:
                    yield from _documents_in(entry.path)


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
    text = data.removeprefix(_BOM).strip()
    if text.startswith(b"["):
        yield from _in_array(source, text)
        return
    lines = text.split(b"\n")
    several = len(lines) > 1 and not _is_json(text) and any(map(_stands_alone, lines))
    if several:
        yield from _on_lines(source, enumerate(data.split(b"\n"), 1))
    else:
        yield _document(source, text)


def _in_array(source: str, text: bytes) -> Iterator[HostDocument]:
    """Yield the documents of an array; one that is damaged has none, as it does not say where each begins."""
    try:
        items = msgspec.json.decode(text, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        problem = f"an array that is not JSON, or truncated: none of its documents counts: {detail}"
        yield HostDocument(source, b"", problem)
        return
    if not items:
        yield HostDocument(source, b"", "an array without a document")
    for number, item in enumerate(items, 1):
        yield _document(f"{source}[{number}]", bytes(item))


def _on_lines(source: str, lines: Iterable[tuple[int, bytes]]) -> Iterator[HostDocument]:
    """Yield a document for each line that is not blank."""
    for number, line in lines:
        text = (line.removeprefix(_BOM) if number == 1 else line).strip()
        if text:
            yield _document(f"{source}:{number}", text, len(line))


def _document(source: str, data: bytes, length: int = 0) -> HostDocument:
    """Return a document.

    :param length: How long its line is, as far as it was read.
    """
    if max(len(data), length) > DOCUMENT_LIMIT:
        return HostDocument(source, b"", f"larger than {_mib(DOCUMENT_LIMIT)}")
    return HostDocument(source, data)


def _mib(size: int) -> str:
    return f"{size // 2**20} MiB"


def _stands_alone(line: bytes) -> bool:
    """Return whether a line is a JSON object."""
    text = line.strip()
    return text.startswith(b"{") and text.endswith(b"}") and _is_json(text)


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
