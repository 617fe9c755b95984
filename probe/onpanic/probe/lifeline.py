"""No emulator survives onpanic, not even if onpanic is killed with SIGKILL.

A `Lifeline` is a shell that waits at the other end of a pipe.  It is told every
process group that is started and every one that has ended.  When the pipe closes
without a good-bye, onpanic is gone: the shell kills those groups, and every process
that carries the lifeline's mark in its environment, however far it wandered off.

Considered and left: ``PR_SET_PDEATHSIG`` reaches the direct child only, and a
wrapper (``bwrap``, a shell script) is as good as a binary here; a supervisor in
Python between onpanic and the emulator costs more than the emulator's own start.
A process group and a mark together cover wrappers, double forks and ``setsid``;
they do not cover a program on another host, behind ``ssh``.
"""

import contextlib
import os
import signal
import subprocess
from types import TracebackType
from typing import Self

__all__ = ("Lifeline",)

_MARK = "ONPANIC_LIFELINE"

# Two sweeps: a process between fork and exec does not show its mark yet.
_GUARD = r"""
groups=' '
while read -r line; do
  case $line in
    +*) groups="$groups${line#+} " ;;
    -*) groups="${groups%% "${line#-}" *} ${groups#* "${line#-}" }" ;;
    bye) exit 0 ;;
  esac
done
for pause in 0.2 0; do
  for group in $groups; do kill -KILL -- "-$group"; done
  for found in $(grep -lsF "$1" /proc/[0-9]*/environ); do
    pid=${found#/proc/}
    kill -KILL "${pid%/environ}"
  done
  sleep $pause
done
"""


class Lifeline:
    """Context manager: what is started under it ends with this process at the latest.

    One lifeline serves any number of emulators.

    :raise OSError: If there is no ``/bin/sh``.
    """

    def __enter__(self) -> Self:
        self._token = os.urandom(16).hex()
        self._started = 0
        self._groups: set[int] = set()
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "onpanic-lifeline", f"{_MARK}={self._token}."],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for onpanic, which then says good-bye
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._groups:
            self._tell("bye")  # otherwise the guard finds the pipe closed, and does its work
        assert self._guard.stdin is not None
        with contextlib.suppress(OSError):
            self._guard.stdin.close()
        self._guard.wait()

    def mark(self) -> str:
        """Return a new mark, for one process and whatever it starts."""
        self._started += 1
        return f"{self._token}.{self._started}."

    def environment(self, mark: str) -> dict[str, str]:
        """Return this process's environment with a mark added: for a process that is started."""
        return {**os.environ, _MARK: mark}

    def watch(self, group: int) -> None:
        """Have a process group killed if this process goes away."""
        self._groups.add(group)
        self._tell(f"+{group}")

    def release(self, group: int) -> None:
        """Forget a process group that has ended: its number may be used again."""
        self._groups.discard(group)
        self._tell(f"-{group}")

    @staticmethod
    def kill_strays(mark: str) -> int:
        """Kill every process that carries the mark and return how many there were.

        Seen are this user's processes, as far as /proc shows them.
        """
        count = 0
        variable = f"{_MARK}={mark}".encode()
        for name in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else ()):
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as environment:
                if variable in environment.read():
                    os.kill(int(name), signal.SIGKILL)
                    count += 1
        return count

    def _tell(self, line: str) -> None:
        assert self._guard.stdin is not None
        with contextlib.suppress(OSError):  # a guard that was killed cannot be told
            self._guard.stdin.write(f"{line}\n".encode())
            self._guard.stdin.flush()
