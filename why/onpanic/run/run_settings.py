"""What a user wants of a run."""

from pathlib import Path
from typing import NamedTuple

__all__ = ("RunSettings",)


class RunSettings(NamedTuple):
    """What the user wants of a run.

    :param timeout: Seconds after which the guest is ended; None for never.
    :param dump: The file for the guest's memory, if it panicked; None for no dump.
    :param most_resets: How many quick resets in a row are a loop; 0 if none are.
    :param keep: Whether a guest that panicked stays as it is, and QEMU runs on.
    :param look: After how many seconds without an event the log is read for a panic; None for never.
    """

    timeout: float | None = None
    dump: Path | None = None
    most_resets: int = 20
    keep: bool = False
    look: float | None = None
