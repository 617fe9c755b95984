"""A document that is about a host."""

import re
from datetime import UTC, datetime
from pathlib import PurePath

import msgspec

from onpanic.fleet.hosts.host_record import HostName, HostSystem

__all__ = ("FoundDocument", "file_names", "moment")

# FILE:LINE, or FILE[NUMBER] for the item of an array
_ONE_OF_SEVERAL = re.compile(r"(:\d+|\[\d+\])\Z", re.ASCII)


class FoundDocument(msgspec.Struct):
    """A document that is about a host.

    :param at: When it was made; None if it does not say, or says something that is no time.
    :param stamp: What it says about that.
    :param number: The index of its class; None if the host did not answer.
    :param system: What the host runs; None if it did not answer.
    :param failure: Why the host did not answer; empty if it did.
    """

    host: HostName
    source: str
    at: datetime | None
    stamp: str
    number: int | None = None
    system: HostSystem | None = None
    failure: str = ""


def moment(stamp: str) -> datetime | None:
    """Return the moment that a time stamp says; None if it says none."""
    try:
        found = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def file_names(source: str) -> set[str]:
    """Return the names that the host of a document may have if the file is named after it.

    A file that holds several documents is named after no host.
    """
    if _ONE_OF_SEVERAL.search(source):
        return set()
    path = PurePath(source)
    return {path.name, path.stem}
