"""Ask emulators whether they report Hyper-V's crash registers: ``python hyperv_session.py JSON…``.

Each argument is a command line as a list of words.  What is printed is the list of the
conversations, each a list of entries.
"""

import asyncio
import json
import sys

import msgspec

from onpanic.probe.asking.converse import converse
from onpanic.probe.asking.guest_panics import panic_by_hyperv_msr
from onpanic.probe.conversation import Entry
from onpanic.probe.emulator.boot_image import hyperv_crash_image
from onpanic.probe.emulator.reaper import Reaper

#: Seconds for each emulator.
DEADLINE = 120


async def main(command_lines: list[list[str]]) -> list[list[Entry]]:
    """Return the entries of one conversation with each emulator."""
    held = []
    with Reaper() as reaper:
        for argv in command_lines:
            deadline = asyncio.get_running_loop().time() + DEADLINE
            image = hyperv_crash_image()
            held.append(await converse(argv, panic_by_hyperv_msr, reaper, deadline, boot_image=image))
    return [list(conversation.entries) for conversation in held]


if __name__ == "__main__":
    conversations = asyncio.run(main([json.loads(text) for text in sys.argv[1:]]))
    sys.stdout.buffer.write(msgspec.json.encode(conversations))
