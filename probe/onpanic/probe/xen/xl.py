"""Runs ``xl``, the command of a dom0 that talks to Xen."""

import subprocess
from collections.abc import Sequence

from onpanic.core.errors import DeadlineError, StartError

__all__ = ("run_xl",)


def run_xl(command: Sequence[str], timeout: float) -> "subprocess.CompletedProcess[str]":
    """Run xl and return its exit status and output.

    :param command: The name or path of xl, and its arguments.
    :param timeout: Seconds that it may take.
    :raise StartError: When it cannot be run.
    :raise DeadlineError: When it does not end in time; it is killed.
    """
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except OSError as error:
        hint = "install Xen's tools (xen-utils), or ask libvirt with --connect xen:///system"
        raise StartError(f"{command[0]}: {error.strerror}", hint, missing=True) from error
    except subprocess.TimeoutExpired as error:
        raise DeadlineError(
            f"{command[0]} did not answer in {timeout:g} s", "is xenstored running?"
        ) from error
