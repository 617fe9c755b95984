"""Starting an emulator as often as it takes to find out everything about it.

For x86 one start with the ISA device answers everything about a machine type.  Where the device
is refused, a start without it answers the rest, and where the PCI device exists a start with
that one follows.  The emulator's name is only a hint at what to try first: ``query-target`` decides.
"""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from onpanic.core.tasks import run_all
from onpanic.probe.asking.fallbacks import FALLBACKS, Start, next_start
from onpanic.probe.asking.firmware import read_acpi_tables
from onpanic.probe.asking.making_panics import panic_through_isa, panic_through_pci
from onpanic.probe.asking.plan import ProbePlan, Progress
from onpanic.probe.asking.queries import ask_about_emulator, ask_about_machine
from onpanic.probe.asking.session import Asking, Session, converse
from onpanic.probe.conversation import Conversation
from onpanic.probe.emulator.command_line import X86, command_line, guess_target, required_options
from onpanic.probe.emulator.opening_commands import opening_commands
from onpanic.probe.emulator.process import EmulatorProcess
from onpanic.probe.emulator.reaper import Reaper
from onpanic.probe.observations.devices import added_notifier, builtin_devices
from onpanic.probe.observations.machines import Machines, target_of
from onpanic.probe.observations.qom_types import known_types
from onpanic.qmp.quota import Quota

__all__ = ("ask_emulator",)

_MISSED_DEADLINES = 3  # machine types that may miss their deadline before the emulator is given up


async def ask_emulator(
    command: Sequence[str],
    plan: ProbePlan,
    reaper: Reaper,
    slots: asyncio.Semaphore | None = None,
    progress: Progress = lambda _done, _total: None,
    head_start: EmulatorProcess | None = None,
) -> list[Conversation]:
    """Hold every conversation with one emulator that a plan needs.

    :param command: The emulator: a path, or a whole command.
    :param plan: What to find out.
    :param reaper: Ends emulators if this process goes away.
    :param slots: Limits how many emulators run at a time, over several calls.
    :param progress: Called as machine types are done.
    :param head_start: The emulator, if it was started already, with `first_command_line`.
    :return: The conversations, however they ended: see `Conversation.failed`.
    """
    starts = _Starts(command, plan, reaper, slots or asyncio.Semaphore(plan.slots), head_start)
    first = plan.machines[0] if plan.machines else None
    conversations = await starts.first(first)
    known = Machines(conversations)
    asked = known.names if plan.all_machines else plan.machines[1:]
    current = known.canonical(conversations[-1])
    rest = [name for name in dict.fromkeys(map(known.resolve, asked)) if name not in (first, current)]
    done, total = 1, len(rest) + 1
    progress(done, total)

    async def one(machine: str) -> list[Conversation]:
        nonlocal done
        found = await starts.further(machine)
        done += 1
        progress(done, total)
        return found

    for batch in await run_all(*map(one, rest)):
        conversations += batch
    return conversations


class _Learnt(msgspec.Struct, frozen=True):
    """What is known about the emulator after its first machine type.

    :param target: For example ``x86_64``.
    :param accel: The accelerator that it starts with; empty for its own choice.
    :param types: For each type of notifier whether it has it; a type that is missing is unknown.
    """

    target: str
    accel: str = "tcg"
    types: Mapping[str, bool] = {}


class _Starts:
    """The starts of one emulator."""

    def __init__(
        self,
        command: Sequence[str],
        plan: ProbePlan,
        reaper: Reaper,
        slots: asyncio.Semaphore,
        head_start: EmulatorProcess | None,
    ) -> None:
        self._command = command
        self._plan = plan
        self._reaper = reaper
        self._slots = slots
        self._head_start = head_start
        self._learnt = _Learnt(guess_target(command))
        self._missed_deadlines = 0
        self._quota = Quota()

    async def first(self, machine: str | None) -> list[Conversation]:
        """Ask about the first machine type, and about the emulator itself."""
        async with self._slots:
            held, start = await self._with_fallbacks(self._initial(machine, thorough=True))
            target = next(filter(None, map(target_of, held)), start.target)
            if start.options == required_options(start.target):
                start = replace(start, options=required_options(target))
            self._learnt = _Learnt(target, start.accel, known_types(held))
            return await self._continued(held, replace(start, target=target), cost=_MISSED_DEADLINES)

    async def further(self, machine: str) -> list[Conversation]:
        """Ask about another machine type."""
        async with self._slots:
            if self._missed_deadlines >= _MISSED_DEADLINES:
                argv = command_line(self._command, machine)
                return [Conversation.never(argv, "not started: the emulator has missed too many deadlines")]
            held, start = await self._with_fallbacks(self._initial(machine, thorough=False))
            return await self._continued(held, start, cost=1)

    def _initial(self, machine: str | None, *, thorough: bool) -> Start:
        target = self._learnt.target
        isa = target in X86 and self._plan.notifier != "pvpanic"
        return Start(
            machine,
            named=machine is not None,
            target=target,
            device="pvpanic" if isa else "",
            accel=self._learnt.accel,
            options=required_options(target),
            thorough=thorough,
            one_by_one=self._plan.introspect_only,  # loads no modules, which takes as long as the schema
        )

    async def _continued(self, held: list[Conversation], start: Start, *, cost: int) -> list[Conversation]:
        """Try other devices, and run the firmware, if the machine type has started."""
        last = held[-1]
        if any(c.fault == "DeadlineError" for c in held):
            self._missed_deadlines += cost
        elif not last.refused_to_start and not last.failed:
            held += await self._other_devices(held, start)
            if self._plan.acpi and self._learnt.target in X86 and _has_notifier(held):
                held += await self._acpi(held, start)
        return held

    async def _with_fallbacks(self, start: Start) -> tuple[list[Conversation], Start]:
        """Start the emulator, with fallbacks, and return the conversations and the last start."""
        held: list[Conversation] = []
        deadline = self._deadline()
        for _ in range(len(FALLBACKS)):  # each is applied once at most
            held.append(await self._converse(start, deadline, self._about_machine(start, isa=True)))
            found = next_start(held[-1], start)
            if found is None:
                break
            start, forget = found
            if forget:
                held.pop()
        return held, start

    async def _other_devices(self, held: list[Conversation], start: Start) -> list[Conversation]:
        """Try other notifiers, if the machine type did not accept the ISA device under its usual name."""
        if added_notifier(held):
            return []
        tried: list[Conversation] = []
        deadline = self._deadline()
        start = replace(start, thorough=False)
        if self._plan.notifier != "pvpanic" and self._learnt.types.get("isa-pvpanic"):
            isa = replace(start, device="isa-pvpanic")
            tried.append(await self._converse(isa, deadline, self._about_machine(isa, isa=True)))
            if not tried[-1].refused_to_start:
                return tried
        if self._plan.notifier != "isa" and self._learnt.types.get("pvpanic-pci", True):
            pci = replace(start, device="pvpanic-pci")
            tried.append(await self._converse(pci, deadline, self._about_machine(pci, pci=True), qtest=True))
            if tried[-1].refused_to_start and "qtest" in tried[-1].failed:
                tried.append(await self._converse(pci, deadline, self._about_machine(pci)))
        return tried

    async def _acpi(self, held: list[Conversation], start: Start) -> list[Conversation]:
        """Boot the firmware with the device and without it; a builtin device can only be moved away."""
        moved = ("-global", "pvpanic.ioport=0") if _has_builtin(held) else ()
        start = replace(start, thorough=False)
        there = replace(start, device=added_notifier(held) or "")
        away = replace(start, device="", options=(*start.options, *moved))
        deadline = self._deadline()

        async def read(session: Session) -> None:
            await self._about_machine(start)(session)
            if not self._plan.introspect_only:
                await read_acpi_tables(session)

        return await run_all(*(self._converse(one, deadline, read) for one in (there, away)))

    async def _converse(
        self, start: Start, deadline: float, asking: Asking, *, qtest: bool = False
    ) -> Conversation:
        argv = command_line(
            self._command, start.machine, accel=start.accel, device=start.device, extra=start.options
        )
        ready, self._head_start = self._head_start, None
        opening = opening_commands(thorough=start.thorough, introspect_only=self._plan.introspect_only)
        return await converse(
            argv,
            asking,
            self._reaper,
            deadline,
            qtest=qtest,
            quota=self._quota,
            opening=opening,
            head_start=ready,
        )

    def _about_machine(self, start: Start, *, isa: bool = False, pci: bool = False) -> Asking:
        """Return what one start is asked: which machine it is, the panic, and the slow questions last.

        :param isa: Make a panic happen through the ISA port, if the target has one.
        :param pci: Make a panic happen through the PCI device.
        """

        async def ask(session: Session) -> None:
            await ask_about_machine(session, thorough=start.thorough)
            target = target_of(session.conversation) or start.target
            if not self._plan.introspect_only:
                if isa and target in X86:
                    await panic_through_isa(session, thorough=start.thorough)
                if pci:
                    await panic_through_pci(session)
            if start.thorough:
                await ask_about_emulator(session, one_by_one=start.one_by_one)

        return ask

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._plan.timeout


def _has_notifier(held: Sequence[Conversation]) -> bool:
    """Return whether there is a notifier that the guest's tables could name."""
    return added_notifier(held) is not None or _has_builtin(held)


def _has_builtin(held: Sequence[Conversation]) -> bool:
    seen = (builtin_devices(conversation) for conversation in held)
    return bool(next((found for found in seen if found is not None), ()))
