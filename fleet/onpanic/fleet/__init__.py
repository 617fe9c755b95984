"""Many hosts: what each can do, what all of them can, and where a guest may migrate.

Data goes through the sub-packages in this order:

`hosts`       the record of one host
`documents`   reading the records of many: a `Fleet`

Names are imported when they are first used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onpanic.fleet.documents.document_files import HostDocument, documents_of
    from onpanic.fleet.documents.fleet import Fleet, FleetHost, FleetNote, HostClass, Uncounted
    from onpanic.fleet.documents.read_fleet import read_fleet
    from onpanic.fleet.hosts.host_record import FailedHost, HostRecord
else:
    from onpanic.core.lazy_imports import lazy_imports

    __getattr__, __dir__ = lazy_imports(
        __name__,
        {
            "onpanic.fleet.documents.document_files": ("HostDocument", "documents_of"),
            "onpanic.fleet.documents.fleet": ("Fleet", "FleetHost", "FleetNote", "HostClass", "Uncounted"),
            "onpanic.fleet.documents.read_fleet": ("read_fleet",),
            "onpanic.fleet.hosts.host_record": ("FailedHost", "HostRecord"),
        },
    )

__all__ = (
    "FailedHost",
    "Fleet",
    "FleetHost",
    "FleetNote",
    "HostClass",
    "HostDocument",
    "HostRecord",
    "Uncounted",
    "documents_of",
    "read_fleet",
)
