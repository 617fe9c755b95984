"""Benchmark of asking a libvirt what it supports: the median over several connections."""

import os
import statistics
import time
from pathlib import Path

from onpanic.core.libvirt_api import open_connection, silence_libvirt
from onpanic.matrix.debian import PACKAGES, fetch
from onpanic.matrix.sources.debian_libvirts import LIBVIRT_PACKAGES, libvirt_of
from onpanic.shims import Libvirt

ROUNDS = 15
SUITE = "sid"


def asked(uri: str) -> float:
    """Ask with a connection of its own, and return the seconds."""
    connection = open_connection(uri)
    start = time.perf_counter()
    found = Libvirt.of_connection(connection)
    took = time.perf_counter() - start
    connection.close()
    assert found.known_by == "asked", found
    return took


def asking() -> tuple[float, float]:
    """Return the seconds that the first question and a later one take a Debian suite's libvirt."""
    silence_libvirt()
    root = fetch(SUITE, [*PACKAGES, *LIBVIRT_PACKAGES], into=Path(os.environ["ONPANIC_EMULATORS"]))
    with libvirt_of(root) as daemon:
        held = open_connection(daemon.uri)
        first = asked(daemon.uri)  # libvirt probes its emulators
        later = statistics.median(asked(daemon.uri) for _ in range(ROUNDS))
        held.close()
    return first, later
