"""``onpanic-qemu``: becomes the emulator, on a command line that it understands.

::

    onpanic-qemu [--emulator EMULATOR] OPTIONS OF QEMU…

The emulator is the one that is named, or the one that the wrapper is called after (as
``onpanic-qemu-system-aarch64``, or ``qemu-system-aarch64`` in a folder of its own), or
the host's own.  Where a machine is to run, the emulator is asked first what it does
(`onpanic.probe`), and refused options end it with status 1 and the reason on stderr,
which libvirt shows.  Everything else, libvirt's own probing included, goes to the
emulator at once.  Nothing stays in between: the wrapper is replaced by the emulator.

libvirt keeps what it has learnt of an emulator by the time stamp of its file, which is
the wrapper's here: a new QEMU goes unnoticed until the wrapper is touched.
"""

import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from onpanic.probe.arguments import device_type, machine_type, option_values

__all__ = ("emulator_and_options", "main", "runs_a_machine")

_NAME = "onpanic-qemu"
# Options with which QEMU prints something and ends
_PRINTS = {f"{dashes}{word}" for word in ("version", "help", "h") for dashes in ("-", "--")}


def main() -> NoReturn:
    """Translate the command line, and become the emulator."""
    from onpanic.probe.errors import OnpanicError

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
    """Return the emulator's path, and its options, from the wrapper's own command line.

    :raise StartError: When there is no such emulator.
    """
    from onpanic.probe.errors import StartError
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
    """Say if a command line runs a machine, and not just prints something, as for libvirt's probing."""
    listed = option_values(options, "machine", "M", "cpu", "device", "accel", "netdev", "chardev")
    asks = any(value.split(",")[-1] in ("help", "?") for value in listed)
    return not (asks or _PRINTS & set(options) or machine_type(options) == "none")


def _translated(emulator: str, options: Sequence[str]) -> list[str]:
    from onpanic.probe import probe
    from onpanic.probe.errors import EmulatorError

    from .command_line import PROPOSED, translated_command_line, without_builtin

    machine = machine_type(options)
    try:
        record = probe(emulator, machines=[machine] if machine else ())
    except EmulatorError:
        if PROPOSED in map(device_type, option_values(options, "device")):
            raise
        return without_builtin(options)  # it does no harm where there is none
    return translated_command_line(options, record, record.machines[0].name)


def _find(name: str) -> str | None:
    """Find an emulator as the shell would, but never this wrapper."""
    folders = [""] if "/" in name else os.environ.get("PATH", os.defpath).split(":")
    for folder in folders:
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK) and not os.path.isdir(path) and not _is_this(path):
            return path
    return None


def _is_this(path: str) -> bool:
    return os.path.exists(sys.argv[0]) and os.path.samefile(path, sys.argv[0])


def _environment() -> dict[bytes, bytes]:
    """Return the environment as it was given; Python adds LC_CTYPE to it in the C locale (PEP 538)."""
    with open("/proc/self/environ", "rb") as file:
        items = (item.partition(b"=") for item in file.read().split(b"\0"))
        return {name: value for name, equals, value in items if equals}


def _become(emulator: str, options: Sequence[str]) -> NoReturn:
    """Replace this process; raises `StartError` where that cannot be done."""
    from onpanic.probe.errors import StartError

    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them, and an emulator would inherit that
    try:
        os.execve(emulator, [emulator, *options], _environment())
    except OSError as error:
        raise StartError(f"{emulator}: {error.strerror}", f"{_NAME} --emulator PATH") from error
