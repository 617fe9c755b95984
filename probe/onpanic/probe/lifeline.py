"""No emulator survives onpanic, not even if onpanic is killed with SIGKILL.

A `Lifeline` is a shell that waits at the other end of a pipe.  It is told every
emulator that is started and every one that has ended.  When the pipe closes without a
good-bye, onpanic is gone: the shell kills the emulators' process groups, every process
that carries the lifeline's mark in its environment, and every process whose stderr is
still an emulator's, however far it wandered off.

Considered and left: ``PR_SET_PDEATHSIG`` reaches the direct child only, and a
wrapper (``bwrap``, a shell script) is as good as a binary here; a supervisor in
Python between onpanic and the emulator costs more than the emulator's own start.
A group, a mark and a pipe together cover wrappers, double forks, ``setsid`` and
``env -i``; they do not cover a program on another host, behind ``ssh``.
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
# `kill` is the shell's own (a container may have no other), and dash names a group in this way only.
_GUARD = r"""
PATH=/usr/bin:/bin:$PATH
emulators=' '
while read -r line; do
  case $line in
    +*) emulators="$emulators${line#+} " ;;
    -*) emulators="${emulators%% "${line#-}" *} ${emulators#* "${line#-}" }" ;;
    bye) exit 0 ;;
  esac
done
for pause in 0.2 0; do
  for emulator in $emulators; do
    kill -s KILL -- "-${emulator%:*}"
    pipe="pipe:\\[${emulator#*:}\\]"
    for pid in $(ls -l /proc/[0-9]*/fd/2 | sed -n "s,.*/proc/\\([0-9]*\\)/.*$pipe.*,\\1,p"); do
      kill -s KILL "$pid"
    done
  done
  for pid in $(grep -lsF "$1" /proc/[0-9]*/environ | sed 's,/proc/\([0-9]*\)/.*,\1,'); do
    kill -s KILL "$pid"
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
        self._emulators: dict[int, int] = {}
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "onpanic-lifeline", f"{_MARK}={self._token}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is not for the guard: it has work to do then
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._started:
            self.kill_strays(self._token)
        if not self._emulators:
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

    def watch(self, group: int, pipe: int) -> None:
        """Have an emulator killed if this process goes away.

        :param group: Its process group.
        :param pipe: The inode of the pipe that is its stderr.
        """
        self._emulators[group] = pipe
        self._tell(f"+{group}:{pipe}")

    def release(self, group: int) -> None:
        """Forget an emulator that has ended: the number of its group may be used again."""
        pipe = self._emulators.pop(group, None)
        if pipe is not None:
            self._tell(f"-{group}:{pipe}")

    @staticmethod
    def kill_strays(mark: str, pipe: int | None = None) -> None:
        """Kill every process that carries a mark, or whose stderr is a pipe.

        Those of this user, as far as /proc shows them.

        :param mark: A mark, or the part that all marks of a lifeline begin with.
        :param pipe: The pipe's inode.
        """
        variable = f"{_MARK}={mark}".encode()
        for name in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else ()):
            with contextlib.suppress(OSError):
                with open(f"/proc/{name}/environ", "rb") as environment:
                    found = variable in environment.read()
                if found or (pipe and os.readlink(f"/proc/{name}/fd/2") == f"pipe:[{pipe}]"):
                    os.kill(int(name), signal.SIGKILL)

    def _tell(self, line: str) -> None:
        assert self._guard.stdin is not None
        with contextlib.suppress(OSError):  # a guard that was killed cannot be told
            self._guard.stdin.write(f"{line}\n".encode())
            self._guard.stdin.flush()
