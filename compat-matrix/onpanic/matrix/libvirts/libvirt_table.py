"""Records of libvirts side by side: a row for each question, a column for each libvirt.

The rows are in groups: which words and models are accepted, what a panic ends in, and what it ends in
after a change of the action while the guest runs.
"""

import shlex
from collections.abc import Mapping, Sequence

import msgspec

from onpanic.matrix.libvirts.libvirt_names import event_name, state_name
from onpanic.matrix.libvirts.libvirt_questions import PANIC, element_of
from onpanic.matrix.libvirts.libvirt_record import ElementAnswer, GuestEnd, LibvirtRecord, PanickedGuest
from onpanic.shims.translation.asking_libvirt import CONTROL_WORD

__all__ = (
    "LibvirtCell",
    "LibvirtChange",
    "LibvirtColumn",
    "LibvirtRow",
    "LibvirtTable",
    "end_in_words",
    "libvirt_changes",
    "libvirt_table",
)

_NOTHING = "-"
_OUTCOMES = {"accepted": "y", "refused": "n", "not-known": "not known", "unasked": "?"}
_GROUPS = {
    "on_crash": "<on_crash> values accepted",
    "on_reboot": "<on_reboot> values accepted",
    "on_poweroff": "<on_poweroff> values accepted",
    PANIC: "<panic> models accepted",
}
_PERSISTENT, _TRANSIENT = "what a panic ends in", "what a panic ends in, transient domain"
_LIVE = "what a panic ends in after a live change of the action, transient domain"


class LibvirtColumn(msgspec.Struct, frozen=True):
    """A libvirt.

    :param key: The name of its record.
    :param name: For people: ``libvirt 9.0.0``.
    :param about: The QEMU that it ran: ``QEMU 7.2.22``.
    :param facts: Names and values that describe it.
    """

    key: str
    name: str
    about: str
    facts: list[tuple[str, str]]


class LibvirtCell(msgspec.Struct, frozen=True):
    """A libvirt's answer to one question.

    :param text: ``y``, ``n``, ``?``, a few words, or ``-`` if the record has no answer.
    :param detail: The answer in a sentence.
    :param evidence: Lines that start with ``->`` (what was asked) or ``<-`` (what came).
    """

    text: str
    detail: str = ""
    evidence: list[str] = []


class LibvirtRow(msgspec.Struct, frozen=True):
    """A question.

    :param key: Unique in the table: ``on_crash=destroy``.
    :param group: The question's group.
    :param name: The word or model, or the change.
    :param cells: One for each libvirt.
    """

    key: str
    group: str
    name: str
    cells: list[LibvirtCell]


class LibvirtTable(msgspec.Struct, frozen=True):
    """All records."""

    columns: list[LibvirtColumn]
    rows: list[LibvirtRow]


class LibvirtChange(msgspec.Struct, frozen=True):
    """A question that two libvirts answer differently; see `LibvirtRow`.

    :param before: The cell of the one.
    :param after: The cell of the other.
    """

    key: str
    group: str
    name: str
    before: str
    after: str


def libvirt_table(records: Mapping[str, LibvirtRecord]) -> LibvirtTable:
    """Return the table of records.

    :param records: By name, in the order of the columns.
    """
    return LibvirtTable(
        columns=[_column(name, record) for name, record in records.items()],
        rows=[*_accepted_rows(list(records.values())), *_guest_rows(list(records.values()))],
    )


def libvirt_changes(before: LibvirtRecord, after: LibvirtRecord) -> list[LibvirtChange]:
    """Return the questions that two records answer differently; those that only one answers are left out."""
    table = libvirt_table({"before": before, "after": after})
    return [
        LibvirtChange(row.key, row.group, row.name, *(cell.text for cell in row.cells))
        for row in table.rows
        if len({cell.text for cell in row.cells}) > 1
        and not {cell.text for cell in row.cells} & {_NOTHING, "?"}
    ]


def end_in_words(end: GuestEnd) -> str:
    """Return what a guest ended in, in a few words.

    They are libvirt's own words for the state, and QEMU's run state where the two do not agree.
    """
    if end.state is None:
        stopped = [event_name(event) for event in end.events if event_name(event).startswith("stopped")]
        words = [f"gone, {stopped[-1]}" if stopped else "gone"]
    else:
        words = [state_name(end.state)]
    if end.reset and end.process != "ended":
        words.append("reset")
    if end.process == "new":
        words.append("new process")
    if end.run_state and not _agree(end):
        words.append(f"QEMU is {end.run_state}")
    if end.unanswered:
        words.append("QEMU does not answer")
    if end.dump not in ("none", "unknown"):
        words.append(f"dump ({end.dump})")
    return ", ".join(words)


def _agree(end: GuestEnd) -> bool:
    """Return whether libvirt's state and QEMU's run state say the same."""
    says_running = end.state is not None and end.state[0] == 1
    return says_running == (end.run_state == "running")


def _column(name: str, record: LibvirtRecord) -> LibvirtColumn:
    libvirt, qemu = record.libvirt, record.qemu
    facts = [
        ("libvirt", f"{libvirt.version} {libvirt.package}".strip()),
        ("Driver", f"{libvirt.driver}, {libvirt.mode} mode"),
        ("Client library", libvirt.client),
        ("QEMU", f"{qemu.version} {f'({qemu.package})' if qemu.package else ''}".strip()),
        ("Guests", f"{qemu.arch}, machine type {qemu.machine}"),
        ("Source", record.source),
        ("Asked", f"{record.at} by {record.by}"),
        ("Ask again", _again(record)),
    ]
    about = f"QEMU {qemu.version}"
    return LibvirtColumn(name, f"libvirt {libvirt.version}", about, [fact for fact in facts if fact[1]])


def _again(record: LibvirtRecord) -> str:
    """Return the command that makes such a record again."""
    kind, _, suite = record.source.partition(" ")
    of = f"--debian-libvirts {shlex.quote(suite)}" if kind == "Debian" else "--libvirt URI"
    return f"onpanic matrix collect -o records {of}"


def _accepted_rows(records: Sequence[LibvirtRecord]) -> list[LibvirtRow]:
    rows = []
    for element, group in _GROUPS.items():
        words = dict.fromkeys(word for one in records for word in one.accepted.get(element, {}))
        for word in words:
            if word == CONTROL_WORD:
                continue
            cells = [_answer_cell(one, element, one.accepted.get(element, {}).get(word)) for one in records]
            rows.append(LibvirtRow(f"{element}={word}", group, word, cells))
    return rows


def _answer_cell(record: LibvirtRecord, element: str, answer: ElementAnswer | None) -> LibvirtCell:
    if answer is None:
        return LibvirtCell(_NOTHING, "the record has no answer to this")
    sentences = {
        "accepted": "libvirt accepts a domain with it",
        "refused": "libvirt knows it, and refuses a domain with it",
        "not-known": "libvirt refuses it as it refuses a word that does not exist",
        "unasked": "libvirt could not be asked",
    }
    place = "{devices}" if element == PANIC else "{lifecycle}"
    xml = record.documents.get("asked", "").replace(place, answer.element)
    asked = f"-> domainXMLToNative(qemu-argv): {_without_marks(xml)}"
    came = "<- accepted" if answer.code is None else f"<- error {answer.code}: {answer.text}"
    return LibvirtCell(_OUTCOMES[answer.outcome], sentences[answer.outcome], [asked, came])


def _guest_rows(records: Sequence[LibvirtRecord]) -> list[LibvirtRow]:
    guests = {_guest_key(guest): guest for one in records for guest in one.guests}
    ordered = sorted(guests, key=lambda key: _order(guests[key]))
    rows = []
    for key in ordered:
        group, name = _guest_title(guests[key])
        own = [next((g for g in one.guests if _guest_key(g) == key), None) for one in records]
        cells = [_guest_cell(one, guest) for one, guest in zip(records, own, strict=True)]
        rows.append(LibvirtRow(key, group, name, cells))
    return rows


def _guest_key(guest: PanickedGuest) -> str:
    parts = [
        f"end={guest.on_crash}",
        f"on_reboot={guest.on_reboot}" if guest.on_reboot else "",
        f"live={guest.set_live}" if guest.set_live else "",
        "" if guest.persistent else "transient",
    ]
    return ",".join(part for part in parts if part)


def _order(guest: PanickedGuest) -> tuple[bool, bool, bool]:
    """Return the sort key of a guest's group; within a group the order is that of the records."""
    return bool(guest.set_live), not guest.persistent, bool(guest.on_reboot)


def _guest_title(guest: PanickedGuest) -> tuple[str, str]:
    """Return a guest's group and name."""
    name = guest.on_crash + (f", <on_reboot>{guest.on_reboot}" if guest.on_reboot else "")
    if guest.set_live:
        return _LIVE, f"{name} to {guest.set_live}"
    return (_PERSISTENT if guest.persistent else _TRANSIENT), name


def _guest_cell(record: LibvirtRecord, guest: PanickedGuest | None) -> LibvirtCell:
    if guest is None:
        return LibvirtCell(_NOTHING, "libvirt does not accept such a domain, or it was not tried")
    elements = [("on_reboot", guest.on_reboot), ("on_crash", guest.on_crash)]
    lifecycle = "".join(element_of(element, word) for element, word in elements if word)
    document = record.documents.get("guest", "").replace("{lifecycle}", lifecycle)
    evidence = [f"   {document}", *guest.log]
    if guest.setting is not None and guest.setting.outcome in ("refused", "not-known"):
        text = _OUTCOMES[guest.setting.outcome]
        return LibvirtCell(text, "the action cannot be set while the guest runs", evidence)
    if guest.end is None:
        return LibvirtCell("?", guest.problem, evidence)
    return LibvirtCell(end_in_words(guest.end), _sentence(guest.end), evidence)


def _sentence(end: GuestEnd) -> str:
    """Return everything that was seen of a guest's end."""
    processes = {
        "same": "the QEMU process is the same",
        "new": "QEMU was started anew",
        "ended": "QEMU has ended",
        "unknown": "whether QEMU is the same process is not known",
    }
    parts = [
        f"libvirt: {state_name(end.state) if end.state else 'the domain no longer exists'}",
        f"events: {', '.join(map(event_name, end.events)) or 'none'}",
        f"QEMU's panic action: {end.panic_action}" if end.panic_action else "no GUEST_PANICKED",
        f"run state: {end.run_state}" if end.run_state else "",
        f"QEMU was not asked for its run state: {end.unanswered}" if end.unanswered else "",
        processes[end.process],
        "the guest was reset" if end.reset else "",
        f"core dump: {end.dump}",
    ]
    return "; ".join(part for part in parts if part)


def _without_marks(xml: str) -> str:
    return xml.replace("{lifecycle}", "").replace("{devices}", "")
