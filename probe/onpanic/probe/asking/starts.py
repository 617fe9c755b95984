"""Starting an emulator as often as it takes to find out everything about it.

The first start for a machine type answers everything about it and about one notifier: ISA's on x86, else the
architecture's own, else PCI's.  Each further notifier has a start of its own beside it, so that what is
seen is due to that notifier alone.  The emulator's name is only a hint at what to try first:
``query-target`` decides.
"""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from onpanic.core.tasks import run_all
from onpanic.probe.asking.converse import Asking, converse
from onpanic.probe.asking.emulator_backend import PROCESSES, EmulatorBackend
from onpanic.probe.asking.fallbacks import FALLBACKS, Start, next_start
from onpanic.probe.asking.firmware import read_acpi_tables
from onpanic.probe.asking.making_panics import make_panic
from onpanic.probe.asking.notifier_starts import first_start, further_starts
from onpanic.probe.asking.plan import ProbePlan, Progress
from onpanic.probe.asking.queries import ask_about_emulator, ask_about_machine
from onpanic.probe.asking.session import Session
from onpanic.probe.conversation import Conversation
from onpanic.probe.conversation.conversation import EMULATOR_ONLY
from onpanic.probe.emulator.boot_image import BOOT_IMAGES
from onpanic.probe.emulator.command_line import X86, command_line, guess_target, required_options
from onpanic.probe.emulator.notifier_models import ISA_TYPES
from onpanic.probe.emulator.opening_commands import opening_commands
from onpanic.probe.emulator.process import EmulatorProcess
from onpanic.probe.emulator.reaper import Reaper
from onpanic.probe.observations.devices import added_notifier, builtin_devices
from onpanic.probe.observations.machines import Machines, running_machine, target_of
from onpanic.probe.observations.notifiers import about
from onpanic.probe.observations.qom_types import known_types
from onpanic.qmp.quota import Quota

__all__ = ("ask_emulator",)

# The CPU stays off while the guest is said to run, and firmware with a boot menu does not shut it down
_HALTED = ("-global", "cpu.start-powered-off=on", "-boot", "menu=on")
_SIGNAL = 128  # from which on a wrapper's exit status says that a signal ended the emulator
_MISSED_DEADLINES = 3  # machine types that may miss their deadline before the emulator is given up


async def ask_emulator(
    command: Sequence[str],
    plan: ProbePlan,
    reaper: Reaper,
    slots: asyncio.Semaphore | None = None,
    progress: Progress = lambda _done, _total: None,
    head_start: EmulatorProcess | None = None,
    backend: EmulatorBackend = PROCESSES,
) -> list[Conversation]:
    """Hold every conversation with one emulator that a plan needs.

    :param command: The emulator: a path, or a whole command.
    :param plan: What to find out.
    :param reaper: Ends emulators if this process goes away.
    :param slots: Limits how many emulators run at a time, over several calls.
    :param progress: Called as machine types are done.
    :param head_start: The emulator, if it was started already, with `first_command_line`.
    :param backend: Makes what a start is made of, see `EmulatorBackend`.
    :return: The conversations, however they ended: see `Conversation.failed`.
    """
    starts = _Starts(command, plan, reaper, slots or asyncio.Semaphore(plan.slots), head_start, backend)
    first = plan.machines[0] if plan.machines else None
    conversations = await starts.first(first)
    known = Machines(conversations)
    also = [name for name in plan.if_there if known.resolve(name) in known.names]
    asked = known.names if plan.all_machines else [*plan.machines[1:], *also]
    done_already = {known.canonical(c) for c in conversations if not c.emulator_only} | {first}
    rest = [name for name in dict.fromkeys(map(known.resolve, asked)) if name not in done_already]
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
    :param answered: Whether it has started at all, and answered.
    """

    target: str
    accel: str = "tcg"
    types: Mapping[str, bool] = {}
    answered: bool = False


class _Starts:
    """The starts of one emulator."""

    def __init__(
        self,
        command: Sequence[str],
        plan: ProbePlan,
        reaper: Reaper,
        slots: asyncio.Semaphore,
        head_start: EmulatorProcess | None,
        backend: EmulatorBackend,
    ) -> None:
        self._command = command
        self._plan = plan
        self._reaper = reaper
        self._slots = slots
        self._head_start = head_start
        self._backend = backend
        self._learnt = _Learnt(guess_target(command))
        self._missed_deadlines = 0
        self._quota = Quota()

    async def first(self, machine: str | None) -> list[Conversation]:
        """Ask about the first machine type, and about the emulator itself.

        The other notifiers are started at the same time, as the emulator's name suggests; one that needs KVM
        before the others, since it takes longest.
        """
        start = first_start(self._command, self._plan, machine, self._learnt.target)
        guessed = sorted(self._further(start, start.subject, {}), key=lambda one: one.accel != "kvm")
        (held, last), *others = await run_all(
            self._with_fallbacks(start), *(self._with_fallbacks(one) for one in guessed)
        )
        last = self._learn(held, last)
        more = self._further(last, start.subject, self._learnt.types)
        also = [one for one in more if _key(one) not in map(_key, guessed)]
        tried = [c for found, one in others if one.machine == last.machine for c in found]
        return await self._continued(held, last, tried, also, cost=_MISSED_DEADLINES)

    async def further(self, machine: str) -> list[Conversation]:
        """Ask about another machine type."""
        if self._missed_deadlines >= _MISSED_DEADLINES:
            argv = command_line(self._command, machine)
            return [Conversation.never(argv, "not started: the emulator has missed too many deadlines")]
        start = first_start(self._command, self._plan, machine, self._learnt.target)
        start = replace(start, accel=self._learnt.accel, thorough=not self._learnt.answered)
        held, last = await self._with_fallbacks(start)
        if start.thorough:
            last = self._learn(held, last)
        also = self._further(last, start.subject, self._learnt.types)
        return await self._continued(held, last, [], also, cost=1)

    def _learn(self, held: Sequence[Conversation], last: Start) -> Start:
        """Keep what a thorough start has shown about the emulator, and return the start with its target."""
        target = next(filter(None, map(target_of, held)), last.target)
        options = last.options
        if options == required_options(last.target):
            options = required_options(target)
        if any(c.answered for c in held):
            types = dict.fromkeys(ISA_TYPES, True) | known_types(held)  # one that nothing lists is tried
            self._learnt = _Learnt(target, last.accel, types, answered=True)
        return replace(last, target=target, options=options)

    def _further(self, start: Start, tried: str, types: Mapping[str, bool]) -> list[Start]:
        return further_starts(self._command, self._plan, start, tried, types)

    async def _continued(
        self,
        held: list[Conversation],
        start: Start,
        tried: list[Conversation],
        also: Sequence[Start],
        *,
        cost: int,
    ) -> list[Conversation]:
        """Try other notifiers, and run the firmware, if the machine type has started.

        :param held: What was said in the first starts.
        :param tried: What was said in starts with other notifiers already.
        :param also: Starts with other notifiers that are still to be made.
        """
        last = held[-1]
        if any(c.fault == "DeadlineError" for c in held):
            self._missed_deadlines += cost
        elif last.emulator_only or last.refused_to_start or (last.failed and not last.answered):
            return held
        else:
            running = running_machine(last)
            more = [one for one in also if self._applies(one, running)]
            found = await run_all(*(self._with_fallbacks(one) for one in more))
            held += tried + [c for batch, _ in found for c in batch]
            if self._plan.acpi and self._learnt.target in X86 and _has_isa(held):
                held += await self._acpi(held, start)
        return held

    @staticmethod
    def _applies(start: Start, running: str) -> bool:
        """Return whether a start makes sense for the machine type that is running."""
        return not (running == "none" and start.subject in ("hyperv", "checkstop")) and not (
            running.startswith("pseries") and start.subject == "checkstop"
        )

    async def _with_fallbacks(self, start: Start) -> tuple[list[Conversation], Start]:
        """Start the emulator, with fallbacks, and return the conversations and the last start.

        If not even the machine type ``none`` starts, the failure is that of the user's own start.  A refusal
        of the probe's image is left out.
        """
        held: list[Conversation] = []
        forgotten: list[Conversation] = []
        async with self._slots:
            deadline = self._deadline()
            for _ in range(len(FALLBACKS)):  # each is applied once at most
                held.append(
                    await self._converse(start, deadline, self._about_machine(start, beside=bool(held)))
                )
                found = next_start(held[-1], start)
                if found is None:
                    break
                start, forget = found
                if forget:
                    forgotten.append(held.pop())
        if start.alone and held[-1].refused_to_start:
            held = forgotten[:1] or held[:-1] or held
        return [c for c in held if not _refuses_image(c)] or held, start

    async def _acpi(self, held: list[Conversation], start: Start) -> list[Conversation]:
        """Boot the firmware with the device and without it; a builtin device can only be moved away."""
        moved: tuple[str, ...] = ()
        builtin = next(filter(None, map(builtin_devices, held)), ())
        if builtin:
            types = (builtin[0].type,) if builtin[0].type else ISA_TYPES
            moved = tuple(word for name in types for word in ("-global", f"{name}.ioport=0"))
        start = replace(start, thorough=False, subject="", qtest=False, boot_image=b"")
        there = replace(start, device=added_notifier(about(held, "isa")) or "")
        away = replace(start, device="", options=(*start.options, *moved))

        async def read(session: Session) -> None:
            await self._about_machine(start)(session)
            if not self._plan.introspect_only:
                await read_acpi_tables(session)

        async def one(chosen: Start) -> Conversation:
            async with self._slots:
                return await self._converse(chosen, self._deadline(), read)

        return await run_all(one(there), one(away))

    async def _converse(self, start: Start, deadline: float, asking: Asking) -> Conversation:
        argv = command_line(
            self._command,
            start.machine,
            accel=start.accel,
            device=start.device,
            bus=start.bus,
            extra=(*start.options, *(_HALTED if start.halted else ())),
            alone=start.alone,
            defaults=start.defaults,
        )
        ready = self._head_start if start.first else None
        if start.first:
            self._head_start = None
        opening = opening_commands(thorough=start.thorough, introspect_only=self._plan.introspect_only)
        return await converse(
            argv,
            asking,
            self._reaper,
            deadline,
            qtest=start.qtest,
            boot_image=start.boot_image,
            image_option=start.image_option,
            quota=self._quota,
            opening=opening,
            head_start=ready,
            backend=self._backend,
        )

    def _about_machine(self, start: Start, *, beside: bool = False) -> Asking:
        """Return what one start is asked: which machine it is, the panic, and the slow questions last.

        :param beside: Whether the machine type has failed to start in another way.
        """
        emulator_only = start.alone and beside

        async def ask(session: Session) -> None:
            if emulator_only:
                session.record("note", "info", EMULATOR_ONLY)
            await ask_about_machine(session, thorough=start.thorough)
            if start.subject and not self._plan.introspect_only:
                await make_panic(session, start)
            if start.thorough:
                await ask_about_emulator(session, one_by_one=start.one_by_one)

        return ask

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._plan.timeout


def _refuses_image(conversation: Conversation) -> bool:
    """Return whether an emulator does not start because of the image: it names the file, or crashes."""
    given = any(word.startswith(BOOT_IMAGES) for word in conversation.argv)
    crashed = not 0 < (conversation.exit.get("rc") or 0) < _SIGNAL
    return conversation.refused_to_start and given and (crashed or BOOT_IMAGES in conversation.failed)


def _key(start: Start) -> tuple[str, str, str]:
    return start.subject, start.device, start.bus


def _has_isa(held: Sequence[Conversation]) -> bool:
    """Return whether there is an ISA device that the guest's tables could name."""
    present = added_notifier(about(held, "isa")) in ISA_TYPES
    return present or any(builtin_devices(conversation) for conversation in held)
