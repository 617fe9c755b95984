"""QMP monitors of played guests, served by the event loop that the test runs in.

As a program, ``played_monitor.py FOLDER NUMBER`` serves many guests: ``panic N`` on stdin lets the
first N panic, and each line is answered with how often each guest was continued.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

GREETING = {
    "QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}
}
NO_UUID = "00000000-0000-0000-0000-000000000000"


class PlayedMonitor:
    """A guest's monitor.

    :ivar status: QEMU's run state.
    :ivar name: The guest's name.
    :ivar uuid: The guest's UUID.
    :ivar commands: The commands that were executed.
    :ivar refused: Commands that are refused, with the description.
    :ivar unanswered: Commands that are not answered.
    :ivar hangs_up_at: Commands at which the connection is closed.
    :ivar answers: What commands return instead of what they would.
    :ivar greeting: What is sent first; None for nothing.
    :ivar dump_error: Why dumps fail; empty if they do not.
    :ivar failing_formats: Why dumps in a format fail.
    :ivar dumped: The arguments of the dumps that were begun.
    :ivar dump_polls: How often the status of a dump is asked for before it ends.
    :ivar no_reboot: Whether QEMU was started with -no-reboot.
    :ivar early_events: Events that are sent as soon as capabilities are negotiated.
    :ivar clients: Connections, the earlier ones included that have ended.
    """

    def __init__(self, name: str = "guest", uuid: str = NO_UUID) -> None:
        self.status = "running"
        self.name = name
        self.uuid = uuid
        self.commands: list[str] = []
        self.refused: dict[str, str] = {}
        self.unanswered: set[str] = set()
        self.hangs_up_at: set[str] = set()
        self.answers: dict[str, Any] = {}
        self.greeting: bytes | None = json.dumps(GREETING).encode() + b"\r\n"
        self.dump_error = ""
        self.failing_formats: dict[str, str] = {}
        self.dumped: list[dict[str, Any]] = []
        self.dump_polls = 0
        self.completion_delay = 0.0  # seconds after which the event of a dump's end comes
        self.no_reboot = False
        self.early_events: list[str] = []
        self.clients = 0
        self._dump: dict[str, Any] = {"status": "none", "completed": 0, "total": 0}
        self._dump_polls_left = 0
        self._dump_error = ""
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def at(self, path: Path) -> AsyncIterator[str]:
        """Serve at a UNIX socket; a context with its address."""
        await self.listen(path)
        try:
            yield str(path)
        finally:
            await self.exit()

    @asynccontextmanager
    async def at_port(self, host: str = "127.0.0.1") -> AsyncIterator[int]:
        """Serve at a port of a host's address; a context with the port."""
        self._server = await asyncio.start_server(self._serve, host, 0)
        try:
            yield self._server.sockets[0].getsockname()[1]
        finally:
            await self.exit()

    async def listen(self, path: Path) -> None:
        """Start listening at a UNIX socket, as a QEMU does when it starts."""
        self._server = await asyncio.start_unix_server(self._serve, path)

    def hang_up(self) -> None:
        """Close all connections."""
        for writer in self._writers:
            writer.close()

    async def exit(self) -> None:
        """Stop listening and close all connections, as a QEMU does when it exits."""
        server, self._server = self._server, None
        if server:
            for one in server.sockets:
                with suppress(OSError, TypeError, ValueError):
                    Path(one.getsockname()).unlink()
            server.close()
        self.hang_up()
        async with asyncio.timeout(30):
            while self._writers:
                await asyncio.sleep(0.001)

    def panic(self, action: str = "pause") -> None:
        """Panic, and stop unless the action is ``run``."""
        self.event("GUEST_PANICKED", action=action)
        if action != "run":
            self.status = "guest-panicked"
            self.event("STOP")

    def event(self, name: str, **data: Any) -> None:
        """Send an event to all clients."""
        for writer in self._writers:
            self._send(writer, {"event": name, "data": data, "timestamp": {"seconds": 0, "microseconds": 0}})

    def count(self, command: str) -> int:
        """Return how often a command was executed."""
        return self.commands.count(command)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clients += 1
        self._writers.add(writer)
        try:
            with suppress(OSError, ValueError):
                if self.greeting is not None:
                    writer.write(self.greeting)
                await self._converse(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        text = ""
        while data := await reader.read(65536):
            text += data.decode()
            while text := text.lstrip():  # messages need not end with a newline
                try:
                    message, end = json.JSONDecoder().raw_decode(text)
                except ValueError:
                    break
                text = text[end:]
                command, arguments = message["execute"], message.get("arguments", {})
                self.commands.append(command)
                if command in self.hangs_up_at:
                    return
                if command in self.unanswered:
                    continue
                answer = self._answer(command, arguments)
                self._send(writer, {**answer, "id": message.get("id")})
                if command == "qmp_capabilities":
                    for name in self.early_events:
                        self.event(name)
                if command == "quit":
                    self._stop_listening()
                    return

    def _answer(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if command in self.refused:
            return {"error": {"class": "GenericError", "desc": self.refused[command]}}
        if command in self.answers:
            return {"return": self.answers[command]}
        found: Callable[[dict[str, Any]], Any] | None = {
            "query-name": lambda _: {"name": self.name},
            "query-uuid": lambda _: {"UUID": self.uuid},
            "query-cpus": lambda _: [{"thread_id": 1}],
            "query-status": lambda _: {"status": self.status},
            "query-dump": self._query_dump,
            "set-action": lambda _: {},
            "cont": self._cont,
            "system_reset": self._reset,
            "dump-guest-memory": self._start_dump,
            "quit": lambda _: {},
            "qmp_capabilities": lambda _: {},
        }.get(command)
        if found is None:
            desc = f"The command {command} has not been found"
            return {"error": {"class": "CommandNotFound", "desc": desc}}
        return {"return": found(arguments)}

    def _cont(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        if self.status != "shutdown":
            self.status = "running"
            self.event("RESUME")
        return {}

    def _reset(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        self.status = "shutdown" if self.no_reboot else "prelaunch"
        self.event("SHUTDOWN" if self.no_reboot else "RESET")
        return {}

    def _start_dump(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self._dump = {"status": "active", "completed": 0, "total": 100}
        self._dump_polls_left = self.dump_polls
        self.dumped.append(arguments)
        self._dump_error = self.dump_error or self.failing_formats.get(arguments.get("format", "elf"), "")
        if not self.dump_error:
            Path(arguments["protocol"].removeprefix("file:")).write_bytes(b"\x7fELF")
        if not self._dump_polls_left:
            self._end_dump()
        return {}

    def _query_dump(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        if self._dump["status"] == "active":
            self._dump_polls_left -= 1
            self._dump["completed"] += 10
            if self._dump_polls_left <= 0:
                self._end_dump()
        return dict(self._dump)

    def _end_dump(self) -> None:
        error = self._dump_error
        self._dump["status"] = "failed" if error else "completed"
        words = {"error": error} if error else {}

        def tell() -> None:
            self.event("DUMP_COMPLETED", result=self._dump, **words)

        if self.completion_delay:
            asyncio.get_running_loop().call_later(self.completion_delay, tell)
        else:
            tell()

    def _stop_listening(self) -> None:
        if self._server:
            for one in self._server.sockets:
                with suppress(OSError, TypeError):
                    Path(one.getsockname()).unlink()
            self._server.close()

    @staticmethod
    def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
        writer.write(json.dumps(message).encode() + b"\r\n")


async def main(folder: Path, number: int) -> None:
    guests = [PlayedMonitor(f"guest{index}") for index in range(number)]
    for index, guest in enumerate(guests):
        await guest.listen(folder / str(index))
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        word, *rest = line.split()
        if word == "panic":
            for guest in guests[: int(rest[0])]:
                guest.panic()
        print(json.dumps([guest.count("cont") for guest in guests]), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
