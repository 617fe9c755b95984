"""A record says one thing of each machine type, and has one default."""

from collections import Counter
from collections.abc import Iterator

from onpanic.probe.record import CapabilityRecord


def check(_name: str, record: CapabilityRecord) -> Iterator[str]:
    """Yield the machine types that stand in a record more than once."""
    for machine, times in Counter(machine.name for machine in record.machines).items():
        if times > 1:
            yield f"{machine} stands in it {times} times"
    defaults = [machine.name for machine in record.machines if machine.default]
    if len(defaults) > 1:
        yield f"more than one default machine type: {', '.join(defaults)}"
