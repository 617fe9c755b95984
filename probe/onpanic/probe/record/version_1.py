"""Records of schema version 1, which onpanic 0.1.0 wrote, as records of version 2.

Version 1 had one notifier for each machine type, whose facts were the machine's own, and no fact
``panic-action``: it follows from whether the guest was stopped, and from the event's action.  A guest that
cannot have a notifier reports no panic, and no panic stops it: version 1 left both unknown.
"""

import re
from typing import Any

from onpanic.core.errors import RecordError

__all__ = ("upgraded",)

_OF_NOTIFIER = (
    "pvpanic-attachable",
    "panic-reported",
    "panic-action",
    "panic-stops-guest",
    "cont-after-panic",
    "acpi-exposes-pvpanic",
)
_ARCHITECTURAL = ("s390", "pseries")
_WITHOUT_NOTIFIER = {"panic-reported": "no", "panic-action": "run", "panic-stops-guest": "no"}
_ACTION = re.compile(r"\baction (pause|poweroff|run)\b")


def upgraded(record: Any) -> Any:
    """Return a record of version 1, as JSON values, in the form of version 2.

    :raise RecordError: When its machine types are not in a list of objects.
    """
    machines = record.get("machines")
    if not isinstance(machines, list) or not all(isinstance(machine, dict) for machine in machines):
        raise RecordError("not a capability record: its machine types are missing", "probe again")
    return {**record, "schema_version": 2, "machines": [_machine(machine) for machine in machines]}


def _machine(machine: dict[str, Any]) -> dict[str, Any]:
    had = machine.get("notifier")
    old = had if isinstance(had, dict) else {}
    facts = dict(machine["facts"]) if isinstance(machine.get("facts"), dict) else {}
    if old.get("model") in _ARCHITECTURAL:
        words = "every machine of this architecture has it"
        facts["pvpanic-attachable"] = {"answer": "yes", "how": "documented", "detail": words}
    stops = facts.get("panic-stops-guest")
    if isinstance(stops, dict):
        facts["panic-action"] = _action(stops)
    facts |= _implied(facts)
    notifier = {
        "model": old.get("model"),
        "type": None,
        "facts": {name: facts[name] for name in _OF_NOTIFIER if name in facts},
        "event_mask": old.get("event_mask"),
        "on_panic": machine.get("on_panic"),
    }
    return {
        **machine,
        "facts": facts,
        "notifier": old.get("model"),
        "notifiers": [notifier] if old else [],
    }


def _implied(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts that follow from the guest having no notifier, which version 1 left unknown."""
    attachable = facts.get("pvpanic-attachable")
    if not isinstance(attachable, dict) or attachable.get("answer") != "no":
        return {}
    implied = {"how": attachable.get("how"), "detail": "the guest cannot have a notifier"}
    return {
        name: {"answer": answer, **implied}
        for name, answer in _WITHOUT_NOTIFIER.items()
        if isinstance(facts.get(name), dict) and facts[name].get("answer") == "unknown"
    }


def _action(stops: dict[str, Any]) -> dict[str, Any]:
    """Return the fact ``panic-action``, from whether the guest was stopped."""
    detail = str(stops.get("detail", ""))
    said = _ACTION.search(detail)
    ends_in = said[1] if said else "run" if "query-status: running" in detail else "unknown"
    answers = {"yes": "pause", "no": ends_in}
    answer = answers.get(str(stops.get("answer")), "unknown")
    return {**stops, "answer": answer, "how": stops.get("how") if answer != "unknown" else None}
