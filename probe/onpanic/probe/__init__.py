"""Ask a QEMU what happens when its guest panics, and decide what may be promised.

::

    from onpanic.probe import probe

    record = probe("/usr/bin/qemu-system-x86_64")
    decision = record.accepts("restart", coredump=True, machine="q35")
    if not decision:
        print(decision.code, decision.reason, decision.remedy)

Names are loaded when they are first used: the command starts the emulator before it
loads the rest.
"""

from typing import TYPE_CHECKING

from .lazy import loading

if TYPE_CHECKING:
    from .api import aprobe, probe
    from .decision import Capabilities, Decision, Policy, decide
    from .errors import (
        DeadlineError,
        EmulatorError,
        EndedError,
        OnpanicError,
        ProtocolFault,
        RecordError,
        RecordingError,
        SourceError,
        StartError,
    )
    from .facts import Fact
    from .record import CapabilityRecord, MachineRecord

__all__ = (  # noqa: RUF022
    # Most to least important
    "probe",
    "aprobe",
    "CapabilityRecord",
    "MachineRecord",
    "Fact",
    "Decision",
    "Policy",
    "Capabilities",
    "decide",
    # Exceptions, most generic to most explicit
    "OnpanicError",
    "EmulatorError",
    "StartError",
    "EndedError",
    "DeadlineError",
    "ProtocolFault",
    "RecordError",
    "RecordingError",
    "SourceError",
)

_HOMES = {
    "api": ("aprobe", "probe"),
    "decision": ("Capabilities", "Decision", "Policy", "decide"),
    "errors": (
        "DeadlineError",
        "EmulatorError",
        "EndedError",
        "OnpanicError",
        "ProtocolFault",
        "RecordError",
        "RecordingError",
        "SourceError",
        "StartError",
    ),
    "facts": ("Fact",),
    "record": ("CapabilityRecord", "MachineRecord"),
}
__getattr__, __dir__ = loading(__name__, _HOMES)
