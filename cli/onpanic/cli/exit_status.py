"""The exit statuses, and how the command ends when an exception ends it: what is printed, and the status.

Only loaded by subcommands that need a status other than 0, and for an exception.
"""

import contextlib
import errno
import os
import signal
import sys

from onpanic.cli.output import complain, print_error
from onpanic.core.errors import MissingExtraError, OnpanicError

__all__ = ("ERROR", "FOUND", "INTERNAL_ERROR", "OK", "SKIPPED", "TRACEBACK", "status_of")

OK = 0

#: Something was found, or has changed.  A refusal has the same status, see `RefusedError`.
FOUND = 1

#: The command could not run, or not completely.
ERROR = 2

#: A bug; the number is that of EX_SOFTWARE in sysexits.h.
INTERNAL_ERROR = 70

#: There was nothing to ask (``--skip-missing``); the number is automake's.
SKIPPED = 77

#: The environment variable that asks for the traceback of an internal error.
TRACEBACK = "ONPANIC_TRACEBACK"

# The extra that installs each module, for an import without a `MissingExtraError` of its own
_EXTRAS = {
    "lxml": "xml",
    "libvirt": "libvirt",
    "libvirt_qemu": "libvirt",
    "jinja2": "matrix",
    "packaging": "matrix",
    "platformdirs": "watch",
    "rich": "terminal",
    "prometheus_client": "prometheus",
}

# Why stdout cannot be written; such an error names no file
_WRITING = (errno.EBADF, errno.EFBIG, errno.EIO, errno.ENOSPC, errno.EPIPE)


def status_of(error: BaseException) -> int:
    """Report an exception on stderr and return the exit status that it stands for.

    2 for an error of the user's, of the system or of an emulator; 128 and the number for a signal; that
    of `SystemExit`; 70 for anything else, which is a bug.
    """
    if isinstance(error, SystemExit):  # argparse's
        return _flushed(error.code if isinstance(error.code, int) else ERROR)
    if isinstance(error, KeyboardInterrupt):
        return 128 + (error.args[0] if error.args else signal.SIGINT)
    if isinstance(error, ModuleNotFoundError) and str(error.name).partition(".")[0] in _EXTRAS:
        package = str(error.name).partition(".")[0]
        error = MissingExtraError(package, _EXTRAS[package])
    if isinstance(error, OnpanicError):
        complain(error.message, error.hint)
        return error.exit_status
    if isinstance(error, OSError):
        return _system_error(error)
    return _internal_error(error)


def _flushed(status: int) -> int:
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError as error:
        return status_of(error)
    return status


def _system_error(error: OSError) -> int:
    if error.filename is not None or error.errno not in _WRITING:
        complain(str(error))
        return ERROR
    _drop_stdout()
    if error.errno == errno.EPIPE:  # the reader has seen enough
        return 128 + signal.SIGPIPE
    complain(f"standard output: {os.strerror(error.errno)}")
    return ERROR


def _internal_error(error: BaseException) -> int:
    wanted = bool(os.environ.get(TRACEBACK))
    if wanted:
        import traceback

        for line in "".join(traceback.format_exception(error)).splitlines():
            print_error(line)
    complain(
        f"internal error: {type(error).__name__}: {error}",
        "please report it, with the traceback" + (" above" * wanted or f" that {TRACEBACK}=1 prints"),
    )
    return INTERNAL_ERROR


def _drop_stdout() -> None:
    """Discard what stdout still holds: it cannot be written."""
    with contextlib.suppress(OSError, AttributeError, ValueError):  # there is none, or it has no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
