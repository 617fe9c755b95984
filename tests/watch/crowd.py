"""Many played guests in one process, each with a QMP monitor: `crowd.py FOLDER NUMBER`.

`panic N` on stdin lets the first N panic; `counts` prints how often each was continued.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

GREETING = {
    "QMP": {"version": {"qemu": {"micro": 0, "minor": 7, "major": 1}, "package": ""}, "capabilities": []}
}


class Guest:
    def __init__(self, number: int) -> None:
        self.number = number
        self.status = "running"
        self.continued = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self._send(writer, GREETING)
        text = ""
        while data := await reader.read(65536):
            text += data.decode()
            while text := text.lstrip():  # messages come without line breaks
                try:
                    message, end = json.JSONDecoder().raw_decode(text)
                except ValueError:
                    break
                text = text[end:]
                answer = self._answer(message["execute"])
                self._send(writer, {**answer, "id": message.get("id")})

    def panic(self) -> None:
        self.status = "guest-panicked"
        for name, data in (("GUEST_PANICKED", {"action": "pause"}), ("STOP", {})):
            for writer in self.writers:
                self._send(
                    writer, {"event": name, "data": data, "timestamp": {"seconds": 0, "microseconds": 0}}
                )

    def _answer(self, command: str) -> dict[str, Any]:
        if command == "cont":
            assert self.status == "guest-panicked"
            self.continued += 1
            self.status = "running"
        answers: dict[str, Any] = {
            "query-name": {"name": f"guest{self.number}"},
            "query-uuid": {"UUID": "00000000-0000-0000-0000-000000000000"},
            "query-cpus": [{"thread_id": 1}],
            "query-status": {"status": self.status},
            "cont": {},
            "qmp_capabilities": {},
        }
        if command in answers:
            return {"return": answers[command]}
        return {"error": {"class": "CommandNotFound", "desc": f"The command {command} has not been found"}}

    @staticmethod
    def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
        writer.write(json.dumps(message).encode() + b"\r\n")


async def main(folder: Path, number: int) -> None:
    guests = [Guest(index) for index in range(number)]
    for guest in guests:
        await asyncio.start_unix_server(guest.serve, folder / str(guest.number))
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        word, *rest = line.split()
        if word == "panic":
            for guest in guests[: int(rest[0])]:
                guest.panic()
        print(json.dumps([guest.continued for guest in guests]), flush=True)


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
