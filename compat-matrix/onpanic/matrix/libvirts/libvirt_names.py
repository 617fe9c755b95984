"""libvirt's names of states, events and lifecycle actions, which its API has as numbers.

The source is libvirt-domain.h.  A number without a name here is shown as a number.
"""

from collections.abc import Mapping, Sequence

__all__ = ("ACTIONS", "event_name", "state_name")

#: The numbers of lifecycle actions (``virDomainLifecycleAction``), by their names in domain XML.
ACTIONS: Mapping[str, int] = {
    "destroy": 0,
    "restart": 1,
    "rename-restart": 2,
    "preserve": 3,
    "coredump-destroy": 4,
    "coredump-restart": 5,
    "preserve-running": 6,
}

# virDomainState, each with its reasons
_STATES: Mapping[int, tuple[str, Mapping[int, str]]] = {
    0: ("no state", {}),
    1: ("running", {1: "booted", 5: "unpaused", 9: "crashed"}),
    2: ("blocked", {}),
    3: ("paused", {1: "user", 5: "I/O error", 8: "shutting down", 10: "crashed", 11: "starting up"}),
    4: ("in shutdown", {1: "user"}),
    5: ("shut off", {1: "shutdown", 2: "destroyed", 3: "crashed", 6: "failed"}),
    6: ("crashed", {1: "panicked"}),
    7: ("pmsuspended", {}),
}

# virDomainEventType, each with its details
_EVENTS: Mapping[int, tuple[str, Mapping[int, str]]] = {
    0: ("defined", {0: "added", 1: "updated"}),
    1: ("undefined", {0: "removed"}),
    2: ("started", {0: "booted"}),
    3: ("suspended", {0: "paused"}),
    4: ("resumed", {0: "unpaused"}),
    5: ("stopped", {0: "shutdown", 1: "destroyed", 2: "crashed", 5: "failed"}),
    6: ("shutdown", {0: "finished", 1: "guest", 2: "host"}),
    7: ("pmsuspended", {}),
    8: ("crashed", {0: "panicked"}),
}


def state_name(state: Sequence[int]) -> str:
    """Return a state and its reason as virsh prints them: ``shut off (crashed)``."""
    return _named(state, _STATES)


def event_name(event: Sequence[int]) -> str:
    """Return a lifecycle event and its detail: ``stopped (crashed)``."""
    return _named(event, _EVENTS)


def _named(pair: Sequence[int], names: Mapping[int, tuple[str, Mapping[int, str]]]) -> str:
    kind, detail = pair
    name, details = names.get(kind, (f"{kind}", {}))
    found = details.get(detail, "" if detail == 0 else f"{detail}")
    return f"{name} ({found})" if found else name
