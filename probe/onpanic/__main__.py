"""``python -m onpanic``, and the command ``onpanic``."""

import signal
from typing import NoReturn


def console() -> NoReturn:
    """Be the command.

    Until it has a handler of its own, Ctrl-C ends the process as the kernel does:
    Python's raises an exception, and one raised amid an import can be lost.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from onpanic.cli import console as run

    run()


if __name__ == "__main__":
    console()
