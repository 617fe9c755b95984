"""No emulator outlives onpanic, not even if onpanic is killed with SIGKILL.

A `Reaper` is a shell at the other end of a pipe.  It is told about every emulator that is
started and every one that has ended.  If the pipe closes without ``bye``, onpanic has
ended: the shell kills the emulators' process groups, every process with the reaper's mark
in its environment, and every process whose stderr still is an emulator's.

``PR_SET_PDEATHSIG`` is not an alternative: it reaches only the direct child, and the command may
be a wrapper (``bwrap``, a shell script).  Nor is a supervisor in Python between onpanic and the
emulator: it takes longer to start than the emulator.  A process group, a
mark and a pipe together cover wrappers, double forks, ``setsid`` and ``env -i``.  They do not
cover a program on another host, behind ``ssh``.
"""

import contextlib
import os
import signal
import subprocess
from types import TracebackType
from typing import Self

from onpanic.core.errors import StartError

__all__ = ("Reaper",)

_VARIABLE = "ONPANIC_REAPER"
_LAST_PASS = 10.0  # seconds that the shell may take to kill what is left

# Two passes: a process between fork and exec does not show its mark yet.
# `kill` is the shell's own (a container may have no other), and dash names a group in this way only.
_SCRIPT = r"""
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
    case $emulator in [1-9]*) kill -s KILL -- "-${emulator%:*}" ;; esac
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


class Reaper:
    """Context manager: emulators that are started under it end with this process at the latest.

    One reaper serves any number of emulators.

    :raise StartError: When ``/bin/sh`` cannot be started.
    """

    def __enter__(self) -> Self:
        self._token = os.urandom(16).hex()
        self._started = 0
        self._emulators: dict[int, int] = {}
        self._expected: set[int] = set()
        try:
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT, "onpanic-reaper", f"{_VARIABLE}={self._token}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C must not reach the shell, which has to work then
            )
        except OSError as error:
            raise StartError(
                f"/bin/sh, which ends emulators: {error.strerror}",
                "raise the limits of this shell, see ulimit -a",
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._started:
            self.kill_strays(self._token)
        if not self._emulators and not self._expected:
            self._tell("bye")  # otherwise the shell finds the pipe closed and kills them
        assert self._shell.stdin is not None
        with contextlib.suppress(OSError):
            self._shell.stdin.close()
        try:
            self._shell.wait(_LAST_PASS)
        except subprocess.TimeoutExpired:
            self._shell.kill()
            self._shell.wait(_LAST_PASS)

    def mark(self) -> str:
        """Return a new mark, for one process and all that it starts."""
        self._started += 1
        return f"{self._token}.{self._started}."

    def environment(self, mark: str) -> dict[str, str]:
        """Return this process's environment with a mark added, for a process that is started."""
        return {**os.environ, _VARIABLE: mark}

    def expect(self, pipe: int) -> None:
        """Have an emulator killed that is about to be started, and whose process group is not known yet.

        :param pipe: The inode of the pipe that will be its stderr.
        """
        self._expected.add(pipe)
        self._tell(f"+:{pipe}")

    def forget(self, pipe: int) -> None:
        """Take back `expect`: the emulator was not started."""
        self._expected.discard(pipe)
        self._tell(f"-:{pipe}")

    def watch(self, group: int, pipe: int) -> None:
        """Have an emulator killed if this process goes away.

        :param group: Its process group.
        :param pipe: The inode of the pipe that is its stderr, see `expect`.
        """
        self._emulators[group] = pipe
        self._expected.discard(pipe)
        self._tell(f"+{group}:{pipe}\n-:{pipe}")

    def release(self, group: int) -> None:
        """Forget an emulator that has ended: its process group's number may be used again."""
        pipe = self._emulators.pop(group, None)
        if pipe is not None:
            self._tell(f"-{group}:{pipe}")

    @staticmethod
    def kill_strays(mark: str, pipe: int | None = None) -> None:
        """Kill every process of this user that has a mark in its environment, or a pipe as its stderr.

        :param mark: A mark, or the prefix that all marks of a reaper share.
        :param pipe: The pipe's inode; None to look at marks only.
        """
        variable = f"{_VARIABLE}={mark}".encode()
        for name in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else ()):
            with contextlib.suppress(OSError):
                with open(f"/proc/{name}/environ", "rb") as environment:
                    found = variable in environment.read()
                if found or (pipe and os.readlink(f"/proc/{name}/fd/2") == f"pipe:[{pipe}]"):
                    os.kill(int(name), signal.SIGKILL)

    def _tell(self, line: str) -> None:
        assert self._shell.stdin is not None
        with contextlib.suppress(OSError):  # the shell may have been killed
            self._shell.stdin.write(f"{line}\n".encode())
            self._shell.stdin.flush()
