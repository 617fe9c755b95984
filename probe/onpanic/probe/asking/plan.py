"""The plan of a probe: what to find out about an emulator."""

import os
from collections.abc import Callable

import msgspec

from onpanic.probe.emulator.notifier_models import NotifierModel

__all__ = ("ProbePlan", "Progress")

#: Called with the number of machine types that are done, and the total.
Progress = Callable[[int, int], None]


class ProbePlan(msgspec.Struct, frozen=True):
    """What to find out about an emulator.

    :param machines: Machine types, names or aliases; empty for the default one.
    :param all_machines: All machine types that the emulator has, instead.
    :param introspect_only: Start no guest CPU: nothing is observed.
    :param acpi: Boot the firmware, twice for each x86 machine type, and read the ACPI tables.
    :param notifier: libvirt's model of the only notifier to ask about, and to judge by; None for all of them,
        and to judge by the best.
    :param timeout: Seconds that the emulator has for one machine type, and again for each of the
        devices and firmware that it is then started with.  An emulator that exceeds it for the first
        machine type, or for three others, is asked no more.
    :param jobs: How many emulators run at a time; 0 for one more than there are CPUs.
    :param if_there: Further machine types, names or aliases, of which the emulator may have none.
    """

    machines: tuple[str, ...] = ()
    all_machines: bool = False
    introspect_only: bool = False
    acpi: bool = False
    notifier: NotifierModel | None = None
    timeout: float = 10.0
    jobs: int = 0
    if_there: tuple[str, ...] = ()

    @property
    def slots(self) -> int:
        """How many emulators run at a time, as a number.

        One more than CPUs: an emulator waits a part of its time for the one who asks it.
        """
        return self.jobs if self.jobs > 0 else (os.cpu_count() or 1) + 1
