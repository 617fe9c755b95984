"""Runs a user's QEMU, and tells why its guest panicked: for tests of kernels.

The command stays the user's: its terminal, its monitors, its exit status.  Three things are added where the
machine type takes them: a panic notifier, the device vmcoreinfo, and a QMP monitor for onpanic on a socket
that QEMU inherits.

The modules, in the direction of imports::

    run_settings      what the user wants
    run_command       what the user's command says, and what is added to it
    accepted_devices  asks the emulator which devices the machine type takes
    signal_forwarder  forwards signals to QEMU
    run_process       QEMU's process
    run_start         starts it
    run_events        pure: what QEMU's events mean
    memory_copy       a copy of the guest's memory in a file
    run_result        how it ended: the result, its exit status, and its text
    followed_guest    reads, dumps and resets the guest as its events require
    run_guest         follows the run until QEMU has ended
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onpanic.run.run_result import RunResult
else:
    from onpanic.core.lazy_imports import lazy_imports

    __getattr__, __dir__ = lazy_imports(__name__, {"onpanic.run.run_result": ("RunResult",)})

__all__ = ("RunResult",)
