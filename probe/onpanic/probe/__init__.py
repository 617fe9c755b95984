"""Ask a QEMU what happens when its guest panics, and decide which policies can be honoured.

::

    from onpanic.probe import probe

    record = probe("/usr/bin/qemu-system-x86_64")
    decision = record.accepts("restart", coredump=True, machine="q35")
    if not decision:
        print(decision.code, decision.reason, decision.remedy)

Names are imported when they are first used: the command starts the emulator before it imports
the rest.
"""

from typing import TYPE_CHECKING

from onpanic.core.version import __version__

if TYPE_CHECKING:
    from onpanic.core.errors import (
        DeadlineError,
        EmulatorError,
        EndedError,
        FileError,
        MissingExtraError,
        OnpanicError,
        ProtocolFault,
        RecordError,
        RecordingError,
        SourceError,
        StartError,
        UsageError,
    )
    from onpanic.probe.api import aprobe, probe
    from onpanic.probe.decision.policy import Policy
    from onpanic.probe.decision.rules import Capabilities, Decision, decide
    from onpanic.probe.facts import Fact
    from onpanic.probe.record.capability_record import CapabilityRecord, MachineRecord
    from onpanic.probe.xen.probe_xen import probe_xen
else:
    from onpanic.core.lazy_imports import lazy_imports

    __getattr__, __dir__ = lazy_imports(
        __name__,
        {
            "onpanic.core.errors": (
                "DeadlineError",
                "EmulatorError",
                "EndedError",
                "FileError",
                "MissingExtraError",
                "OnpanicError",
                "ProtocolFault",
                "RecordError",
                "RecordingError",
                "SourceError",
                "StartError",
                "UsageError",
            ),
            "onpanic.probe.api": ("aprobe", "probe"),
            "onpanic.probe.decision.policy": ("Policy",),
            "onpanic.probe.decision.rules": ("Capabilities", "Decision", "decide"),
            "onpanic.probe.facts": ("Fact",),
            "onpanic.probe.record.capability_record": ("CapabilityRecord", "MachineRecord"),
            "onpanic.probe.xen.probe_xen": ("probe_xen",),
        },
    )

__all__ = (  # noqa: RUF022
    # Most to least important
    "probe",
    "aprobe",
    "probe_xen",
    "CapabilityRecord",
    "MachineRecord",
    "Fact",
    "Decision",
    "Policy",
    "Capabilities",
    "decide",
    "__version__",
    # Exceptions, most generic to most explicit
    "OnpanicError",
    "UsageError",
    "FileError",
    "MissingExtraError",
    "EmulatorError",
    "StartError",
    "EndedError",
    "DeadlineError",
    "ProtocolFault",
    "SourceError",
    "RecordError",
    "RecordingError",
)
