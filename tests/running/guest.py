"""Guests that run without libvirt: a real QEMU, and a played one with an address for its monitor."""

import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from onpanic.probe.testing import PlayedEmulator

from .processes import KILLED

__all__ = ("Guest", "played_monitor")


class Guest:
    """A running guest with monitors at `path` and at `port`, and a third one that the test itself uses."""

    def __init__(self, emulator: str, folder: Path, *options: str) -> None:
        self.path, watched = folder / "asked", folder / "watched"
        unix = [word for p in (self.path, watched) for word in ("-qmp", f"unix:{p},server=on,wait=off")]
        tcp = ["-chardev", "socket,id=tcp,host=127.0.0.1,port=0,server=on,wait=off"]
        quiet = ["-display", "none", "-nodefaults", "-m", "16"]
        command = [emulator, *quiet, *unix, *tcp, "-mon", "chardev=tcp,mode=control", *options]
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],  # even if the tests are killed
            stdin=subprocess.DEVNULL,
        )
        self.events: list[str] = []
        self._open = ExitStack()
        self._socket = self._open.enter_context(socket.socket(socket.AF_UNIX))
        self._socket.settimeout(60)
        try:
            self._connect(watched)
        except BaseException:
            self.end()
            raise

    def _connect(self, path: Path) -> None:
        deadline = time.monotonic() + 60
        while self.process.poll() is None:
            with suppress(OSError):
                self._socket.connect(str(path))
                break
            assert time.monotonic() < deadline, "QEMU does not listen"
            time.sleep(0.005)
        self._lines = self._open.enter_context(self._socket.makefile())
        assert "QMP" in json.loads(self._lines.readline())
        self.ask("qmp_capabilities")
        name = next(c["filename"] for c in self.ask("query-chardev") if c["label"] == "tcp")
        self.port = int(name.split(",")[0].rpartition(":")[2])

    def ask(self, command: str, **arguments: Any) -> Any:
        """Send a command and return the answer; events that arrive before it are kept in `events`."""
        self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            message = json.loads(self._lines.readline())
            if "event" not in message:
                return message["return"]
            self.events.append(message["event"])

    @property
    def status(self) -> str:
        return str(self.ask("query-status")["status"])

    def end(self) -> None:
        self._open.close()
        self.process.kill()
        self.process.wait(KILLED)


@contextmanager
def played_monitor(emulator: PlayedEmulator, folder: Path) -> Iterator[str]:
    """Run a played emulator and yield the address of its monitor; clients are served one at a time."""
    path = folder / "played"
    command = [*emulator.command(), "-device", "pvpanic,id=notifier"]
    with (
        socket.socket(socket.AF_UNIX) as listener,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
        ExitStack() as ending,
    ):
        ending.callback(process.kill)  # before it is waited for
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
            with suppress(BrokenPipeError):  # what it did not read
                process.stdin.close()
            for client in clients:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(KILLED)
                assert not thread.is_alive()
