"""What Xen itself says of a guest, through ``xl list`` in its dom0.

libvirt's Xen driver may say that a guest runs although it has crashed; Xen knows.
"""

import re

import msgspec

from onpanic.core.errors import EmulatorError, OnpanicError
from onpanic.core.untrusted import printable
from onpanic.probe.xen.xl import run_xl

__all__ = ("XlState", "ask_xl_state", "read_xl_list")

# The columns State, Time(s) and UUID of `xl list -v`: the last such words, since a name may have any form
_ROW = re.compile(r".*\s([r-][b-][p-][s-][-rscwS?][d-])\s+\d+\.\d+\s+([0-9a-f-]{36})\s")

# The letters of xl for Xen's shutdown codes (public/sched.h)
_REASONS = {
    "-": "poweroff",
    "r": "reboot",
    "s": "suspend",
    "c": "crash",
    "w": "watchdog",
    "S": "soft reset",
}

_LIMIT = 200  # characters of an error of xl


class XlState(msgspec.Struct, frozen=True):
    """The state of a guest, see "STATES" in xl(1).

    :param flags: As xl prints it, for example ``---sc-`` of a guest that crashed and is still in memory.
    """

    flags: str

    @property
    def is_paused(self) -> bool:
        """Whether its toolstack has paused it."""
        return self.flags[2] == "p"

    @property
    def ended(self) -> str:
        """The reason that it has ended for, such as ``crash``; empty if it has not."""
        return _REASONS.get(self.flags[4], "unknown") if self.flags[3] == "s" else ""

    @property
    def is_dying(self) -> bool:
        """Whether Xen frees its memory."""
        return self.flags[5] == "d"


def read_xl_list(text: str, uuid: str) -> XlState | None:
    """Return the state of a guest; None if it is not listed.

    :param text: What ``xl list -v`` printed.
    :param uuid: The UUID of the guest, in lower case.
    """
    found = (_ROW.match(f"{line} ") for line in text.splitlines())
    return next((XlState(row[1]) for row in found if row and row[2] == uuid), None)


def ask_xl_state(number: int, uuid: str, timeout: float) -> XlState:
    """Ask the ``xl`` of this dom0 for the state of a guest.

    :param number: The guest's domain ID.
    :param uuid: Its UUID: the ID may be another guest's meanwhile.
    :param timeout: Seconds that xl may take.
    :raise EmulatorError: When xl does not tell.
    """
    try:
        done = run_xl(["xl", "list", "-v", str(number)], timeout)
    except OnpanicError as error:
        raise EmulatorError(error.message, error.hint) from error
    state = read_xl_list(done.stdout, uuid.lower())
    if state is None:
        said = " ".join(done.stderr.split()) or "the guest is not listed"
        raise EmulatorError(f"xl list: {printable(said, _LIMIT)}", "onpanic must run as root in the dom0")
    return state
