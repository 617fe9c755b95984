"""The answer to where guests may migrate, as text for one screen."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from onpanic.cli.fleet.fleet_lines import host_names, note_lines, plural, uncounted_lines
from onpanic.core.untrusted import printable
from onpanic.fleet.judging.guest_view import GuestView
from onpanic.fleet.judging.hindrance import Hindrance
from onpanic.fleet.migration.migration_answer import AskedPair, ExchangeClass, MigrationAnswer
from onpanic.probe.record.screen import Style
from onpanic.shims.domain_xml.policy_xml import policy_elements
from onpanic.shims.translation.mapping import Note

__all__ = ("hindrance_lines", "migration_screen")

_CLASSES = 8
_HINDRANCES = 6
_STYLES = {"yes": "yes", "changes": "unknown", "some": "unknown", "no": "no", "unknown": "unknown"}


def migration_screen(answer: MigrationAnswer, style: Style, *, everything: bool = False) -> list[str]:
    """Return the lines of an answer.

    :param everything: Whether to name all hosts, and all classes.
    """
    policy = " ".join(policy_elements(answer.policy).values())
    missing = f", {answer.missing:,} not counted" if answer.missing else ""
    if answer.others:
        missing = f", {answer.others:,} of another architecture or hypervisor{missing}"
    name = f"{answer.domain}, " if answer.domain else ""
    head = f"{name}{answer.architecture} {answer.machine}, {policy}: {plural(answer.hosts, 'host')}{missing}"
    lines = [style.paint(printable(head), "title")]
    if answer.pair is not None:
        lines += _pair(answer.pair, answer.classes, style)
    else:
        lines += _classes(answer, style, everything=everything)
    lines += uncounted_lines(answer.uncounted, style, everything=everything)
    return lines + note_lines(answer.notes, style, everything=everything)


def hindrance_lines(
    hindrances: Sequence[Hindrance], style: Style, *, everything: bool = False, indent: str = ""
) -> list[str]:
    """Return why not, on which hosts, and what to do about it.

    :param everything: Whether to name all hosts, and all that stands in the way.
    """
    lines = []
    shown = hindrances if everything or len(hindrances) <= _HINDRANCES + 1 else hindrances[:_HINDRANCES]
    for one in shown:
        hosts = f"{plural(len(one.hosts), 'host')}: {host_names(one.hosts, everything=everything)}"
        lines.append(f"{indent}{style.paint(f'{one.answer}: {one.code}', _STYLES[one.answer])}: {hosts}")
        lines += [
            f"{indent}  {printable(one.reason, 200)}",
            f"{indent}  {style.paint(printable(one.remedy), 'dim')}",
        ]
    if len(shown) < len(hindrances):
        hosts = plural(sum(len(one.hosts) for one in hindrances[len(shown) :]), "host")
        lines.append(f"{indent}and {plural(len(hindrances) - len(shown), 'more reason')}: {hosts}")
    return lines


def _pair(pair: AskedPair, classes: Iterable[ExchangeClass], style: Style) -> list[str]:
    """Return the answer about two hosts.

    :param classes: Those of the two hosts, with notes on the guest.
    """
    way = printable(f"{pair.source} to {pair.target}")
    lines = [f"{way}: {style.paint(pair.answer, _STYLES[pair.answer])}"]
    lines += hindrance_lines(pair.hindrances, style, indent="  ")
    if pair.answer not in ("yes", "changes"):
        return lines
    return lines + _notes(
        dict.fromkeys([*pair.notes, *(note for one in classes for note in one.notes)]), style
    )


def _classes(answer: MigrationAnswer, style: Style, *, everything: bool) -> list[str]:
    shown = answer.classes if everything else answer.classes[:_CLASSES]
    lines = []
    for one in shown:
        hosts = f"{plural(len(one.hosts), 'host')}: {host_names(one.hosts, everything=everything)}"
        lines += [f"class {one.number}, {hosts}", f"  {style.paint(printable(_domain(one)), 'dim')}"]
    left = len(answer.classes) - len(shown)
    if left:
        lines.append(f"and {left:,} more, with fewer hosts: --all shows them")
    if answer.excluded:
        lines += [
            "not possible on:",
            *hindrance_lines(answer.excluded, style, everything=everything, indent="  "),
        ]
    if len(shown) > 1:
        lines += _table(answer, [one.number for one in shown], style)
        lines += _reasons(answer, [one.number for one in shown], style)
    notes = dict.fromkeys(note for one in answer.classes for note in one.notes)
    notes |= dict.fromkeys(note for one in answer.class_pairs for note in one.notes)
    return lines + _notes(notes, style)


def _domain(one: ExchangeClass) -> str:
    """Return what the guest is like in a class, in one line."""
    words = [f"<on_crash>{one.on_crash}</on_crash>" if one.on_crash else "no <on_crash>"]
    if one.panic:
        words.append(f"<panic model='{one.panic}'/>")
    if one.arguments:
        words.append(" ".join(one.arguments))
    emulator = [printable(one.emulator, 100)] if one.emulator else []
    return ", ".join([*words, *_seen(one.view), f"type {one.domain_type}", *emulator])


def _seen(view: GuestView) -> Iterable[str]:
    for notifier in view:
        if notifier.event_mask is not None:
            yield f"events={notifier.event_mask:#x}"


def _table(answer: MigrationAnswer, numbers: Sequence[int], style: Style) -> list[str]:
    answers = {(one.source, one.target): one.answer for one in answer.class_pairs}
    lines = ["from \\ to" + "".join(f"{number:>9}" for number in numbers)]
    for source in numbers:
        cells = []
        for target in numbers:
            word = "yes" if source == target else answers[source, target]
            cells.append(" " * (9 - len(word)) + style.paint(word, _STYLES[word]))
        lines.append(f"{source:9}" + "".join(cells))
    return lines


def _reasons(answer: MigrationAnswer, numbers: Sequence[int], style: Style) -> list[str]:
    """Return why guests may not go from class to class: each reason once, with the pairs that it is about."""
    pairs: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for one in answer.class_pairs:
        if one.source in numbers and one.target in numbers:
            for found in one.hindrances:
                some = f" ({plural(len(found.hosts), 'host')})" if one.answer == "some" else ""
                key = (found.answer, found.code, found.reason, found.remedy)
                pairs[key].append(f"{one.source} to {one.target}{some}")
    lines = []
    shown = list(pairs.items())
    if len(shown) > _HINDRANCES + 1:
        shown = shown[:_HINDRANCES]
    for (word, code, reason, remedy), ways in shown:
        lines.append(f"{style.paint(f'{word}: {code}', _STYLES[word])}: {host_names(ways)}")
        lines += [f"  {printable(reason, 200)}", f"  {style.paint(printable(remedy), 'dim')}"]
    if len(shown) < len(pairs):
        lines.append(f"and {plural(len(pairs) - len(shown), 'more reason')}")
    return lines


def _notes(notes: Iterable[Note], style: Style) -> list[str]:
    lines = []
    for note in notes:
        lines += [
            f"note: {note.code}: {printable(note.reason)}",
            f"  {style.paint(printable(note.remedy), 'dim')}",
        ]
    return lines
