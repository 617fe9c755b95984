"""What an emulator prints when it does not start, on stderr or on stdout.

QEMU up to 1.7 prints the list of machine types on stdout, and nothing else, if it does not have the one
that it was started with.  Later ones print there what ``-version`` or ``-machine help`` ask for.
"""

from onpanic.core.untrusted import last_lines, printable
from onpanic.probe.asking.emulator_backend import RunningEmulator

__all__ = ("printed_instead", "words_of")

_ENDING = 2  # seconds that an emulator which printed something has to exit, on a busy host
_MACHINES = "Supported machines are:"


async def printed_instead(process: RunningEmulator) -> str:
    """Wait for the first output of an emulator that was started, and return it if it cannot be QMP.

    :return: What it printed on stdout before it ended; empty if that may be QMP, or if it has not ended.
        Nothing is consumed.
    """
    first = (await process.first_output()).lstrip()[:1]
    if first in (b"", b"{") or not await process.wait(_ENDING):
        return ""
    return process.peek().decode(errors="replace")


def words_of(process: RunningEmulator, printed: str) -> str:
    """Return what an emulator that has ended said about it, as one line.

    :param printed: What it printed on stdout instead of a greeting.
    """
    before, listed, rest = printed.partition(_MACHINES)
    said = printable(printed, 200)
    if listed and not before.strip():
        names = ", ".join(line.split()[0] for line in rest.splitlines() if line.strip())
        said = f"{_MACHINES} {printable(names, 2000)}"
        said = f"unsupported machine type; {said}" if process.returncode else said
    return "; ".join(filter(None, [said, last_lines(process.stderr)]))
