"""What has changed between two collections of one fleet.

The JSON form has schema version 1; the JSON Schema is the file ``drift.schema.json`` in this folder.
"""

from typing import Any, Literal

import msgspec

from onpanic.core.json_decoding import read_schema
from onpanic.core.untrusted import wellformed
from onpanic.fleet.documents.fleet import FleetNote, Uncounted
from onpanic.fleet.drift.drift_changes import DriftChange

__all__ = ("ChangedHosts", "DriftSide", "FleetDrift", "RenamedHost", "SystemChange")


class DriftSide(msgspec.Struct, frozen=True):
    """One of the two collections.

    :param hosts: How many hosts it is about.
    :param uncounted: What it leaves out, each with its reason.
    :param notes: What may make the answer wrong.
    """

    hosts: int
    uncounted: tuple[Uncounted, ...]
    notes: tuple[FleetNote, ...]


class ChangedHosts(msgspec.Struct, frozen=True):
    """Hosts on which the same has changed.

    :param hosts: Their names in the new collection.
    :param changes: What has changed, the most important first.
    """

    hosts: tuple[str, ...]
    changes: tuple[DriftChange, ...]


class RenamedHost(msgspec.Struct, frozen=True):
    """A host with the same identifier and another name.

    :param old: The name in the old collection.
    :param new: The name in the new one.
    """

    old: str
    new: str


class SystemChange(msgspec.Struct, frozen=True):
    """What hosts run now instead of what they ran.

    :param what: See `HostSystem`.
    :param old: What they ran.
    :param new: What they run now.
    :param hosts: How many hosts.
    """

    what: Literal["os", "kernel", "architecture"]
    old: str
    new: str
    hosts: int


class FleetDrift(msgspec.Struct, frozen=True, kw_only=True):
    """What has changed.

    Every host of the old collection is one of `same`, `reworded`, `changed`, `gone` and `no_longer_counted`;
    every host of the new one is one of `same`, `reworded`, `changed`, `added` and `counted_again`.

    :param schema_version: The version of this form.
    :param old: The old collection.
    :param new: The new one.
    :param same: How many hosts have equal records in both.
    :param reworded: Hosts whose records differ in wording only.
    :param changed: Hosts on which something has changed, in groups with the same changes: the group with the
        most important change first.
    :param gone: Hosts that only the old collection has.
    :param no_longer_counted: Hosts of the old collection that are not counted in the new one, and why.
    :param added: Hosts that only the new collection has.
    :param counted_again: Hosts of the new collection that were not counted in the old one, with the reason.
    :param renamed: Hosts that have another name now; they are in one of the other members, too.
    :param reinstalled: Hosts that have another identifier now; they are in one of the other members, too.
    :param not_newer: Hosts whose record in the new collection is not newer than the one in the old: they were
        not asked again, a clock is wrong, or the collections were swapped.  They are in one of the other
        members, too.
    :param system: What hosts of both run, where it has changed.
    """

    schema_version: Literal[1] = 1
    old: DriftSide
    new: DriftSide
    same: int
    reworded: tuple[str, ...]
    changed: tuple[ChangedHosts, ...]
    gone: tuple[str, ...]
    no_longer_counted: tuple[Uncounted, ...]
    added: tuple[str, ...]
    counted_again: tuple[Uncounted, ...]
    renamed: tuple[RenamedHost, ...]
    reinstalled: tuple[str, ...]
    not_newer: tuple[str, ...]
    system: tuple[SystemChange, ...]

    @property
    def drifted(self) -> bool:
        """Whether something has changed that bears on a guest's panic, or the hosts are not the same.

        Other words, another kernel or another operating system alone do not.
        """
        hosts = (
            self.gone,
            self.no_longer_counted,
            self.added,
            self.counted_again,
            self.renamed,
            self.reinstalled,
        )
        return bool(self.changed) or any(hosts)

    def to_json(self) -> bytes:
        """Return it as one line of JSON."""
        return msgspec.json.encode(wellformed(msgspec.to_builtins(self)))

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """Return the JSON Schema: the file that is installed with the package."""
        return read_schema(__package__, "drift.schema.json")
