"""Many hosts: which policies all of them keep, and where a guest can migrate.

Data goes through the sub-packages in this order:

`hosts`       the record of one host
`documents`   reading the records of many: a `Fleet`
`judging`     which policies one host keeps, and what a domain becomes there
`verdict`     which policies all of them keep: a `FleetVerdict`
`drift`       what has changed between two collections of a fleet's records
`migration`   where a guest can migrate

`collecting` makes the record of this host, and `outputs` shows a host's record in other forms.

Names are imported when they are first used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onpanic.fleet.documents.document_files import HostDocument, documents_of
    from onpanic.fleet.documents.fleet import Fleet, FleetHost, FleetNote, HostClass, Uncounted
    from onpanic.fleet.documents.read_fleet import read_fleet
    from onpanic.fleet.drift.drift_of import drift_of
    from onpanic.fleet.drift.fleet_drift import FleetDrift
    from onpanic.fleet.fleet_translation import FleetTranslation, translate_for_fleet
    from onpanic.fleet.hosts.host_record import FailedHost, HostRecord
    from onpanic.fleet.migration.asked_guest import DomainGuest, PlainGuest
    from onpanic.fleet.migration.exchange import migration_of
    from onpanic.fleet.migration.migration_answer import MigrationAnswer
    from onpanic.fleet.verdict.fleet_verdict import FleetVerdict
    from onpanic.fleet.verdict.verdict_of import verdict_of
else:
    from onpanic.core.lazy_imports import lazy_imports

    __getattr__, __dir__ = lazy_imports(
        __name__,
        {
            "onpanic.fleet.documents.document_files": ("HostDocument", "documents_of"),
            "onpanic.fleet.documents.fleet": ("Fleet", "FleetHost", "FleetNote", "HostClass", "Uncounted"),
            "onpanic.fleet.documents.read_fleet": ("read_fleet",),
            "onpanic.fleet.drift.drift_of": ("drift_of",),
            "onpanic.fleet.drift.fleet_drift": ("FleetDrift",),
            "onpanic.fleet.fleet_translation": ("FleetTranslation", "translate_for_fleet"),
            "onpanic.fleet.hosts.host_record": ("FailedHost", "HostRecord"),
            "onpanic.fleet.verdict.fleet_verdict": ("FleetVerdict",),
            "onpanic.fleet.verdict.verdict_of": ("verdict_of",),
            "onpanic.fleet.migration.asked_guest": ("DomainGuest", "PlainGuest"),
            "onpanic.fleet.migration.exchange": ("migration_of",),
            "onpanic.fleet.migration.migration_answer": ("MigrationAnswer",),
        },
    )

__all__ = (
    "DomainGuest",
    "FailedHost",
    "Fleet",
    "FleetDrift",
    "FleetHost",
    "FleetNote",
    "FleetTranslation",
    "FleetVerdict",
    "HostClass",
    "HostDocument",
    "HostRecord",
    "MigrationAnswer",
    "PlainGuest",
    "Uncounted",
    "documents_of",
    "drift_of",
    "migration_of",
    "read_fleet",
    "translate_for_fleet",
    "verdict_of",
)
