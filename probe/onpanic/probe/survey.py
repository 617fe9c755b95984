"""Which starts it takes to learn everything about an emulator, and holding them.

For x86 one start with the ISA device tells all about a machine type.  Where the
device is refused a start without it tells the rest, and where the PCI device exists a
start with that one follows.  The emulator's name is only a hint at what to try first:
``query-target`` decides.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from . import interview
from .budget import Budget
from .conversation import Conversation
from .facts import EMULATOR, MACHINE
from .launch import X86, Launched, Model, bare, command_line, target_hint
from .lifeline import Lifeline
from .machines import Machines, target_of
from .session import Interview, Session, converse

__all__ = ("Plan", "Progress", "survey")

_DEVICES = ("pvpanic", "isa-pvpanic", "pvpanic-pci")

#: Called with the number of machine types that are done and the number that there are.
Progress = Callable[[int, int], None]


class Plan(msgspec.Struct, frozen=True):
    """What is to be learnt about an emulator.

    :param machines: Machine types, names or aliases; empty for the default one.
    :param all_machines: All that the emulator has, instead.
    :param introspect_only: Start no guest CPU: nothing is observed.
    :param acpi: Boot the firmware, twice for each x86 machine type, and read the ACPI tables.
    :param notifier: libvirt's model of the notifier to judge by: ``isa`` or ``pvpanic`` (PCI);
        None for ``isa`` where the machine type takes it, else ``pvpanic``.
    :param timeout: Seconds that the emulator has for one machine type, and again for each of the
        devices and firmware that it is then started with.  One that lets the first pass, or those
        of three machine types, is given up.
    :param jobs: How many emulators run at a time; 0 for as many as there are CPUs.
    """

    machines: tuple[str, ...] = ()
    all_machines: bool = False
    introspect_only: bool = False
    acpi: bool = False
    notifier: Model | None = None
    timeout: float = 10.0
    jobs: int = 0

    @property
    def slots(self) -> int:
        """How many emulators run at a time, as a number."""
        return self.jobs if self.jobs > 0 else os.cpu_count() or 1


async def survey(
    command: Sequence[str],
    plan: Plan,
    lifeline: Lifeline,
    slots: asyncio.Semaphore | None = None,
    progress: Progress = lambda _done, _total: None,
    head_start: Launched | None = None,
) -> list[Conversation]:
    """Hold every conversation with one emulator that the plan takes.

    :param command: The emulator: a path, or a whole command.
    :param slots: Limits how many emulators run at a time, across surveys.
    :param progress: Told as machine types are done.
    :param head_start: The emulator, if it was started already, with `first_command_line`.
    :return: The conversations, however they ended: see `Conversation.failed`.
    """
    surveyor = _Surveyor(command, plan, lifeline, slots or asyncio.Semaphore(plan.slots), head_start)
    first = plan.machines[0] if plan.machines else None
    conversations = await surveyor.examine(first, thorough=True)
    known = Machines(conversations)
    asked = known.names if plan.all_machines else plan.machines[1:]
    current = known.canonical(conversations[-1])
    rest = [name for name in dict.fromkeys(map(known.named, asked)) if name not in (first, current)]
    done, total = 1, len(rest) + 1
    progress(done, total)

    async def one(machine: str) -> list[Conversation]:
        nonlocal done
        found = await surveyor.examine(machine, thorough=False)
        done += 1
        progress(done, total)
        return found

    for batch in await asyncio.gather(*map(one, rest)):
        conversations += batch
    return conversations


_ATTEMPTS = 8  # each fallback is taken once at most
_SILENT = ("-audio", "none")  # boards with a codec want some, since QEMU 8.2
_PATIENCE = 3  # machine types that may let their deadline pass before the emulator is given up


class _Surveyor:
    """What has been learnt about the emulator that bears on the next start."""

    def __init__(
        self,
        command: Sequence[str],
        plan: Plan,
        lifeline: Lifeline,
        slots: asyncio.Semaphore,
        head_start: Launched | None,
    ) -> None:
        self._command = command
        self._plan = plan
        self._lifeline = lifeline
        self._slots = slots
        self._accel = "tcg"
        self._target = target_hint(command)
        self._head_start = head_start
        self._types: dict[str, str] = {}
        self._options: dict[str | None, Sequence[str]] = {}
        self._late = 0
        self._gently = False
        self._budget = Budget()

    async def examine(self, machine: str | None, *, thorough: bool) -> list[Conversation]:
        """Learn about one machine type; `thorough`: and about the emulator itself."""
        async with self._slots:
            if self._late >= _PATIENCE:
                argv = command_line(self._command, machine)
                return [Conversation.never(argv, "not started: the emulator has let too many deadlines pass")]
            held, machine = await self._with_fallbacks(machine, thorough, self._deadline())
            last = held[-1]
            if any(c.fault == "DeadlineError" for c in held):
                self._late += _PATIENCE if thorough else 1
            elif not last.refused_to_start and not last.failed:
                if thorough:
                    self._types = {name: EMULATOR[f"{name}-type"](held).answer for name in _DEVICES}
                held += await self._other_devices(machine, held)
                if self._plan.acpi and self._target in X86 and _has_notifier(held):
                    held += await self._acpi(machine, held)
            return held

    async def _with_fallbacks(
        self, machine: str | None, thorough: bool, deadline: float
    ) -> tuple[list[Conversation], str | None]:
        """Start with the ISA device, without it, with another accelerator, with another machine type."""
        held: list[Conversation] = []
        device = "pvpanic" if self._target in X86 and self._plan.notifier != "pvpanic" else ""
        questions = self._questions(partial(self._isa, thorough=thorough), thorough=thorough)
        for _ in range(_ATTEMPTS):
            held.append(await self._start(machine, deadline, questions, device))
            last = held[-1]
            if thorough and not self._gently and _died_of_its_modules(last):
                self._gently = True
                continue
            if not last.refused_to_start:
                break
            words = last.failed.lower()
            options = self._options_for(machine)
            if "accel" in words and self._accel:
                self._accel = ""
            elif "audio" in words and _SILENT[0] not in options:
                self._options[machine] = (*options, *_SILENT)
            elif "firmware" in words and options == tuple(bare(self._target)) != ():
                self._options[machine] = ()
            elif device:
                device = ""
            elif machine is None and "no default" in words:
                held.pop()  # it was about no machine type
                machine = "virt"
            elif machine == "virt" and not self._plan.machines:
                held.pop()
                machine = "none"
            elif machine is None:
                machine = "none"  # the default one does not start; it is about the emulator now
            else:
                break
        return held, machine

    async def _other_devices(self, machine: str | None, held: list[Conversation]) -> list[Conversation]:
        """Where the ISA device under its usual name is not in it, try the others that there are."""
        if any(c.own_device for c in held if not c.refused_to_start):
            return []
        tried: list[Conversation] = []
        deadline = self._deadline()
        if self._plan.notifier != "pvpanic" and self._types.get("isa-pvpanic") == "yes":
            isa = partial(self._isa, thorough=False)
            tried.append(await self._start(machine, deadline, self._questions(isa), "isa-pvpanic"))
            if not tried[-1].refused_to_start:
                return tried
        if self._plan.notifier != "isa" and self._types.get("pvpanic-pci") != "no":
            pci = self._questions(interview.pci)
            tried.append(await self._start(machine, deadline, pci, "pvpanic-pci", qtest=True))
            if tried[-1].refused_to_start and "qtest" in tried[-1].failed:
                tried.append(await self._start(machine, deadline, self._questions(), "pvpanic-pci"))
        return tried

    async def _acpi(self, machine: str | None, held: list[Conversation]) -> list[Conversation]:
        """Boot the firmware with the device and without it; a builtin one can only be moved away."""
        builtin = MACHINE["builtin-pvpanic"](held).answer == "yes"
        moved = ("-global", "pvpanic.ioport=0") if builtin else ()
        device = next((c.own_device for c in held if c.own_device and not c.refused_to_start), "") or ""
        questions = self._questions(interview.acpi)
        deadline = self._deadline()
        return list(
            await asyncio.gather(
                self._start(machine, deadline, questions, device),
                self._start(machine, deadline, questions, extra=moved),
            )
        )

    async def _start(
        self,
        machine: str | None,
        deadline: float,
        questions: Interview,
        device: str = "",
        *,
        qtest: bool = False,
        extra: Sequence[str] = (),
    ) -> Conversation:
        options = (*self._options_for(machine), *extra)
        argv = command_line(self._command, machine, accel=self._accel, device=device, extra=options)
        ready, self._head_start = self._head_start, None
        return await converse(
            argv,
            questions,
            self._lifeline,
            deadline,
            qtest=qtest,
            budget=self._budget,
            head_start=ready,
        )

    def _options_for(self, machine: str | None) -> Sequence[str]:
        """Return options without which a machine type does not start; most need none."""
        return self._options.get(machine, tuple(bare(self._target)))

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._plan.timeout

    def _questions(self, panic: Interview | None = None, *, thorough: bool = False) -> Interview:
        """Put an interview together: who it is, what is in it, the panic, and the dear questions last."""

        async def questions(session: Session) -> None:
            await interview.plain(session, thorough=thorough)
            if thorough:
                self._target = target_of(Conversation(session.entries)) or self._target
            if panic and not self._plan.introspect_only:
                await panic(session)
            if thorough:
                await interview.events(session)
                await interview.types(session, gently=self._gently)

        return questions

    async def _isa(self, session: Session, *, thorough: bool) -> None:
        if self._target in X86:
            await interview.isa(session, thorough=thorough)


def _has_notifier(held: Sequence[Conversation]) -> bool:
    """Say if there is anything that the guest could be told of."""
    added = any(c.own_device for c in held if not c.refused_to_start)
    return added or MACHINE["builtin-pvpanic"](held).answer == "yes"


def _died_of_its_modules(held: Conversation) -> bool:
    """Say if the emulator ended by itself when it was to list its types."""
    listing = [reply for reply in held.replies if reply.command == "qom-list-types"]
    return held.fault == "EndedError" and any(reply.received < 0 for reply in listing)
