"""Records of libvirts side by side: a row for each question, a column for each libvirt.

The rows are in groups: which words and models are accepted, what a panic ends in, and what it ends in
after a change of the action while the guest runs.
"""

import shlex
from collections.abc import Mapping, Sequence
from itertools import compress, groupby

import msgspec
from msgspec.structs import replace

from onpanic.matrix.libvirts.end_words import RunsOn, end_in_words, end_sentence
from onpanic.matrix.libvirts.libvirt_questions import PANIC, element_of, filled
from onpanic.matrix.libvirts.libvirt_record import (
    ElementAnswer,
    GuestQemu,
    GuestType,
    LibvirtRecord,
    PanickedGuest,
)
from onpanic.shims.translation.asking_libvirt import CONTROL_WORD

__all__ = (
    "LibvirtCell",
    "LibvirtChange",
    "LibvirtColumn",
    "LibvirtRow",
    "LibvirtTable",
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
_ENDS, _TRANSIENT = "what a panic ends in", "transient domain"
_LIVE = "what a panic ends in after a live change of the action, transient domain"
_TYPES: Mapping[GuestType, str] = {
    "": "",
    "pv": "PV guest of Xen",
    "pvh": "PVH guest of Xen",
    "hvm": "HVM guest of Xen",
}


class LibvirtColumn(msgspec.Struct, frozen=True):
    """A libvirt.

    :param key: The name of its record.
    :param name: For people: ``libvirt 9.0.0``.
    :param about: What its guests ran on: ``QEMU 7.2.22``, ``Xen 4.17``.
    :param driver: See `LibvirtBuild.driver`.
    :param facts: Names and values that describe it.
    """

    key: str
    name: str
    about: str
    driver: str
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

    def groups(self) -> "list[LibvirtTable]":
        """Return a table for each group, with the libvirts of those drivers that answer a question of it."""
        tables = []
        for _, same in groupby(self.rows, key=lambda row: row.group):
            rows = list(same)
            drivers = {
                column.driver
                for row in rows
                for column, cell in zip(self.columns, row.cells, strict=True)
                if cell.text != _NOTHING
            }
            shown = [column.driver in drivers for column in self.columns]
            own = [replace(row, cells=list(compress(row.cells, shown))) for row in rows]
            tables.append(LibvirtTable(list(compress(self.columns, shown)), own))
        return tables


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
    """Return the questions that two records answer differently; those that only one answers are left out.

    So is a core dump that one of them does not know.
    """
    table = libvirt_table({"before": _with_dumps_of(before, after), "after": _with_dumps_of(after, before)})
    return [
        LibvirtChange(row.key, row.group, row.name, *(cell.text for cell in row.cells))
        for row in table.rows
        if len({cell.text for cell in row.cells}) > 1
        and not {cell.text for cell in row.cells} & {_NOTHING, "?"}
    ]


def _with_dumps_of(record: LibvirtRecord, other: LibvirtRecord) -> LibvirtRecord:
    """Return a record that does not know the core dumps that another one does not know."""
    unknown = {_guest_key(guest) for guest in other.guests if guest.end and guest.end.dump == "unknown"}
    guests = [
        replace(guest, end=replace(guest.end, dump="unknown"))
        if guest.end and _guest_key(guest) in unknown
        else guest
        for guest in record.guests
    ]
    return replace(record, guests=guests)


def _column(name: str, record: LibvirtRecord) -> LibvirtColumn:
    libvirt = record.libvirt
    facts = [
        ("libvirt", f"{libvirt.version} {libvirt.package}".strip()),
        ("Driver", f"{libvirt.driver}, {libvirt.mode} mode"),
        ("Client library", libvirt.client),
        *_facts_of_guests(record),
        ("Source", record.source),
        ("Asked", f"{record.at} by {record.by}"),
        ("Ask again", _again(record)),
    ]
    about = f"{_runs_on(record)} {record.ran_on.version}"
    known = [fact for fact in facts if fact[1]]
    return LibvirtColumn(name, f"libvirt {libvirt.version}", about, libvirt.driver, known)


def _facts_of_guests(record: LibvirtRecord) -> list[tuple[str, str]]:
    """Return names and values that describe what guests ran on."""
    found = record.ran_on
    if isinstance(found, GuestQemu):
        package = f"({found.package})" if found.package else ""
        return [
            ("QEMU", f"{found.version} {package}".strip()),
            ("Guests", f"{found.arch}, machine type {found.machine}"),
        ]
    types = ", ".join(kind.upper() for kind in found.guest_types)
    left_out = "; ".join(f"{what}: {why}" for what, why in found.left_out.items())
    return [("Xen", found.version), ("Guests", types), ("Left out", left_out)]


def _runs_on(record: LibvirtRecord) -> RunsOn:
    return "QEMU" if isinstance(record.ran_on, GuestQemu) else "Xen"


def _again(record: LibvirtRecord) -> str:
    """Return the command that makes such a record again."""
    kind, _, suite = record.source.partition(" ")
    uri = {"QEMU": "URI", "Xen": "xen:///system"}[_runs_on(record)]
    of = f"--debian-libvirts {shlex.quote(suite)}" if kind == "Debian" else f"--libvirt {uri}"
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
    xml = filled(record.documents.get("asked", "").replace(place, answer.element))
    native = {"QEMU": "qemu-argv", "Xen": "xen-xl"}[_runs_on(record)]
    asked = f"-> domainXMLToNative({native}): {xml}"
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
        guest.guest_type,
        f"on_reboot={guest.on_reboot}" if guest.on_reboot else "",
        f"live={guest.set_live}" if guest.set_live else "",
        "" if guest.persistent else "transient",
    ]
    return ",".join(part for part in parts if part)


def _order(guest: PanickedGuest) -> tuple[int, bool, bool, bool]:
    """Return the sort key of a guest's group; within a group the order is that of the records."""
    types = list(_TYPES)
    return types.index(guest.guest_type), bool(guest.set_live), not guest.persistent, bool(guest.on_reboot)


def _guest_title(guest: PanickedGuest) -> tuple[str, str]:
    """Return a guest's group and name."""
    name = guest.on_crash + (f", <on_reboot>{guest.on_reboot}" if guest.on_reboot else "")
    if guest.set_live:
        return _LIVE, f"{name} to {guest.set_live}"
    group = [_ENDS, _TYPES[guest.guest_type], "" if guest.persistent else _TRANSIENT]
    return ", ".join(part for part in group if part), name


def _guest_cell(record: LibvirtRecord, guest: PanickedGuest | None) -> LibvirtCell:
    if guest is None:
        return LibvirtCell(_NOTHING, "libvirt does not accept such a domain, or it was not tried")
    elements = [("on_reboot", guest.on_reboot), ("on_crash", guest.on_crash)]
    lifecycle = "".join(element_of(element, word) for element, word in elements if word)
    kind = f"guest-{guest.guest_type}" if guest.guest_type else "guest"
    document = record.documents.get(kind, "").replace("{lifecycle}", lifecycle)
    evidence = [f"   {document}", *guest.log]
    if guest.setting is not None and guest.setting.outcome in ("refused", "not-known"):
        text = _OUTCOMES[guest.setting.outcome]
        return LibvirtCell(text, "the action cannot be set while the guest runs", evidence)
    if guest.end is None:
        return LibvirtCell("?", guest.problem, evidence)
    runs_on = _runs_on(record)
    return LibvirtCell(end_in_words(guest.end, runs_on), end_sentence(guest.end, runs_on), evidence)
