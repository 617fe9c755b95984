"""A record on one screen, as plain text."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from onpanic.core.untrusted import printable
from onpanic.probe.facts import NOTIFIER_QUESTIONS, Fact
from onpanic.probe.facts.xen_questions import GUEST_TYPE
from onpanic.probe.record.capability_record import CapabilityRecord, MachineRecord, Notifier

__all__ = ("Style", "screen")


_NOT_ASKED = Fact("unknown", None, "not asked")  # of a record that another version made


class Style:
    """How parts of the text are coloured: not at all.  A subclass may."""

    def paint(self, text: str, kind: str) -> str:  # noqa: ARG002
        """Return a text in the style of its kind (``yes``, ``no``, ``unknown``, ``title``, ``dim``)."""
        return text


def screen(record: CapabilityRecord, style: Style) -> str:
    """Return a record as text: the facts, how each is known, and which policies are accepted.

    Machine types with the same answers share a paragraph.
    """
    record = msgspec.convert(_printable(msgspec.to_builtins(record)), CapabilityRecord)
    lines = [style.paint(_title(record), "title"), *_changes(record)]
    for group in _alike(record.machines):
        lines += ["", *_machines(group, style)]
    took = f"probed in {record.probed.seconds:.2f} s by {record.probed.by}"
    subject = "the toolstack" if record.hypervisor == "xen" else "the emulator"
    heading = f"{style.paint(subject, 'title')}, {style.paint(took, 'dim')}"
    lines += ["", heading, *_facts(record.facts, style)]
    return "\n".join(lines) + "\n"


def _printable(value: Any) -> Any:
    """Return a JSON value without control characters: some of its text comes from the emulator."""
    if isinstance(value, dict):
        return {name: _printable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_printable(item) for item in value]
    return printable(value) if isinstance(value, str) else value


def _title(record: CapabilityRecord) -> str:
    emulator = record.emulator
    command = emulator.toolstack or " ".join(emulator.command) or "a running guest"
    return f"{command}: {emulator.build}"


def _changes(record: CapabilityRecord) -> Iterable[str]:
    for change in record.emulator.changes:
        became = (
            f"replaced: {change.option} by {change.became}" if change.became else f"left out: {change.option}"
        )
        yield f"  {became} ({change.why})"


def _machines(group: Sequence[MachineRecord], style: Style) -> Iterable[str]:
    machine = group[0]
    yield style.paint(_names(group), "title") + f": {_verdict(machine)}"
    if machine.problem:
        yield f"  {style.paint('problem', 'no')}   {machine.problem}"
    yield from _facts(machine.facts, style)
    yield from _other_notifiers(machine, style)
    accepted = machine.on_panic.accepted
    plain = [value for value, how in accepted.items() if not how.coredump]
    dumping = [value for value, how in accepted.items() if how.coredump]
    more = f"{' '.join(dumping)}, also with coredump='yes'" if dumping else ""
    yield f"  {style.paint('accepted', 'yes')}  {'; '.join(filter(None, [' '.join(plain), more]))}"
    for value, how in accepted.items():
        if how.needs:
            yield f"            {value} needs {how.needs.code}: {how.needs.remedy}"
    for code, values in _by_code(machine).items():
        yield f"  {style.paint('refused', 'no')}   {' '.join(values)}"
        yield f"            {code}: {machine.on_panic.refused[values[0]].reason}"


def _other_notifiers(machine: MachineRecord, style: Style) -> Iterable[str]:
    """Yield a line for each further notifier: whether it works, and else why not."""
    for notifier in machine.notifiers:
        fact = notifier.facts.get("pvpanic-attachable", _NOT_ASKED)
        if notifier.model == machine.notifier or (fact.answer == "no" and fact.how == "documented"):
            continue  # it is shown above, or another architecture's
        answer, says = _in_short(notifier)
        name = f"notifier {notifier.model}"
        yield f"  {style.paint(f'{answer:8}', answer)} {name:23}  {'':12}  {style.paint(says, 'dim')}"


def _in_short(notifier: Notifier) -> tuple[str, str]:
    """Return whether a notifier works, and why not."""
    asked = [q for q in NOTIFIER_QUESTIONS.values() if q.requires]
    required = [(q, notifier.facts.get(q.name, _NOT_ASKED)) for q in asked]
    for question, fact in required:
        code = question.requires.refused_by(fact.answer) if question.requires else ""
        if code:
            return "no", f"{code}: {fact.detail}"
    unknown = next((fact for _, fact in required if fact.answer == "unknown"), None)
    return ("unknown", f"probe-inconclusive: {unknown.detail}") if unknown else ("yes", "works")


def _facts(facts: dict[str, Fact], style: Style) -> Iterable[str]:
    width = max(23, *map(len, facts)) if facts else 0
    for name, fact in facts.items():
        answer = style.paint(f"{fact.answer:8}", fact.answer)
        yield f"  {answer} {name:{width}}  {fact.how or '-':12}  {style.paint(fact.detail, 'dim')}"


def _names(group: Sequence[MachineRecord]) -> str:
    if len(group) == 1:
        extra = [*group[0].aliases, *(["default"] if group[0].default else [])]
        return group[0].name + (f" ({', '.join(extra)})" if extra else "")
    return f"{len(group)} machine types ({' '.join(machine.name for machine in group)})"


def _verdict(machine: MachineRecord) -> str:
    """Return the verdict in half a line."""
    if GUEST_TYPE in machine.facts:
        return _verdict_on_xen(machine)
    refusal = machine.on_panic.refused.get("pause")
    if refusal is None:
        model = machine.notifier or "panic"
        return f"the {model} notifier works: a panic is reported, stops the guest, and cont continues it"
    return {
        "builtin-panic-device": "broken: a builtin pvpanic",
        "cont-refused-after-panic": "broken: a panicked guest cannot be continued",
        "panic-device-missing": "no panic notifier",
        "probe-inconclusive": "not known",
    }.get(refusal.code, "a panic notifier that does not work")


def _verdict_on_xen(machine: MachineRecord) -> str:
    words = {"yes": "a crash ends in what <on_crash> says", "no": "this Xen runs no such guests"}
    return words.get(machine.facts[GUEST_TYPE].answer, "not known")


def _by_code(machine: MachineRecord) -> dict[str, list[str]]:
    codes: dict[str, list[str]] = {}
    for value, refusal in machine.on_panic.refused.items():
        codes.setdefault(refusal.code, []).append(value)
    return codes


def _alike(machines: Sequence[MachineRecord]) -> Iterable[list[MachineRecord]]:
    """Group machine types that have the same answers, known in the same way."""
    groups: dict[object, list[MachineRecord]] = {}
    for machine in machines:
        key = (
            tuple((n, f.answer, f.how) for n, f in machine.facts.items()),
            machine.problem,
            machine.notifier,
            machine.builtin,
            tuple((one.model, one.event_mask, tuple(one.on_panic.refused)) for one in machine.notifiers),
        )
        groups.setdefault(key, []).append(machine)
    return groups.values()
