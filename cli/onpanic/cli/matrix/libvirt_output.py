"""Prints records of libvirts: side by side, and what changed from one to another."""

import sys
from collections.abc import Sequence
from itertools import groupby

from onpanic.cli.terminal import style_for
from onpanic.core.untrusted import printable
from onpanic.matrix.libvirts.libvirt_record import LibvirtRecord
from onpanic.matrix.libvirts.libvirt_table import LibvirtRow, libvirt_changes, libvirt_table

__all__ = ("print_libvirt_changes", "print_libvirts")


def print_libvirts(records: dict[str, LibvirtRecord]) -> None:
    """Print the table of records: a row for each question, a column for each libvirt that answers it."""
    style = style_for(sys.stdout)
    whole = libvirt_table(records)
    first = max((len(row.name) for row in whole.rows), default=0)
    for columns, tables in groupby(whole.groups(), key=lambda table: table.columns):
        same = list(tables)
        heads = [printable(f"{column.name}, {column.about}") for column in columns]
        widths = _widths([row for table in same for row in table.rows], heads)
        print(style.paint("  ".join([" " * (first + 2), *_padded(heads, widths)]).rstrip(), "dim"))
        for table in same:
            print(style.paint(printable(table.rows[0].group), "title"))
            for row in table.rows:
                cells = _padded([printable(cell.text) for cell in row.cells], widths)
                print("  ".join([f"  {printable(row.name):{first}}", *cells]).rstrip())


def print_libvirt_changes(before: LibvirtRecord, after: LibvirtRecord) -> None:
    """Print what changed from one record to another."""
    columns = libvirt_table({"before": before, "after": after}).columns
    for word, column in zip(("from", "to  "), columns, strict=True):
        print(f"{word} {printable(f'{column.name}, {column.about}')}")
    found = libvirt_changes(before, after)
    for change in found:
        print(f"  {printable(f'{change.group}: {change.name}')}")
        print(f"    {printable(change.before)}  ->  {printable(change.after)}")
    if not found:
        print("  nothing changed in what was asked of both")


def _widths(rows: Sequence[LibvirtRow], heads: list[str]) -> list[int]:
    texts = [[row.cells[index].text for row in rows] for index in range(len(heads))]
    return [max(map(len, [head, *column])) for head, column in zip(heads, texts, strict=True)]


def _padded(texts: list[str], widths: list[int]) -> list[str]:
    return [f"{text:{width}}" for text, width in zip(texts, widths, strict=True)]
