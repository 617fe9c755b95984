"""What tests of the shims share: domains, records of emulators without starting one, and played guests."""

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from onpanic.probe import CapabilityRecord
from onpanic.probe.api import read
from onpanic.probe.record import Notifier, NotifierModel
from onpanic.probe.recording import load
from onpanic.probe.testing import PlayedEmulator

RECORDINGS = Path(__file__).parent.parent / "recordings"


@pytest.fixture(scope="session")
def recorded() -> Callable[..., CapabilityRecord]:
    """Give a function to the record of an emulator, made from a recording of QEMU 1.7 unless said otherwise.

    Its machine type, target and notifier can be others than were recorded.
    """

    @cache
    def told(name: str) -> CapabilityRecord:
        return read(load(RECORDINGS / f"{name}.jsonl").conversations, ["qemu"], 0, recorded=True)

    def record(
        machine: str = "pc",
        target: str = "x86_64",
        model: NotifierModel | None = "isa",
        name: str = "qemu-1.7.0",
    ) -> CapabilityRecord:
        found = told(name)
        notifier = Notifier(model, 1) if model else None
        first = replace(found.machines[0], name=machine, aliases=[], notifier=notifier)
        return replace(found, emulator=replace(found.emulator, target=target), machines=[first])

    return record


@pytest.fixture(scope="session")
def record(recorded: Callable[..., CapabilityRecord]) -> CapabilityRecord:
    """Return the record of an x86 QEMU whose notifier works."""
    return recorded()


@pytest.fixture(scope="session")
def domain() -> Callable[..., str]:
    """Give a function that returns a domain's XML with something in it, a line each."""

    def xml(
        *lines: str,
        devices: str = "<emulator>/nowhere/qemu</emulator>",
        kind: str = "kvm",
        arch: str = "x86_64",
        machine: str = "pc",
        acpi: bool = True,
    ) -> str:
        return "\n".join(
            [
                f"<domain type='{kind}' id='7'>",
                "  <name>guest</name>",
                "  <!-- <on_crash>destroy</on_crash> -->",
                "  <os>",
                f"    <type arch='{arch}' machine='{machine}'>hvm</type>",
                "  </os>",
                *(["  <features>", "    <acpi/>", "  </features>"] if acpi else []),
                *(f"  {line}" for line in lines),
                "  <devices>",
                f"    {devices}",
                "  </devices>",
                "</domain>",
                "",
            ]
        )

    return xml


@pytest.fixture
def played(folder: Path) -> Iterator[Callable[[PlayedEmulator], str]]:
    """Give a function that plays a guest, and returns the address of its monitor."""
    with ExitStack() as stack:
        yield lambda emulator: stack.enter_context(_monitor(emulator, folder))


@contextmanager
def _monitor(emulator: PlayedEmulator, folder: Path) -> Iterator[str]:
    """Give a played emulator's monitor an address; clients are served one after the other."""
    path = folder / "played"
    command = [*emulator.command(), "-device", "pvpanic,id=notifier"]
    with (
        socket.socket(socket.AF_UNIX) as listener,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
    ):
        assert process.stdin
        assert process.stdout
        greeting = process.stdout.readline()
        clients: list[socket.socket] = []

        def speak() -> None:
            assert process.stdout
            for line in process.stdout:
                with suppress(OSError):
                    clients[-1].sendall(line)
            with suppress(OSError):
                clients[-1].shutdown(socket.SHUT_RDWR)  # it hangs up

        def listen() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client, suppress(OSError):
                    clients.append(client)
                    client.sendall(greeting)
                    while data := client.recv(65536):
                        assert process.stdin
                        process.stdin.write(data)
                        process.stdin.flush()

        listener.bind(str(path))
        listener.listen()
        threads = [threading.Thread(target=work, daemon=True) for work in (speak, listen)]
        for thread in threads:
            thread.start()
        try:
            yield str(path)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            process.kill()
            for thread in threads:
                thread.join()


@pytest.fixture
def test_driver(libvirt: Any) -> Iterator[Any]:
    """Return a connection to libvirt's test driver; a domain called guest is gone afterwards."""
    with closing(libvirt.open("test:///default")) as found:
        yield found
        with suppress(libvirt.libvirtError):
            found.lookupByName("guest").undefine()
