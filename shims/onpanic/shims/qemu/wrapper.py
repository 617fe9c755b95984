"""``onpanic-qemu``: translate an emulator's command line, and become the emulator.

::

    onpanic-qemu [--emulator EMULATOR] OPTIONS OF QEMU…

In 2013 it was proposed to rename the panic device that works to ``isa-pvpanic``.  A device that the options
ask for by that name gets the name under which the emulator has it; if the emulator has none that works, the
option is refused.  If the options ask for no panic device, one that the machine type creates by itself is
moved to a port where no guest looks for it.

The emulator is the one that is named; else the one in the wrapper's own name (if it is called
``onpanic-qemu-system-aarch64``, or ``qemu-system-aarch64`` in a folder of its own); else the host's.
If the options start a machine, the emulator is probed first.  If an option is refused, the wrapper
exits with status 1 and prints the reason on stderr, which libvirt shows.  All other command lines,
including those of libvirt's own probing, go to the emulator unchanged.  The emulator replaces the
wrapper's process.

libvirt caches what it knows about an emulator by the modification time of the emulator's file, which
here is the wrapper's.  After an update of QEMU, the wrapper must be touched.
"""

import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from onpanic.probe.emulator.command_line_parser import device_type, machine_type, option_values

__all__ = ("emulator_and_options", "main", "runs_a_machine")

_NAME = "onpanic-qemu"
# With these options QEMU prints something and exits
_PRINTS = {f"{dashes}{word}" for word in ("version", "help", "h") for dashes in ("-", "--")}


def main() -> NoReturn:
    """Translate the command line, and replace this process by the emulator."""
    from onpanic.core.errors import OnpanicError

    try:
        emulator, options = emulator_and_options(sys.argv)
        if runs_a_machine(options):
            options = _translated(emulator, options)
        _become(emulator, options)
    except OnpanicError as error:
        hint = f" ({error.hint})" if error.hint else ""
        print(f"{_NAME}: {error.message}{hint}", file=sys.stderr)
        raise SystemExit(error.exit_status) from error


def emulator_and_options(argv: Sequence[str]) -> tuple[str, list[str]]:
    """Return the emulator's path and its options.

    :param argv: The wrapper's own command line, with its name.
    :raise StartError: When there is no such emulator.
    """
    from onpanic.core.errors import StartError
    from onpanic.probe.host import host_emulator

    options = list(argv[1:])
    if options[:1] == ["--emulator"]:
        named = options[1] if len(options) > 1 else ""
        options = options[2:]
    else:
        _, found, target = os.path.basename(argv[0]).partition("qemu-system-")
        named = f"{found}{target}"
        if not named:
            return host_emulator(), options
    path = _find(named)
    if path is None:
        raise StartError(
            f"{named or 'the emulator'}: no such emulator", f"{_NAME} --emulator PATH", missing=True
        )
    return path, options


def runs_a_machine(options: Sequence[str]) -> bool:
    """Return whether options start a machine, and not just print something or serve libvirt's probing."""
    listed = option_values(options, "machine", "M", "cpu", "device", "accel", "netdev", "chardev")
    asks = any(value.split(",")[-1] in ("help", "?") for value in listed)
    return not (asks or _PRINTS & set(options) or machine_type(options) == "none")


def _translated(emulator: str, options: Sequence[str]) -> list[str]:
    from onpanic.core.errors import EmulatorError
    from onpanic.probe import probe
    from onpanic.shims.qemu.device_option import PROPOSED, translated_command_line, without_builtin

    machine = machine_type(options)
    try:
        record = probe(emulator, machines=[machine] if machine else (), notifier="isa")
    except EmulatorError:
        if PROPOSED in map(device_type, option_values(options, "device")):
            raise
        return without_builtin(options)  # which has no effect if there is none
    return translated_command_line(options, record, record.machines[0].name)


def _find(name: str) -> str | None:
    """Return an emulator's path as the shell would find it, without this wrapper; None if there is none."""
    folders = [""] if "/" in name else os.environ.get("PATH", os.defpath).split(":")
    for folder in folders:
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK) and not os.path.isdir(path) and not _is_this(path):
            return path
    return None


def _is_this(path: str) -> bool:
    return os.path.exists(sys.argv[0]) and os.path.samefile(path, sys.argv[0])


def _environment() -> dict[bytes, bytes]:
    """Return the environment that this process was started with; Python may add LC_CTYPE (PEP 538)."""
    with open("/proc/self/environ", "rb") as file:
        items = (item.partition(b"=") for item in file.read().split(b"\0"))
        return {name: value for name, equals, value in items if equals}


def _become(emulator: str, options: Sequence[str]) -> NoReturn:
    """Replace this process by the emulator.

    :raise StartError: When the emulator cannot be executed.
    """
    from onpanic.core.errors import StartError

    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them, and the emulator would inherit that
    try:
        os.execve(emulator, [emulator, *options], _environment())
    except OSError as error:
        raise StartError(f"{emulator}: {error.strerror}", f"{_NAME} --emulator PATH") from error
