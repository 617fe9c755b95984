"""Writing a translated domain, and printing notes about it."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from onpanic.cli.argument_files import write_result
from onpanic.cli.output import print_note

if TYPE_CHECKING:
    from onpanic.shims.translation.notes import Note
    from onpanic.shims.translation.translate import Translation

__all__ = ("print_notes", "write_translation")


def write_translation(
    translation: "Translation[bytes]", notes: "Sequence[Note]", arguments: argparse.Namespace
) -> None:
    """Write a translated domain, and print notes about it."""
    write_result(arguments.output, translation.xml)
    if translation.policy is None and not arguments.quiet:
        print_note("the domain states no policy: nothing was changed")
    print_notes(notes, arguments)


def print_notes(notes: "Sequence[Note]", arguments: argparse.Namespace) -> None:
    """Print notes about a policy, unless --quiet is given."""
    if not arguments.quiet:
        for note in notes:
            print_note(f"{note.code}: {note.reason}", note.remedy)
