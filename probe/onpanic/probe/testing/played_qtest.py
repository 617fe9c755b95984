"""The qtest channel of a played machine: I/O ports, PCI configuration space, and RTAS calls.

Configuration space is reached through the ports 0xcf8 and 0xcfc (PCI Local Bus Specification, 3.2.2.3.2).
"""

from onpanic.probe.testing.played_machine import PlayedMachine

__all__ = ("PlayedQtestServer",)

_IDENTITY = 0x00111B36
_NOTHING = 0xFFFFFFFF
_SLOT = 2
_COMMAND, _BAR = 0x04, 0x10


class PlayedQtestServer:
    """Answers the lines of the protocol.

    :param machine: The machine.
    """

    def __init__(self, machine: PlayedMachine) -> None:
        self._machine = machine
        self._address = 0
        self._bar = self._command = 0

    def answer(self, line: str) -> str:
        """Carry out a line, and return the answer; empty if the emulator ends instead."""
        verb, *words = line.split()
        numbers = [int(word, 0) for word in words if word[:1].isdigit()]
        value = None
        if verb in ("inb", "inl"):
            value = self._configuration() if numbers[0] == 0xCFC else 0xFF
        elif verb in ("outb", "outl"):
            self._out(*numbers)
        elif verb.startswith("read"):
            value = self._read(numbers[0])
        elif verb in ("writeb", "writel"):
            self._write(*numbers)
        elif verb == "rtas":
            self._machine.panic(self._machine.like.notifier("pseries"), "pseries")
        if self._machine.exit_status is not None:
            return ""
        self._machine.replied()
        return "OK" if value is None else f"OK {value:#x}"

    def _configuration(self) -> int:
        slot, register = self._address >> 11 & 0x1F, self._address & 0xFC
        there = any(device.port is None for device in self._machine.devices)
        if self._machine.like.pci != "by-hand" or slot != _SLOT or not there:
            return _NOTHING
        return {0: _IDENTITY, _COMMAND: self._command, _BAR: self._bar}.get(register, 0)

    def _out(self, port: int, value: int) -> None:
        if port == 0xCF8:
            self._address = value
        elif port == 0xCFC and self._configuration() != _NOTHING:
            register = self._address & 0xFC
            self._command = value if register == _COMMAND else self._command
            self._bar = value & ~0xF if register == _BAR else self._bar
            self._machine.register = self._bar if self._command & 2 and self._bar else None

    def _read(self, address: int) -> int:
        device = next((d for d in self._machine.devices if d.port is None), None)
        mapped = device is not None and address == self._machine.register and device.does.mask is not None
        return device.does.mask or 0 if device and mapped else 0xFF

    def _write(self, address: int, value: int) -> None:
        device = next((d for d in self._machine.devices if d.port is None), None)
        if device and address == self._machine.register and device.does.mask is not None:
            self._machine.write(device, value)
