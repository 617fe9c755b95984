"""Writing a translated domain, and printing notes about it."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from onpanic.cli.argument_files import write_result
from onpanic.cli.output import print_note

if TYPE_CHECKING:
    from onpanic.shims.translation.mapping import Note
    from onpanic.shims.translation.translate import Translation

__all__ = ("write_translation",)


def write_translation(
    translation: "Translation[bytes]", notes: "Sequence[Note]", arguments: argparse.Namespace
) -> None:
    """Write a translated domain, and print notes about it."""
    write_result(arguments.output, translation.xml)
    if not arguments.quiet:
        if translation.policy is None:
            print_note("the domain states no policy: nothing was changed")
        for note in notes:
            print_note(f"{note.code}: {note.reason}", note.remedy)
