"""Makes a record from a conversation.

A word counts as not known if libvirt refuses it as it refuses a word that does not exist.  The refusals
are compared with each other, never with a fixed text: they may be translated.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby

import msgspec

from onpanic.core.libvirt_version import version_name
from onpanic.core.untrusted import printable
from onpanic.matrix.libvirts.libvirt_conversation import (
    AskedElement,
    LibvirtConversation,
    LibvirtRefusal,
    LogEntry,
    ObservedGuest,
)
from onpanic.matrix.libvirts.libvirt_names import event_name, state_name
from onpanic.matrix.libvirts.libvirt_questions import GuestPlan, element_of
from onpanic.matrix.libvirts.libvirt_record import (
    DumpFormat,
    ElementAnswer,
    GuestEnd,
    GuestProcess,
    GuestQemu,
    LibvirtBuild,
    LibvirtRecord,
    PanickedGuest,
)
from onpanic.shims.translation.asking_libvirt import CONTROL_WORD, is_unknown_word

__all__ = ("accepted_words", "libvirt_record_of")


def libvirt_record_of(
    conversation: LibvirtConversation,
    *,
    at: str,
    by: str,
    seconds: float,
    package: str = "",
    source: str = "",
) -> LibvirtRecord:
    """Return the record of a conversation; see `LibvirtRecord` for the parameters."""
    accepted: dict[str, dict[str, ElementAnswer]] = {}
    for asked in conversation.asked:
        answer = _answer(asked, conversation.asked)
        accepted.setdefault(asked.element, {})[asked.word] = answer
    ran_on = conversation.ran_on
    return LibvirtRecord(
        qemu=ran_on if isinstance(ran_on, GuestQemu) else msgspec.UNSET,
        xen=msgspec.UNSET if isinstance(ran_on, GuestQemu) else ran_on,
        libvirt=LibvirtBuild(
            version=version_name(conversation.version),
            package=package,
            driver=conversation.driver,
            mode=conversation.mode,
            client=version_name(conversation.client),
        ),
        documents=dict(conversation.documents),
        accepted=accepted,
        guests=[_panicked_guest(guest, conversation, accepted["on_crash"]) for guest in conversation.guests],
        at=at,
        by=by,
        seconds=seconds,
        source=source,
    )


def accepted_words(asked: Sequence[AskedElement], element: str) -> list[str]:
    """Return the words that libvirt accepts as the value of an element."""
    return [one.word for one in asked if one.element == element and one.refusal is None]


def _answer(asked: AskedElement, all_asked: Sequence[AskedElement]) -> ElementAnswer:
    xml = element_of(asked.element, asked.word)
    if asked.refusal is None:
        return ElementAnswer(xml, "accepted")
    controls = (one.refusal for one in all_asked if (one.element, one.word) == (asked.element, CONTROL_WORD))
    control = next(controls, None)
    unknown = control is not None and _refused_alike(asked.word, asked.refusal, control)
    refusal = asked.refusal
    return ElementAnswer(
        xml, "not-known" if unknown else "refused", refusal.code, refusal.domain, refusal.text
    )


def _refused_alike(word: str, refusal: LibvirtRefusal, control: LibvirtRefusal) -> bool:
    """Return whether a word is refused as the control word is, apart from the word itself."""
    same = (refusal.code, refusal.domain) == (control.code, control.domain)
    return same and is_unknown_word(word, refusal.text, control.text)


def _panicked_guest(
    guest: ObservedGuest, conversation: LibvirtConversation, words: Mapping[str, ElementAnswer]
) -> PanickedGuest:
    plan, entries = guest.plan, guest.entries
    settled = not any(entry.kind == "unsettled" for entry in entries)
    panicked = any(entry.kind == "panic" for entry in entries)
    problem = "" if settled else "libvirt was still handling the panic when the time was over"
    setting = _setting(plan.set_live, entries) if plan.set_live else None
    if not panicked and not problem:
        problem = "the crash action was not set" if plan.set_live else "it did not panic"
    if setting and setting.outcome == "refused":
        known = words.get(plan.set_live)
        if known and known.outcome == "not-known":
            setting = msgspec.structs.replace(setting, outcome="not-known")
        elif known and known.outcome == "accepted" and conversation.client < conversation.version:
            setting = msgspec.structs.replace(setting, outcome="unasked")
            problem = f"the client library {version_name(conversation.client)} does not know the action"
    return PanickedGuest(
        on_crash=plan.on_crash,
        persistent=plan.persistent,
        on_reboot=plan.on_reboot,
        set_live=plan.set_live,
        setting=setting,
        end=_end(plan, entries) if panicked and settled else None,
        problem=problem,
        guest_type=plan.guest_type,
        log=_counted([_line(entry) for entry in _ordered(entries)]),
    )


def _setting(word: str, entries: Sequence[LogEntry]) -> ElementAnswer:
    """Return libvirt's answer to the live change of the crash action."""
    xml = element_of("on_crash", word)
    for entry in entries:
        if entry.kind == "refused" and entry.refusal:
            return ElementAnswer(xml, "refused", entry.refusal.code, entry.refusal.domain, entry.refusal.text)
        if entry.kind == "set":
            return ElementAnswer(xml, "accepted")
    return ElementAnswer(xml, "unasked")


def _end(plan: GuestPlan, entries: Sequence[LogEntry]) -> GuestEnd:
    """Return what a panic ended in."""
    start = next(index for index, entry in enumerate(entries) if entry.kind == "panic")
    before, after = entries[:start], entries[start:]
    states = [_pair(entry) for entry in after if entry.kind in ("state", "absent")]
    last = states[-1] if states else next((_pair(e) for e in reversed(before) if e.kind == "state"), None)
    running = last is not None and last[0] != _OFF
    asked = [entry for entry in after if entry.kind in ("status", "unanswered")] if running else []
    refusal = asked[-1].refusal if asked else None
    dumps: list[DumpFormat] = [_format(entry.text) for entry in after if entry.kind == "dump"]
    actions = [_action(entry.text) for entry in after if entry.kind == "panicked"]
    events = [(entry.numbers[0], entry.numbers[1]) for entry in after if entry.kind == "event"]
    if plan.guest_type and events[:1] == [_RESUMED]:  # that is what makes it crash
        del events[0]
    return GuestEnd(
        state=last,
        states=[state for state in states[:-1] if state is not None],
        events=events,
        panic_action=actions[0] if actions else "",
        run_state=asked[-1].text if asked else "",
        unanswered=refusal.text if refusal else "",
        reset=any(entry.kind == "reset" for entry in after),
        renamed=any(entry.kind == "renamed" for entry in after),
        process=_process(before, after, last),
        dump=dumps[-1] if dumps else "unknown",
    )


_OFF = 5  # virDomainState
_RESUMED = (4, 0)  # virDomainEventType
_NO_ID = (-1,)
_FORMATS: tuple[DumpFormat, ...] = ("elf", "kdump", "win-dmp", "other", "empty", "none")


def _process(
    before: Sequence[LogEntry], after: Sequence[LogEntry], last: tuple[int, int] | None
) -> GuestProcess:
    """Return whether the guest is in the process that it panicked in: each one gets an ID of its own.

    A guest of Xen that is kept after its crash has an ID, though libvirt calls it shut off.
    """
    first = [entry.numbers for entry in before if entry.kind == "id"]
    now = [entry.numbers for entry in after if entry.kind == "id"] or first  # logged where it changes
    if last is None or (last[0] == _OFF and now[-1:] in ([], [_NO_ID])):
        return "ended"
    if not first or first[-1] == _NO_ID or now[-1] == _NO_ID:
        return "unknown"
    return "same" if first[-1] == now[-1] else "new"


def _pair(entry: LogEntry) -> tuple[int, int] | None:
    return (entry.numbers[0], entry.numbers[1]) if entry.numbers else None


def _format(text: str) -> DumpFormat:
    return next((form for form in _FORMATS if form == text), "unknown")


def _action(details: str) -> str:
    """Return the action of the event GUEST_PANICKED, from its data as JSON."""
    try:
        found = json.loads(details)
    except ValueError:
        return ""
    return printable(str(found.get("action", "")), 40) if isinstance(found, dict) else ""


def _ordered(entries: Sequence[LogEntry]) -> list[LogEntry]:
    """Return the entries that evidence shows: without the events of the guest's start."""
    start = next((index for index, entry in enumerate(entries) if entry.kind == "panic"), len(entries))
    return [
        entry
        for index, entry in enumerate(entries)
        if entry.kind not in ("id", "unsettled") and (index >= start or entry.kind not in ("event", "reset"))
    ]


def _counted(lines: Sequence[str]) -> list[str]:
    """Return lines, of which those that follow each other and are equal are counted."""
    groups = [(line, sum(1 for _ in same)) for line, same in groupby(lines)]
    return [line if times == 1 else f"{line} ({times} times)" for line, times in groups]


def _line(entry: LogEntry) -> str:
    """Return an entry as a line of evidence."""
    if entry.kind == "event":
        return f"<- event: {event_name(entry.numbers)} {list(entry.numbers)}"
    if entry.kind == "state":
        return f"<- state: {state_name(entry.numbers)} {list(entry.numbers)}"
    if entry.kind == "unanswered" and entry.refusal:
        return f"<- query-status: error {entry.refusal.code}: {entry.refusal.text}"
    if entry.kind == "refused" and entry.refusal:
        return f"<- error {entry.refusal.code}: {entry.refusal.text}"
    texts = {
        "call": f"-> {entry.text}",
        "panic": f"-> {entry.text}",
        "set": "<- accepted",
        "panicked": f"<- GUEST_PANICKED {printable(entry.text, 200)}",
        "reset": "<- event: reboot",
        "renamed": "<- libvirt has it under another name",
        "absent": "<- the domain no longer exists",
        "status": f"<- query-status: {entry.text}",
        "dump": f"<- core dump: {entry.text}",
    }
    return texts.get(entry.kind, f"<- {entry.kind}")
