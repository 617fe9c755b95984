"""Run a daemon, and be the parent of the processes that it leaves: ``python subreaper.py COMMAND…``.

libvirt waits until a guest that it ends has been reaped.  A guest's parent is process 1, which may take
seconds for it, or never do it in a container.  This process is a subreaper (prctl(2)), so it is the
guests' parent instead, and reaps them at once.

It closes its standard output when the daemon has ended.  When its standard input is closed, it kills the
daemon and what the daemon has left, and ends.
"""

import ctypes
import os
import select
import signal
import sys
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def main(command: list[str]) -> None:
    """Run the command until standard input is closed."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing)
    nothing = os.open(os.devnull, os.O_RDONLY)
    streams = [(os.POSIX_SPAWN_DUP2, nothing, 0), (os.POSIX_SPAWN_DUP2, 2, 1)]
    daemon = os.posix_spawnp(command[0], command, os.environ, file_actions=streams)
    while 0 not in (ready := select.select([0, reading], [], [])[0]):
        if ready:
            os.read(reading, 4096)
        if daemon in reaped():
            os.close(1)
    while left := children():
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        os.waitpid(-1, 0)


def reaped() -> set[int]:
    """Reap all children that have ended, and return their PIDs."""
    found = set()
    while children():
        pid, _ = os.waitpid(-1, os.WNOHANG)
        if not pid:
            break
        found.add(pid)
    return found


def children() -> list[int]:
    """Return the PIDs of this process's children, also of those that have ended."""
    return [int(word) for word in Path("/proc/thread-self/children").read_text("ascii").split()]


if __name__ == "__main__":
    main(sys.argv[1:])
