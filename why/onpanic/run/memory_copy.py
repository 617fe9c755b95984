"""A copy of a stopped guest's memory in a file that this process opens, so that QEMU needs no access."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

from onpanic.qmp.client import CommandError, ConnectionLostError, QmpClient

__all__ = ("copy_memory",)

_NAME = "onpanic-dump"
_DEADLINE = 600.0  # seconds; a disk writes some 100 MiB a second


async def copy_memory(client: QmpClient, path: Path) -> str:
    """Write a guest's memory to a file, as ELF; it gets its name when it is complete.

    :param client: The monitor.
    :return: Why that failed; empty if it did not.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.unlink(missing_ok=True)  # it may be another user's, or a link
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        return f"no dump: {partial}: {error.strerror}"
    try:
        async with asyncio.timeout(_DEADLINE):
            client.send_descriptor(descriptor)
            await client.execute("getfd", {"fdname": _NAME})
            await client.execute("dump-guest-memory", {"paging": False, "protocol": f"fd:{_NAME}"})
        partial.rename(path)
    except (CommandError, ConnectionLostError, OSError) as error:  # TimeoutError is an OSError
        return f"no dump: {error or 'it took too long'}"
    finally:
        os.close(descriptor)
        with suppress(OSError):
            partial.unlink()
    return ""
