"""Passes signals on to another process, as if they had been sent to it.

Signals are blocked, and a thread waits for them: only so does the sender show.  What a terminal sends, for
example for Ctrl-C, goes to every process in its foreground, so the other process has it already.
"""

import os
import signal
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

__all__ = ("SignalForwarder",)

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_FROM_KERNEL = 0x80  # SI_KERNEL of sigaction(2), which Python does not name
_END = 5.0  # seconds that the thread may take to end


class SignalForwarder:
    """Context manager: signals wait until `begin`, and are then passed on until the end.

    One that is ignored, as under nohup(1), stays ignored.

    :ivar mask: The signals that were blocked before, which the other process must start with.
    """

    def __enter__(self) -> Self:
        self._numbers = {one for one in _NUMBERS if signal.getsignal(one) != signal.SIG_IGN}
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)
        self._thread: threading.Thread | None = None
        self._ending = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None and self._thread.ident is not None:
            self._ending = True
            with suppress(ProcessLookupError):
                signal.pthread_kill(self._thread.ident, min(self._numbers))
            self._thread.join(_END)
        while self._numbers and signal.sigtimedwait(self._numbers, 0):
            pass  # they were meant for a process that has ended
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)

    def begin(self, process: int) -> None:
        """Pass signals on.

        :param process: A child process, which is not waited for before the end of this context.
        """
        if self._numbers:
            self._thread = threading.Thread(target=self._pass_to, args=(process,), daemon=True)
            self._thread.start()

    def _pass_to(self, process: int) -> None:
        while True:
            found = signal.sigwaitinfo(self._numbers)
            if self._ending:
                return
            if found.si_code != _FROM_KERNEL:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(process, found.si_signo)
