"""Processes of which only a note is left: their number and, as numbers come again, when they started."""

from pathlib import Path

__all__ = ("alive", "identity")


def identity(pid: int) -> str:
    """Return what tells a process from all others of this boot; empty if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else f"{pid}:{fields[19]}"  # proc(5): its state; starttime


def alive(found: str) -> bool:
    """Say if a process runs still.

    :param found: What `identity` has returned.
    """
    return identity(int(found.partition(":")[0])) == found
