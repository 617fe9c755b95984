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
from .conversation import Conversation
from .facts import EMULATOR, MACHINE
from .launch import X86, Launched, Model, bare, command_line, target_hint
from .lifeline import Lifeline
from .machines import Machines, target_of
from .session import Interview, Session, converse

__all__ = ("Plan", "Progress", "survey")

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
    :param timeout: Seconds that the emulator has for one machine type.  One that lets it
        pass is given up, and is not asked about further machine types.
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
    if plan.all_machines:
        known = Machines(conversations)
        rest = [name for name in known.names if name != known.canonical(conversations[-1])]
    else:
        rest = list(dict.fromkeys(plan.machines[1:]))
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


_ATTEMPTS = 6  # each fallback is taken once at most


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
        self._has_pci = True
        self._given_up = False
        self._gently = False

    async def examine(self, machine: str | None, *, thorough: bool) -> list[Conversation]:
        """Learn about one machine type; `thorough`: and about the emulator itself."""
        deadline = _Deadline(self._plan.timeout)
        held = await self._with_fallbacks(machine, thorough, deadline)
        machine = held[-1].machine
        if thorough:
            self._learn(held)
        attached = any(c.own_device and not c.refused_to_start for c in held)
        if (
            not attached
            and held[-1].greeting
            and not held[-1].failed
            and self._has_pci
            and self._plan.notifier != "isa"
        ):
            held.append(
                await self._start(
                    machine, deadline, self._questions(interview.pci), "pvpanic-pci", qtest=True
                )
            )
            if held[-1].refused_to_start and "qtest" in held[-1].failed:
                held.append(await self._start(machine, deadline, self._questions(), "pvpanic-pci"))
        if self._plan.acpi and self._target in X86 and not held[0].failed:
            held += await self._acpi(machine, deadline, held)
        return held

    async def _with_fallbacks(
        self, machine: str | None, thorough: bool, deadline: "_Deadline"
    ) -> list[Conversation]:
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
            if "accel" in words and self._accel:
                self._accel = ""
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
        return held

    async def _acpi(
        self, machine: str | None, deadline: "_Deadline", held: list[Conversation]
    ) -> list[Conversation]:
        """Boot the firmware with the device and without it; a builtin one can only be moved away."""
        builtin = MACHINE["builtin-pvpanic"](held).answer == "yes"
        bare = ("-global", "pvpanic.ioport=0") if builtin else ()
        device = next((c.own_device for c in held if c.own_device and not c.refused_to_start), "") or ""
        questions = self._questions(interview.acpi)
        return list(
            await asyncio.gather(
                self._start(machine, deadline, questions, device),
                self._start(machine, deadline, questions, extra=bare),
            )
        )

    async def _start(
        self,
        machine: str | None,
        deadline: "_Deadline",
        questions: Interview,
        device: str = "",
        *,
        qtest: bool = False,
        extra: Sequence[str] = (),
    ) -> Conversation:
        async with self._slots:
            options = (*bare(self._target), *extra)
            argv = command_line(self._command, machine, accel=self._accel, device=device, extra=options)
            if self._given_up:
                return Conversation.never(argv, "not started: the emulator let an earlier deadline pass")
            ready, self._head_start = self._head_start, None
            held = await converse(
                argv, questions, self._lifeline, deadline.moment(), qtest=qtest, head_start=ready
            )
            self._given_up = held.fault == "DeadlineError"
            return held

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

    def _learn(self, held: list[Conversation]) -> None:
        self._has_pci = EMULATOR["pvpanic-pci-type"](held).answer != "no"


class _Deadline:
    """Seconds from the first start, not from when it had to wait for its turn."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._moment: float | None = None

    def moment(self) -> float:
        """Return the event loop's time at which the emulator is given up."""
        if self._moment is None:
            self._moment = asyncio.get_running_loop().time() + self._seconds
        return self._moment


def _died_of_its_modules(held: Conversation) -> bool:
    """Say if the emulator ended by itself when it was to list its types."""
    listing = [reply for reply in held.replies if reply.command == "qom-list-types"]
    return held.fault == "EndedError" and any(reply.received < 0 for reply in listing)
