"""Records of libvirt's Xen driver: what is read from conversations, compared and checked."""

from pathlib import Path

import jsonschema
import msgspec
import pytest

from onpanic.core.errors import RecordError, SourceError
from onpanic.matrix import LibvirtRecord
from onpanic.matrix.libvirts.end_words import end_in_words, end_sentence
from onpanic.matrix.libvirts.libvirt_conversation import LogEntry, ObservedGuest
from onpanic.matrix.libvirts.libvirt_files import keep_libvirt_record, libvirt_name, read_libvirt
from onpanic.matrix.libvirts.libvirt_questions import GuestPlan
from onpanic.matrix.libvirts.libvirt_record import GuestEnd
from onpanic.matrix.libvirts.libvirt_session import session_with
from onpanic.matrix.libvirts.libvirt_table import libvirt_changes, libvirt_table
from onpanic.matrix.libvirts.xen_guests import xen_plans
from onpanic.matrix.lint import lint_libvirt
from onpanic.matrix.records.record_files import layout

from ..played.libvirt import PlayedLibvirt
from .libvirt_samples import libvirt_record
from .xen_samples import FIRST, crashed, pv, restarted, xen_record


def end_of(observed: ObservedGuest) -> GuestEnd:
    """Return the end of a guest."""
    end = xen_record([observed]).guests[0].end
    assert end
    return end


@pytest.mark.parametrize(
    ("observed", "words", "process"),
    [
        (crashed(pv("destroy")), "shut off (crashed)", "ended"),
        (crashed(pv("destroy", persistent=False), state=None), "gone, stopped (crashed)", "ended"),
        (crashed(pv("preserve"), number=FIRST), "shut off (crashed), crashed domain kept", "same"),
        (restarted(pv("restart")), "running (booted), new domain", "new"),
        (restarted(pv("restart"), dump="elf"), "running (booted), new domain, dump (elf)", "new"),
        (restarted(pv("rename-restart"), renamed=True), "running (booted), new domain, renamed", "new"),
    ],
)
def test_the_end_is_said_in_words(observed: ObservedGuest, words: str, process: str) -> None:
    """A domain that is kept is shut off for libvirt, and still has its ID."""
    end = end_of(observed)
    assert (end_in_words(end, "Xen"), end.process) == (words, process)
    assert "QEMU" not in end_sentence(end, "Xen")


def test_what_makes_the_guest_crash_is_not_what_it_ends_in() -> None:
    """It is resumed, which libvirt reports; that is in the log, and not in the end."""
    guest = xen_record([restarted(pv("restart"))]).guests[0]
    assert guest.end
    assert guest.end.events == [(2, 0), (5, 2)]
    assert "<- event: resumed (unpaused) [4, 0]" in guest.log


def test_each_accepted_word_is_observed() -> None:
    """Persistent and transient, and of each type that this Xen runs; the dumps of PV guests only."""
    plans = xen_plans(["destroy", "restart", "coredump-destroy"], ["pv", "pvh"])
    assert len(set(plans)) == len(plans)
    for persistent in (True, False):
        usual = {
            (plan.guest_type, plan.on_crash)
            for plan in plans
            if plan.persistent == persistent and not plan.on_reboot
        }
        assert usual == {
            *(("pv", word) for word in ("destroy", "restart", "coredump-destroy")),
            *(("pvh", word) for word in ("destroy", "restart")),
        }
    assert {plan.guest_type for plan in xen_plans(["destroy", "restart"], ["pvh"])} == {"pvh"}


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    """It has its own name, and matches the schema that is installed."""
    record = xen_record()
    name, written = keep_libvirt_record(tmp_path, record)
    assert (name, written) == ("libvirt-9.0.0-xen-4.17", True)
    assert read_libvirt(tmp_path / f"{name}.json") == record
    validator = jsonschema.Draft202012Validator(LibvirtRecord.json_schema())
    validator.validate(msgspec.json.decode(layout(record)))


@pytest.mark.parametrize("members", ["neither", "both"])
def test_a_record_is_of_one_hypervisor(members: str) -> None:
    """A file that says nothing of what its guests ran on, or two things, is not a record."""
    found = msgspec.json.decode(layout(xen_record()))
    if members == "neither":
        del found["xen"]
    else:
        found["qemu"] = msgspec.to_builtins(libvirt_record().qemu)
    with pytest.raises(RecordError, match="either the member qemu or the member xen"):
        LibvirtRecord.from_json(msgspec.json.encode(found))


def test_a_group_has_the_libvirts_that_answer_it() -> None:
    """QEMU's panic devices are nothing to Xen, and its guests are of other types; words are asked of both."""
    table = libvirt_table({"qemu": libvirt_record(), "xen": xen_record()})
    groups = {one.rows[0].group: [column.about for column in one.columns] for one in table.groups()}
    both = ["QEMU 7.2.22", "Xen 4.17"]
    assert groups["<on_crash> values accepted"] == both
    assert groups["<panic> models accepted"] == both[:1]
    assert groups["what a panic ends in"] == both[:1]
    assert groups["what a panic ends in, PV guest of Xen"] == both[1:]
    assert groups["what a panic ends in, PVH guest of Xen"] == both[1:]


def test_an_answer_has_its_evidence() -> None:
    """The document that Xen's driver was asked about, or that of the guest; and what was left out."""
    table = libvirt_table({"xen": xen_record()})
    rows = {row.key: row.cells[0] for row in table.rows}
    assert (
        rows["on_crash=restart"].evidence[0].startswith("-> domainXMLToNative(xen-xl): <domain type='xen'>")
    )
    assert "machine='xenpv'" in rows["end=preserve,pv"].evidence[0]
    assert "{lifecycle}" not in rows["end=preserve,pv"].evidence[0]
    assert dict(table.columns[0].facts)["Left out"] == "hvm: it has a firmware"
    assert ("Ask again", "onpanic matrix collect -o records --libvirt xen:///system") in table.columns[
        0
    ].facts


def test_changes_of_a_guest_are_found() -> None:
    """Two records are compared guest by guest."""
    other = xen_record([restarted(pv("rename-restart"), renamed=True)])
    [change] = libvirt_changes(xen_record(), other)
    assert (change.key, change.before) == ("end=rename-restart,pv", "running (booted), new domain")


@pytest.mark.parametrize(
    ("record", "rule"),
    [
        (xen_record([crashed(pv("destroy"), events=())]), "unreported-panic"),
        (xen_record([crashed(pv("destroy")), crashed(pv("destroy"))]), "doubled-guest"),
        (
            msgspec.structs.replace(xen_record(), libvirt=libvirt_record().libvirt),
            "other-driver",
        ),
        (xen_record([crashed(GuestPlan("destroy", persistent=True, guest_type="hvm"))]), "other-guest-type"),
        (xen_record([crashed(GuestPlan("destroy", persistent=True))]), "other-guest-type"),
        (
            msgspec.structs.replace(libvirt_record(), guests=xen_record([crashed(pv("destroy"))]).guests),
            "other-guest-type",
        ),
    ],
)
def test_a_rule_finds_what_is_wrong(record: LibvirtRecord, rule: str) -> None:
    """The rules hold for guests of Xen, too."""
    assert rule in {problem.rule for problem in lint_libvirt(libvirt_name(record), record)}


def test_no_rule_finds_anything_in_a_correct_record() -> None:
    record = xen_record()
    assert lint_libvirt(libvirt_name(record), record) == []


def test_a_guest_that_libvirt_did_not_handle_has_no_end() -> None:
    """A dump may take longer than anybody waits."""
    unfinished = ObservedGuest(pv("coredump-destroy"), [LogEntry("panic"), LogEntry("unsettled")])
    guest = xen_record([unfinished]).guests[0]
    assert guest.end is None
    assert "still handling" in guest.problem


def test_a_forwarded_port_is_another_host(played_libvirt: PlayedLibvirt) -> None:
    """libvirt there cannot read the images of guests that are written here."""
    played_libvirt.hostname = "dom0"
    played_libvirt.driver = "Xen"
    with (
        pytest.raises(SourceError, match="on another host"),
        session_with("xen+tcp://127.0.0.1:16509/system"),
    ):
        pass
