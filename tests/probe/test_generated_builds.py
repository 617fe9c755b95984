"""Generated builds: no record contradicts what the build does."""

import os
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onpanic.core.errors import EmulatorError
from onpanic.probe import CapabilityRecord, probe
from onpanic.probe.record.capability_record import MachineRecord
from onpanic.probe.testing import PlayedEmulator, PlayedNotifier
from onpanic.probe.testing.played_emulator import Moment
from onpanic.probe.testing.played_monitor import PlayedMonitor
from onpanic.probe.testing.truth import PlayedTruth, truth

from .builds import asked_machines, builds, hidden
from .played_probe import probed

#: How many builds the quick test makes; the one that is marked makes twenty times as many.
BUILDS = int(os.environ.get("ONPANIC_BUILDS", "60"))
#: Whether each run makes the same builds; runs that look for faults make others.
SAME = "ONPANIC_BUILDS" not in os.environ
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


def name_of(like: PlayedEmulator, word: str) -> str:
    """Return a machine type's name; a record has the word that was asked for where nothing lists them."""
    names = like.machine_names
    default = next(iter(names))
    return next(
        (name for name, alias in names.items() if word == alias), default if word == "default" else word
    )


def contradictions(
    record: CapabilityRecord, like: PlayedEmulator, asked: Sequence[str] = ()
) -> Iterator[str]:
    """Yield what a record says that is wrong, or does not say although it could be known.

    :param asked: The machine types that were asked for.
    """
    allowed = hidden(like)
    answered = {name_of(like, machine.name) for machine in record.machines}
    yield from (f"{word} was asked for" for word in asked if name_of(like, word) not in answered)
    for machine in record.machines:
        name = name_of(like, machine.name)
        known = truth(like, name)
        if not known.starts:
            if machine.started or "pause" in machine.on_panic.accepted:
                yield f"{machine.name} does not start"
            continue
        answers = {**known.emulator, **known.machine}
        for fact, answer in answers.items():
            said = (record.facts | machine.facts)[fact].answer
            yield from _compared(f"{machine.name}: {fact}", said, answer, unknown=fact in allowed)
        yield from _about_notifiers(machine, known, allowed)
        for kind in [one.type for one in machine.notifiers if "pause" in one.on_panic.accepted]:
            if kind in ("pvpanic", "isa-pvpanic") and not _pauses(like, name, kind):
                yield f"{machine.name}: pause is accepted, and {kind} does not leave a guest that continues"
        yield from _about_builtin(machine, known, allowed)


def _about_builtin(machine: MachineRecord, known: PlayedTruth, allowed: set[str]) -> Iterator[str]:
    if known.builtin is None or machine.builtin is None:
        return
    kind, port = known.builtin
    if machine.builtin.port != port and not (machine.builtin.port is None and "builtin-port" in allowed):
        yield f"{machine.name}: builtin at {machine.builtin.port}, not {port}"
    if machine.builtin.type != kind and "builtin-type" not in allowed:
        yield f"{machine.name}: builtin {machine.builtin.type}, not {kind}"


def _about_notifiers(machine: MachineRecord, known: PlayedTruth, allowed: set[str]) -> Iterator[str]:
    for notifier in machine.notifiers:
        choice = {
            kind: answers for (model, kind), answers in known.notifiers.items() if model == notifier.model
        }
        good = [kind for kind, answers in choice.items() if _works(answers)]
        seen = f"{notifier.model}:panic-reported" not in allowed
        if notifier.type is not None and good and notifier.type not in good and seen:
            yield f"{machine.name}: {notifier.model} is {notifier.type}, not {good}"
        kind = notifier.type if notifier.type in choice else next(iter(choice))
        for name, answer in choice[kind].items():
            said = notifier.facts[name].answer
            where = f"{machine.name}: {notifier.model} {notifier.type}: {name}"
            yield from _compared(where, said, answer, unknown=f"{notifier.model}:{name}" in allowed)
        if "pause" in notifier.on_panic.accepted and (known.builtin or not _works(choice[kind])):
            yield f"{machine.name}: pause is accepted with {notifier.model}"


def _pauses(like: PlayedEmulator, machine: str, kind: str) -> bool:
    """Return whether a panic through a device stops the guest, and ``cont`` continues it."""
    monitor = PlayedMonitor(like, ["-machine", machine, "-device", f"{kind},id=x"])
    for _ in range(like.notifier(kind).lost + 1):
        written(monitor, "cont")
        written(monitor, "human-monitor-command", f"o /b {like.port:#x} 1")
        written(monitor, "query-status")
    stopped = monitor.machine.status == "guest-panicked"
    written(monitor, "cont")
    return stopped and not monitor.ended and monitor.machine.status == "running"


def _compared(where: str, said: str, answer: str, *, unknown: bool) -> Iterator[str]:
    if said != answer and not (said == "unknown" and unknown):
        yield f"{where}: {said}, not {answer}"


def _works(answers: object) -> bool:
    wanted = {
        "pvpanic-attachable": "yes",
        "panic-reported": "yes",
        "panic-action": "pause",
        "panic-stops-guest": "yes",
        "cont-after-panic": "yes",
    }
    return answers == wanted


def check(like: PlayedEmulator, machines: tuple[str, ...]) -> CapabilityRecord | None:
    """Assert that the record of a build contradicts nothing; None where no machine type starts."""
    asked = machines or tuple(like.machine_names)[:1] * like.has_default
    try:
        record = probed(like, *machines)
    except EmulatorError:
        assert not any(truth(like, name_of(like, word)).starts for word in asked)
        return None
    assert list(contradictions(record, like, asked)) == []
    return record


@settings(
    max_examples=BUILDS,
    derandomize=SAME,
    suppress_health_check=SLOW,
)
@given(st.data())
def test_no_record_contradicts_its_build(data: st.DataObject) -> None:
    """Each yes, no and word is what the build does; unknown is only what the build itself hides."""
    like = data.draw(builds())
    check(like, data.draw(asked_machines(like)))


@pytest.mark.processes
@pytest.mark.timeout(7200)
@settings(
    max_examples=20 * BUILDS,
    derandomize=SAME,
    suppress_health_check=SLOW,
)
@given(st.data())
def test_no_record_contradicts_any_of_many_builds(data: st.DataObject) -> None:
    """The same with more than a thousand builds."""
    like = data.draw(builds())
    check(like, data.draw(asked_machines(like)))


@pytest.mark.processes
@settings(
    max_examples=25,
    derandomize=SAME,
    suppress_health_check=SLOW,
)
@given(st.data())
def test_a_build_is_the_same_in_a_process_of_its_own(data: st.DataObject) -> None:
    """What is played in this process answers as what is played over pipes and sockets."""
    like = data.draw(builds().filter(lambda like: like.pci != "never"))  # which takes seconds of real time
    command = like.command()
    try:
        inside = probed(like)
    except EmulatorError:
        with pytest.raises(EmulatorError):
            probe(command, timeout=60)
        return
    assert answers(probe([*command, f"qemu-system-{like.target}"], timeout=60)) == answers(inside)


def answers(record: CapabilityRecord) -> dict[tuple[str, str], str]:
    """Return every answer of a record, by the notifier and the fact."""
    found: dict[tuple[str, str], str] = {("", name): fact.answer for name, fact in record.facts.items()}
    for notifier in record.machines[0].notifiers:
        found |= {(notifier.model, name): fact.answer for name, fact in notifier.facts.items()}
    return found


def test_what_is_true_of_a_build_is_what_it_does() -> None:
    """The stated truth is checked against the played machine itself, without a probe."""
    for does in NOTIFIERS:
        like = PlayedEmulator(notifiers={"pvpanic": does})
        monitor = PlayedMonitor(like, ["-device", "pvpanic,id=x"])
        said = [*written(monitor, "cont"), *written(monitor, "human-monitor-command", "o /b 0x505 1")]
        said += [one for _ in range(2) if not monitor.ended for one in written(monitor, "query-status")]
        known = truth(like, "pc-i440fx-7.2").notifiers["isa", "pvpanic"]
        sent = any(one.get("event") == "GUEST_PANICKED" for one in said)
        assert known["panic-reported"] == ("yes" if sent and (does.mask or 0) & 1 else "no")
        assert (known["panic-action"] in ("poweroff", "exit")) >= monitor.ended
        assert known["panic-stops-guest"] == ("yes" if monitor.machine.status == "guest-panicked" else "no")


def written(monitor: PlayedMonitor, command: str, line: str = "") -> list[dict[str, Any]]:
    """Return what a monitor says to a command."""
    arguments = {"arguments": {"command-line": line}} if line else {}
    return monitor.handle({"execute": command, "id": 1, **arguments})


MOMENTS: tuple[Moment, ...] = ("at-once", "after-reply", "after-next-reply")
NOTIFIERS = [
    PlayedNotifier(mask, event, state, when, ends)
    for mask, event, state, when, ends in product(
        (0x01, 0x02, 0x83),
        ("pause", "run", ""),
        ("guest-panicked", "paused", "running"),
        MOMENTS,
        (None, 0, 1),
    )
]
