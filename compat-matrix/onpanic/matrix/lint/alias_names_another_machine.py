"""An alias is not the name of another machine type.

That two machine types share one is QEMU's own doing (powernv, in 10.0), and no fault of a record.
"""

from collections.abc import Iterator

from onpanic.probe.record import CapabilityRecord


def check(_name: str, record: CapabilityRecord) -> Iterator[str]:
    """Yield what is wrong with the aliases of a record."""
    names = {machine.name for machine in record.machines}
    for machine in record.machines:
        for alias in machine.aliases:
            if alias in names and alias != machine.name:
                yield f"{alias} is an alias of {machine.name}, and a machine type itself"
