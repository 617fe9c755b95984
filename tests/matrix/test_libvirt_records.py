"""Records of libvirts: what is read from conversations, stored, compared and checked."""

from contextlib import closing
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpanic.core.errors import RecordError, SourceError
from onpanic.core.libvirt_api import silence_libvirt
from onpanic.matrix import LibvirtRecord
from onpanic.matrix.libvirts.asked_documents import ask_elements
from onpanic.matrix.libvirts.end_words import end_in_words
from onpanic.matrix.libvirts.guest_drivers import driver_of
from onpanic.matrix.libvirts.guest_files import format_of, newest_format, remove_guest_files
from onpanic.matrix.libvirts.libvirt_conversation import LibvirtRefusal, LogEntry, ObservedGuest
from onpanic.matrix.libvirts.libvirt_files import (
    keep_libvirt_record,
    libvirt_name,
    read_libvirt,
    read_libvirts,
)
from onpanic.matrix.libvirts.libvirt_names import ACTIONS
from onpanic.matrix.libvirts.libvirt_questions import GuestPlan, filled
from onpanic.matrix.libvirts.libvirt_record import (
    ElementAnswer,
    GuestEnd,
    GuestQemu,
    LibvirtBuild,
    PanickedGuest,
)
from onpanic.matrix.libvirts.libvirt_session import LibvirtSession, session_with
from onpanic.matrix.libvirts.libvirt_table import libvirt_changes, libvirt_table
from onpanic.matrix.libvirts.qemu_guests import DOCUMENTS, QemuGuests, qemu_plans
from onpanic.matrix.lint import lint_libvirt
from onpanic.matrix.records.record_files import layout, record_files
from onpanic.shims.translation.asking_libvirt import CONTROL_WORD

from ..played.client import make_error
from ..played.constants import LIBVIRT
from ..played.libvirt import PlayedLibvirt
from ..schemas import undescribed
from .libvirt_samples import (
    RESTARTED,
    asked,
    conversation,
    ended,
    guest,
    libvirt_record,
    preserved,
    restarted,
    unknown,
)

DESTROY = GuestPlan("destroy", persistent=True)


def end_of(observed: ObservedGuest) -> GuestEnd:
    """Return the end of a guest."""
    end = libvirt_record(conversation([observed])).guests[0].end
    assert end
    return end


# What libvirt accepts


@pytest.mark.parametrize(
    "text", ["unknown {element} action: {word}", "unbekannte Aktion »{word}«", "{word}", "invalid value"]
)
def test_a_word_that_is_refused_like_a_nonsense_word_is_not_known(text: str) -> None:
    """Messages are compared with each other, as libvirt may translate them."""
    refused = {("on_crash", "rename-restart"): LibvirtRefusal(67, 10, "rename-restart: nicht möglich")}
    answers = libvirt_record(conversation(answers=asked(refused, text=text))).accepted["on_crash"]
    assert answers["preserve-running"].outcome == "not-known"
    assert answers["rename-restart"].outcome == "refused"
    assert answers["rename-restart"].text == "rename-restart: nicht möglich"
    assert answers["destroy"].outcome == "accepted"


def test_a_word_that_is_refused_with_another_code_is_known() -> None:
    """A refusal consists of the code, the part of libvirt, and the message."""
    other = msgspec.structs.replace(unknown("panic", "pvpanic"), code=1)
    record = libvirt_record(conversation(answers=asked({("panic", "pvpanic"): other})))
    assert record.accepted["panic"]["pvpanic"].outcome == "refused"
    assert record.accepted["panic"]["isa"].outcome == "accepted"


def test_documents_have_the_elements_in_their_places() -> None:
    """A lifecycle element is before the devices, a panic device among them."""
    xml = filled(DOCUMENTS["guest"], name="one", lifecycle="<on_crash>preserve</on_crash>")
    assert "<name>one</name>" in xml
    assert "</os><on_crash>preserve</on_crash><devices><panic model='isa'/></devices>" in xml
    assert "{" not in xml


# What a panic ends in


@pytest.mark.parametrize(
    ("observed", "words", "process"),
    [
        (ended(DESTROY), "shut off (crashed)", "ended"),
        (ended(GuestPlan("destroy", persistent=False)), "gone, stopped (crashed)", "ended"),
        (ended(DESTROY, dump="elf"), "shut off (crashed), dump (elf)", "ended"),
        (ended(DESTROY, dump="unknown"), "shut off (crashed), dump unknown", "ended"),
        (restarted(DESTROY), "running (crashed), reset", "same"),
        (preserved(DESTROY), "crashed (panicked)", "same"),
        (preserved(DESTROY, state=RESTARTED, status="running"), "running (crashed)", "same"),
        (preserved(DESTROY, state=RESTARTED), "running (crashed), QEMU is guest-panicked", "same"),
        (
            guest(DESTROY, LogEntry("state", numbers=RESTARTED), LogEntry("id", numbers=(8,))),
            "running (crashed), new process, dump unknown",
            "new",
        ),
    ],
)
def test_the_end_is_said_in_words(observed: ObservedGuest, words: str, process: str) -> None:
    """They are libvirt's, and QEMU's where it does not agree."""
    end = end_of(observed)
    assert (end_in_words(end), end.process) == (words, process)
    assert end.panic_action == "pause"


def test_what_came_before_the_panic_does_not_count() -> None:
    """The events of the start are no part of the end."""
    end = end_of(ended(DESTROY))
    assert (end.events, end.states, end.state) == ([(8, 0), (5, 2)], [(6, 1)], (5, 3))


def test_a_guest_that_did_not_settle_has_no_end() -> None:
    """What it was at the deadline says nothing about what it ends in."""
    found = libvirt_record(conversation([guest(DESTROY, LogEntry("unsettled"))])).guests[0]
    assert found.end is None
    assert "still handling" in found.problem


@pytest.mark.parametrize(
    ("word", "client", "outcome"),
    [
        ("preserve-running", 9_000_000, "not-known"),
        ("rename-restart", 9_000_000, "refused"),
        ("restart", 8_000_000, "unasked"),
        ("restart", 9_000_000, "refused"),
    ],
)
def test_a_live_change_that_is_refused_has_no_end(word: str, client: int, outcome: str) -> None:
    """An older client library refuses what libvirt might accept: that was not asked."""
    refusal = LibvirtRefusal(8, 20, "invalid lifecycle action")
    entries = [LogEntry("call", "setLifecycleAction"), LogEntry("refused", refusal=refusal)]
    plan = GuestPlan("destroy", persistent=False, set_live=word)
    found = libvirt_record(conversation([ObservedGuest(plan, entries)], client=client)).guests[0]
    assert found.setting
    assert (found.setting.outcome, found.end) == (outcome, None)
    assert found.log == ["-> setLifecycleAction", "<- error 8: invalid lifecycle action"]


def test_each_accepted_word_is_observed() -> None:
    """Persistent and transient, and with each change of the action while the guest runs."""
    plans = qemu_plans(["destroy", "preserve", "restart"])
    assert len(set(plans)) == len(plans)
    assert {plan.on_crash for plan in plans if plan.persistent} == {"destroy", "preserve", "restart"}
    assert {plan.set_live for plan in plans if plan.on_crash == "destroy"} == {*ACTIONS} - {"destroy"} | {""}
    assert GuestPlan("restart", persistent=False, on_reboot="destroy") in plans
    assert qemu_plans([]) == []


# Core dumps


@pytest.mark.parametrize(
    ("start", "form"),
    [
        (b"\x7fELF\2", "elf"),
        (b"KDUMP   \6", "kdump"),
        (b"PAGEDU64\x0f", "win-dmp"),
        (b"", "empty"),
        (b"?", "other"),
    ],
)
def test_a_dump_is_recognised_by_its_first_bytes(tmp_path: Path, start: bytes, form: str) -> None:
    """libvirt names every dump alike."""
    path = tmp_path / "4-onpanic-1-2026"
    path.write_bytes(start)
    assert (format_of(path), newest_format(tmp_path, "onpanic-1")) == (form, form)
    assert newest_format(tmp_path, "onpanic-2") == "none"
    assert newest_format(tmp_path / "missing", "onpanic-1") == "unknown"


def test_only_the_dumps_of_the_guests_are_removed(tmp_path: Path) -> None:
    """Wherever libvirt's configuration puts them."""
    for name in ("4-onpanic-1-2026", "5-other-2026"):
        (tmp_path / name).touch()
    remove_guest_files(tmp_path, [], ["onpanic-1"])
    assert [path.name for path in tmp_path.iterdir()] == ["5-other-2026"]


# Files


def numbers() -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(0, 9), st.integers(0, 99))


def answers() -> st.SearchStrategy[ElementAnswer]:
    return st.builds(
        ElementAnswer,
        st.text(),
        st.sampled_from(["accepted", "not-known", "refused", "unasked"]),
        st.none() | st.integers(0, 200),
        st.none() | st.integers(0, 99),
        st.text(),
    )


def records() -> st.SearchStrategy[LibvirtRecord]:
    """Generate records, sensible or not."""
    ends = st.builds(
        GuestEnd,
        state=st.none() | numbers(),
        events=st.lists(numbers(), max_size=3),
        process=st.sampled_from(["same", "new", "ended", "unknown"]),
        dump=st.sampled_from(["elf", "kdump", "win-dmp", "other", "empty", "none", "unknown"]),
        panic_action=st.text(),
        run_state=st.text(),
        reset=st.booleans(),
        states=st.lists(numbers(), max_size=3),
    )
    words = st.sampled_from(list(ACTIONS))
    guests = st.builds(
        PanickedGuest,
        on_crash=words,
        persistent=st.booleans(),
        on_reboot=st.just("") | words,
        set_live=st.just("") | words,
        setting=st.none() | answers(),
        end=st.none() | ends,
        problem=st.text(),
        log=st.lists(st.text(), max_size=3),
    )
    elements = st.sampled_from(["on_crash", "on_reboot", "on_poweroff", "panic"])
    return st.builds(
        LibvirtRecord,
        libvirt=st.builds(
            LibvirtBuild, version=st.text(), driver=st.text(), mode=st.text(), client=st.text()
        ),
        qemu=st.builds(GuestQemu, version=st.text(), arch=st.text(), machine=st.text()),
        documents=st.dictionaries(st.text(), st.text(), max_size=2),
        accepted=st.dictionaries(elements, st.dictionaries(words, answers(), max_size=3), max_size=3),
        guests=st.lists(guests, max_size=3),
        at=st.text(),
        by=st.text(),
        seconds=st.floats(0, 1e6),
    )


@given(records())
def test_a_record_is_read_as_it_was_written(record: LibvirtRecord) -> None:
    """Every record survives its file, and has its place in a table."""
    assert LibvirtRecord.from_json(layout(record)) == record
    table = libvirt_table({"one": record, "other": libvirt_record()})
    assert all(len(row.cells) == len(table.columns) for row in table.rows)
    assert len({row.key for row in table.rows}) == len(table.rows)
    assert libvirt_changes(record, record) == []
    lint_libvirt("one", record)


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"\xff", b'{"schema_version": 2}', b"[" * 100_000])
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(RecordError, match="not a record of a libvirt"):
        LibvirtRecord.from_json(data)


def test_the_schema_is_current() -> None:
    """``make schema`` writes it, and records match it."""
    current = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(LibvirtRecord)))
    assert undescribed(current) == undescribed(LibvirtRecord.json_schema())
    instance = msgspec.json.decode(layout(libvirt_record()))
    jsonschema.Draft202012Validator(LibvirtRecord.json_schema()).validate(instance)


def test_both_kinds_of_records_share_a_folder(tmp_path: Path) -> None:
    """The names of files tell which is which."""
    record = libvirt_record(package="Debian 9.0.0-4+deb12u2")
    name, written = keep_libvirt_record(tmp_path, record)
    assert (name, written) == ("libvirt-9.0.0-Debian-9.0.0-4+deb12u2-qemu-7.2.22", True)
    assert list(read_libvirts(tmp_path)) == [(name, record)]
    (tmp_path / "qemu.json").touch()
    assert [path.name for path in record_files(tmp_path)] == ["qemu.json"]
    (tmp_path / "libvirt-broken.json").write_text("{}")
    assert [type(found) for _, found in read_libvirts(tmp_path)] == [LibvirtRecord, RecordError]


def test_a_record_that_knows_less_replaces_none(tmp_path: Path) -> None:
    """A guest that did not settle is not a reason to forget one that did."""
    full, less = libvirt_record(), libvirt_record(conversation([guest(DESTROY, LogEntry("unsettled"))]))
    assert keep_libvirt_record(tmp_path, less)[1]
    assert keep_libvirt_record(tmp_path, full)[1]
    name, written = keep_libvirt_record(tmp_path, less)
    assert not written
    assert read_libvirt(tmp_path / f"{name}.json") == full


# Tables


def test_a_table_has_a_row_for_each_question() -> None:
    """With the evidence: the document that was asked, and what came."""
    newer = conversation(version=12_008_000, answers=asked(without=()))
    table = libvirt_table({"old": libvirt_record(), "new": libvirt_record(newer)})
    rows = {row.key: row for row in table.rows}
    assert [column.name for column in table.columns] == ["libvirt 9.0.0", "libvirt 12.8.0"]
    assert [cell.text for cell in rows["on_crash=preserve-running"].cells] == ["not known", "y"]
    assert [cell.text for cell in rows["on_crash=rename-restart"].cells] == ["n", "y"]
    assert [cell.text for cell in rows["end=preserve"].cells] == ["crashed (panicked)"] * 2
    assert not [key for key in rows if CONTROL_WORD in key]
    sent, came = rows["panic=pvpanic"].cells[0].evidence
    assert "<devices><panic model='pvpanic'/></devices>" in sent
    assert came == "<- error 67: unknown panic action: pvpanic"


def test_changes_are_those_of_what_both_were_asked() -> None:
    """A question that one was not asked is not a change."""
    newer = libvirt_record(conversation([], version=12_008_000, answers=asked(without=())))
    changes = libvirt_changes(libvirt_record(), newer)
    assert {(one.key, one.before, one.after) for one in changes} == {
        ("on_crash=preserve-running", "not known", "y"),
        ("on_reboot=preserve-running", "not known", "y"),
        ("on_poweroff=preserve-running", "not known", "y"),
        ("on_crash=rename-restart", "n", "y"),
        ("panic=pvpanic", "not known", "y"),
    }


@pytest.mark.parametrize("unknown", [0, 1])
def test_a_dump_that_one_does_not_know_is_no_change(unknown: int) -> None:
    """A dump that is there is a change to none, but not to one that this user may not look for."""
    found = [libvirt_record(conversation([ended(DESTROY, dump=dump)])) for dump in ("elf", "none")]
    assert [one.key for one in libvirt_changes(*found)] == ["end=destroy"]
    found[unknown] = libvirt_record(conversation([ended(DESTROY, dump="unknown")]))
    assert libvirt_changes(*found) == []


# Rules


@pytest.mark.parametrize(
    ("record", "rule"),
    [
        (
            libvirt_record(conversation(answers=asked({("panic", CONTROL_WORD): None}))),  # type: ignore[dict-item]
            "accepted-control-word",
        ),
        (libvirt_record(conversation([ended(DESTROY), ended(DESTROY)])), "doubled-guest"),
        (
            libvirt_record(conversation([guest(DESTROY, LogEntry("absent"))])),
            "end-contradicts-domain",
        ),
        (libvirt_record(package="other"), "misnamed-libvirt"),
        (libvirt_record(conversation([ended(DESTROY)])), "unobserved-word"),
        (
            libvirt_record(conversation([ObservedGuest(DESTROY, [LogEntry("panic"), LogEntry("absent")])])),
            "unreported-panic",
        ),
    ],
)
def test_a_rule_finds_what_is_wrong(record: LibvirtRecord, rule: str) -> None:
    """Each rule finds something in a record that violates it."""
    assert rule in {problem.rule for problem in lint_libvirt("libvirt-9.0.0-qemu-7.2.22", record)}


def test_no_rule_finds_anything_in_a_correct_record() -> None:
    record = libvirt_record()
    assert lint_libvirt(libvirt_name(record), record) == []


# Connections


@pytest.mark.parametrize("uri", ["qemu+ssh://elsewhere/system", "qemu+tcp://10.0.0.1/system", "qemu://[/"])
def test_another_host_is_refused(played_libvirt: PlayedLibvirt, uri: str) -> None:
    """Core dumps of guests would stay there."""
    with pytest.raises(SourceError, match="another host"), session_with(uri):
        pass
    assert played_libvirt.connections == []


def test_another_driver_is_refused(played_libvirt: PlayedLibvirt) -> None:
    """Of other hypervisors it is not known how their guests panic."""
    played_libvirt.driver = "LXC"
    with (
        session_with("lxc:///system") as session,
        pytest.raises(SourceError, match="driver is LXC, not QEMU or Xen"),
    ):
        driver_of(session)


def test_a_connection_that_may_not_ask_is_refused(played_libvirt: PlayedLibvirt) -> None:
    """It may be read-only, or the user may lack a permission: that is the reason that is given."""
    message = "operation forbidden: read only access prevents virConnectDomainXMLToNative"

    class ReadOnly:
        def domainXMLToNative(self, *_words: object) -> str:  # noqa: N802
            raise make_error(played_libvirt, LIBVIRT["VIR_ERR_OPERATION_DENIED"], message)

        def close(self) -> None:
            """Leave nothing open."""

    silence_libvirt()
    with (
        closing(LibvirtSession(ReadOnly(), "system", 10)) as session,
        pytest.raises(SourceError, match="read only access") as caught,
    ):
        ask_elements(session, QemuGuests(session))
    assert "may read, start and end guests" in caught.value.hint


def test_a_libvirt_that_does_not_answer_is_given_up(played_libvirt: PlayedLibvirt) -> None:
    """Each call has a deadline."""
    with session_with("qemu:///session", 0.2) as session:
        hang = played_libvirt.hang("getLibVersion")
        with pytest.raises(SourceError, match="did not answer in"):
            session.call(session.connection.getLibVersion)
        hang.release()
        assert session.call(session.connection.getType) == "QEMU"
