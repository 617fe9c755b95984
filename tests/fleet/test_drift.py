"""What has changed between two collections of a fleet."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onpanic.fleet import FailedHost, Fleet, FleetDrift, HostDocument, HostRecord, drift_of, read_fleet
from onpanic.fleet.documents.fleet import Uncounted
from onpanic.fleet.drift.drift_changes import DRIFT_KINDS, DriftKind
from onpanic.fleet.hosts.host_record import HostEmulator, HostKvm, HostLibvirt, HostName
from onpanic.shims import Libvirt

from .fleets import NOW, documents, emulator, fleet, host

MACHINES = ("pc", "q35", "pc-q35-5.2")
#: Kinds of changes, and what they are the other way round.  A device that is gone is a change that guests
#: see, and one that is new is a gain.
MIRRORED: dict[DriftKind, str] = {kind: kind for kind in DRIFT_KINDS} | {
    "guest-visible-change": "a device",
    "behaviour-lost": "a device",
    "behaviour-gained": "a device",
    "policy-lost": "policy-kept",
    "policy-kept": "policy-lost",
    "machine-type-gone": "machine-type-new",
    "machine-type-new": "machine-type-gone",
    "evidence-lost": "evidence-found",
    "evidence-found": "evidence-lost",
}


@cache
def asked(version: str) -> HostEmulator:
    return emulator(version, machines=MACHINES)


@cache
def sample(name: str, version: str, libvirt: str | None, identifier: str | None) -> HostRecord:
    return host(name, libvirt=libvirt, emulators=[asked(version)], id=identifier)


#: The hosts of a small fleet, by the parameters of `sample`; they share names and identifiers.
HOSTS = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from(["5.2.0", "7.2.22", "10.0.13"]),
        st.sampled_from([None, "7.0.0", "12.6.0"]),
        st.sampled_from([None, "1", "2", "3"]),
    ),
    min_size=1,
    max_size=5,
)
#: Such a fleet, and the names of hosts that did not answer.
FLEETS = st.tuples(HOSTS, st.lists(st.sampled_from("abcd"), max_size=2, unique=True))
Played = tuple[list[tuple[str, str, str | None, str | None]], list[str]]


def played(one: Played) -> Fleet:
    """Return the fleet of an example."""
    hosts, silent = one
    failed = [FailedHost(host=HostName(name), failure="down", at="2027-01-01") for name in silent]
    documented = [HostDocument(f"{one.host.name}.json", msgspec.json.encode(one)) for one in failed]
    return read_fleet([*documents(sample(*one) for one in hosts), *documented], NOW)


def kinds(found: FleetDrift) -> list[DriftKind]:
    return [change.kind for group in found.changed for change in group.changes]


@settings(max_examples=settings().max_examples // 3)
@given(FLEETS)
def test_nothing_has_changed_since_the_same_collection(example: Played) -> None:
    one = played(example)
    found = drift_of(one, one)
    assert not found.drifted
    assert found.same == one.host_count
    assert (found.reworded, found.system) == ((), ())


@settings(max_examples=settings().max_examples // 3)
@given(FLEETS, FLEETS)
def test_every_host_is_counted_once(before: Played, after: Played) -> None:
    old, new = played(before), played(after)
    found = drift_of(old, new)
    both = found.same + len(found.reworded) + sum(len(group.hosts) for group in found.changed)
    assert both + len(found.gone) + len(found.no_longer_counted) == found.old.hosts == old.host_count
    assert both + len(found.added) + len(found.counted_again) == found.new.hosts == new.host_count


@settings(max_examples=settings().max_examples // 3)
@given(FLEETS, FLEETS)
def test_the_way_back_is_the_mirror_image(before: Played, after: Played) -> None:
    old, new = played(before), played(after)
    there, back = drift_of(old, new), drift_of(new, old)
    assert (there.same, there.gone, there.added) == (back.same, back.added, back.gone)
    assert [one.name for one in there.no_longer_counted] == [one.name for one in back.counted_again]
    assert {(one.old, one.new) for one in there.renamed} == {(one.new, one.old) for one in back.renamed}
    same = {kind: "a device" if MIRRORED[kind] == "a device" else kind for kind in DRIFT_KINDS}
    assert {MIRRORED[kind] for kind in kinds(there)} == {same[kind] for kind in kinds(back)}


@settings(max_examples=settings().max_examples // 3)
@given(FLEETS, FLEETS)
def test_what_matters_most_comes_first(before: Played, after: Played) -> None:
    found = drift_of(played(before), played(after))
    for group in found.changed:
        ranks = [DRIFT_KINDS.index(change.kind) for change in group.changes]
        assert ranks == sorted(ranks)
    first = [DRIFT_KINDS.index(group.changes[0].kind) for group in found.changed]
    assert first == sorted(first)
    alike = [group.changes for group in found.changed]
    assert all(one not in alike[number + 1 :] for number, one in enumerate(alike))


def test_an_upgrade_that_guests_see_is_one_group() -> None:
    """QEMU 9.1 and later offer a further event bit on older machine types, too."""
    names = ["a", "b", "c"]
    old = fleet(*(sample(name, "7.2.22", "9.0.0", "") for name in names))
    new = fleet(*(sample(name, "10.0.13" if name != "c" else "7.2.22", "9.0.0", "") for name in names))
    found = drift_of(old, new)
    assert found.drifted
    [group] = found.changed
    assert (group.hosts, found.same) == (("a", "b"), 1)
    first = group.changes[0]
    assert (first.kind, first.machines, first.notifier) == ("guest-visible-change", ("pc-q35-5.2",), "isa")
    assert "0x03, and now 0x07" in first.detail
    lost = [change for change in group.changes if change.kind == "evidence-lost"]
    assert [change.machines for change in lost] == [("pc-i440fx-7.2", "pc-q35-7.2")]


@pytest.mark.parametrize(
    ("old", "new", "renamed", "reinstalled", "gone", "arrived"),
    [
        ([("a", "1")], [("b", "1")], [("a", "b")], (), (), ()),
        ([("a", "1")], [("a", "2")], [], ("a",), (), ()),
        ([("a", "1")], [("a", None)], [], (), (), ()),
        ([("a", "1")], [("b", "2")], [], (), ("a",), ("b",)),
        ([("a", "1"), ("b", "2")], [("a", "2"), ("b", "1")], [("a", "b"), ("b", "a")], (), (), ()),
        ([("a", "1")], [("b", "1"), ("a", "2")], [("a", "b")], (), (), ("a",)),
        ([("a", "1"), ("b", "1")], [("a", "1"), ("c", "1")], [], (), ("b",), ("c",)),
        ([("a", "1"), ("a", "2")], [("a", "2"), ("a", "3")], [], ("a (a.json) #2",), (), ()),
    ],
    ids=[
        "renamed",
        "reinstalled",
        "no identifier",
        "another",
        "exchanged",
        "name reused",
        "clones",
        "same names",
    ],
)
def test_hosts_are_matched_by_identifier_or_else_by_name(
    old: Sequence[tuple[str, str | None]],
    new: Sequence[tuple[str, str | None]],
    renamed: list[tuple[str, str]],
    reinstalled: tuple[str, ...],
    gone: tuple[str, ...],
    arrived: tuple[str, ...],
) -> None:
    before, after = (
        fleet(*(sample(name, "7.2.22", "9.0.0", identifier) for name, identifier in side))
        for side in (old, new)
    )
    found = drift_of(before, after)
    assert sorted((one.old, one.new) for one in found.renamed) == renamed
    assert (found.reinstalled, found.gone, found.added) == (reinstalled, gone, arrived)


def test_a_host_that_is_left_out_is_not_called_gone() -> None:
    """It did not answer, or its document is damaged: then the file's name says whose it is."""
    hosts = [host(name) for name in "abc"]
    failed = msgspec.json.encode(FailedHost(host=HostName("b"), failure="unreachable", at="2027"))
    damaged = HostDocument("records/c.json", hosts[2].to_json()[:-100])
    new = read_fleet([*documents(hosts[:1]), HostDocument("b.json", failed), damaged], NOW)
    found = drift_of(fleet(*hosts), new)
    assert [(one.name, one.why) for one in found.no_longer_counted] == [
        ("b", "no-answer"),
        ("c", "unreadable"),
    ]
    assert (found.gone, found.drifted) == ((), True)
    assert [one.name for one in drift_of(new, fleet(*hosts)).counted_again] == ["b", "c"]


def test_a_host_is_known_by_the_file_of_its_last_document() -> None:
    """A collector names files after its inventory, in which a host may have another name than its own."""
    record = host("kvm1", libvirt=None, emulators=[])
    old = read_fleet(
        [HostDocument("old/kvm1.example.org.json", record.to_json()), *documents([host("a")])], NOW
    )
    failed = msgspec.json.encode(
        FailedHost(host=HostName("kvm1.example.org"), failure="down", at="2027-01-01")
    )
    for data in (failed, b"{"):
        new = [HostDocument("new/kvm1.example.org.json", data), *documents([host("a")])]
        assert [one.name for one in drift_of(old, read_fleet(new, NOW)).no_longer_counted] == ["kvm1"]
    lines = [HostDocument("fleet.jsonl:1", record.to_json()), *documents([host("a")])]
    damaged = [HostDocument("fleet.jsonl:1", b"{"), *documents([host("a")])]
    assert drift_of(read_fleet(lines, NOW), read_fleet(damaged, NOW)).gone == ("kvm1",)


def changed(old: HostRecord, new: HostRecord) -> list[tuple[str, str]]:
    [group] = drift_of(fleet(old), fleet(new)).changed
    return [(change.kind, change.detail) for change in group.changes]


def test_what_libvirt_accepts_is_a_change() -> None:
    found = changed(host(libvirt="9.0.0"), host(libvirt="12.6.0"))
    assert ("libvirt", "was libvirt 9.0.0, now 12.6.0") in found
    assert ("libvirt", "now accepts <on_crash>preserve-running</on_crash>") in found


def test_a_policy_that_is_kept_by_other_means_says_how() -> None:
    """libvirt knows the PCI notifier since 9.1; before, QEMU's command line adds it."""
    board = emulator("10.0.13", "aarch64", ("virt",), kvm=False)
    old, new = (host(libvirt=version, emulators=[board]) for version in ("9.0.0", "9.1.0"))
    [group] = drift_of(fleet(old), fleet(new)).changed
    first = group.changes[0]
    assert (first.kind, first.about) == ("policy-changed", "aarch64")
    assert {"restart", "pause"} <= set(first.policies)
    assert "<panic model>: none before, pvpanic now" in first.detail
    assert "-device pvpanic-pci" in first.detail


def test_another_way_of_asking_libvirt_is_no_change_of_libvirt() -> None:
    """A user who may only read learns what the version accepts, and nothing of backports."""
    old = host(libvirt="11.3.0")
    assert old.libvirt is not None
    old = msgspec.structs.replace(old, libvirt=msgspec.structs.replace(old.libvirt, preserve_running=True))
    known = HostLibvirt.of("qemu:///system", "11.3.0", Libvirt.of("11.3.0"))
    new = msgspec.structs.replace(old, libvirt=known)
    word = "<on_crash>preserve-running</on_crash>"
    assert changed(old, new)[0] == (
        "evidence-lost",
        f"accepted {word}; now only its version is known",
    )
    assert changed(new, old)[0] == (
        "evidence-found",
        f"whether it accepts {word} was known by its version only",
    )


def test_without_libvirt_another_notifier_is_named() -> None:
    """QEMU's best notifier of a machine type is what a guest is given."""
    old = host(emulators=[asked("7.2.22")], libvirt=None)
    known = old.emulators[0].record
    assert known is not None
    other = [msgspec.structs.replace(one, notifier="pvpanic", default=False) for one in known.machines]
    other[-1] = msgspec.structs.replace(other[-1], default=True)
    record = msgspec.structs.replace(known, machines=other)
    new = msgspec.structs.replace(old, emulators=[msgspec.structs.replace(old.emulators[0], record=record)])
    found = changed(old, new)
    assert found[0] == ("policy-changed", "notifier: isa before, pvpanic now")
    kinds = {kind for kind, _ in changed(host(emulators=[asked("7.2.22")]), old)}
    assert kinds == {"libvirt"}
    default = ("emulator", "the default machine type was pc-i440fx-7.2, now pc-q35-5.2")
    assert default in found


def test_a_policy_that_is_no_longer_kept_says_why() -> None:
    """QEMU without its notifiers keeps no policy that acts on a panic."""
    old = host(emulators=[asked("7.2.22")])
    known = old.emulators[0].record
    assert known is not None
    lost = {"panic-reported": known.machines[0].notifiers[0].facts["panic-reported"]}
    broken = [
        msgspec.structs.replace(
            one,
            facts={
                name: msgspec.structs.replace(fact, answer="no") if name in lost else fact
                for name, fact in one.facts.items()
            },
            notifiers=[
                msgspec.structs.replace(
                    notifier,
                    facts={
                        name: msgspec.structs.replace(fact, answer="no") if name in lost else fact
                        for name, fact in notifier.facts.items()
                    },
                )
                for notifier in one.notifiers
            ],
        )
        for one in known.machines
    ]
    record = msgspec.structs.replace(known, machines=broken)
    new = host(emulators=[msgspec.structs.replace(old.emulators[0], record=record)])
    [group] = drift_of(fleet(old), fleet(new)).changed
    first = group.changes[0]
    assert (first.kind, first.about, first.code) == ("policy-lost", "x86_64", "panic-not-reported")
    assert {"restart", "restart+coredump"} <= set(first.policies)
    assert len(first.machines) == 3
    [group] = drift_of(fleet(new), fleet(old)).changed
    assert group.changes[0].kind == "policy-kept"


def test_what_is_not_known_any_more_is_named() -> None:
    old = host()
    gone = msgspec.structs.replace(old.emulators[0], record=None, problem="it does not start")
    found = changed(old, msgspec.structs.replace(old, emulators=[gone], problems=["libvirt: timed out"]))
    assert ("evidence-lost", "/usr/bin/qemu-system-x86_64 could not be asked: it does not start") in found
    assert ("evidence-lost", "libvirt: timed out") in found
    unknown = msgspec.structs.replace(old, kvm=HostKvm(usable="unknown", hyperv="no", detail="no /dev/kvm"))
    kinds = [kind for kind, _ in changed(old, unknown)]
    assert kinds == ["kvm", "evidence-lost"]


def test_another_emulator_for_an_architecture_is_compared() -> None:
    """A distribution's emulator moves to another path; what guests see is compared all the same."""
    old = host(emulators=[asked("7.2.22")])
    moved = msgspec.structs.replace(asked("10.0.13"), path="/usr/libexec/qemu-kvm")
    found = changed(old, host(emulators=[moved]))
    assert found[0][0] == "guest-visible-change"
    assert (
        "emulator",
        "/usr/libexec/qemu-kvm is now the emulator for its guests; it was /usr/bin/qemu-system-x86_64",
    ) in found
    assert not any(detail.endswith(("is gone", "is new")) for _, detail in found)
    found = changed(old, host(emulators=[]))
    assert ("emulator", "/usr/bin/qemu-system-x86_64 is gone") in found
    assert ("emulator", "there is no emulator for its guests; it was /usr/bin/qemu-system-x86_64") in found


def test_a_system_is_counted_and_is_no_drift() -> None:
    old = [host(name) for name in "ab"]
    new = [
        msgspec.structs.replace(one, system=msgspec.structs.replace(one.system, kernel="6.12.1"))
        for one in old
    ]
    found = drift_of(fleet(*old), fleet(*new))
    assert [(one.what, one.new, one.hosts) for one in found.system] == [("kernel", "6.12.1", 2)]
    assert not found.drifted


def test_hosts_that_were_not_asked_again_are_named() -> None:
    """That nothing has changed says nothing about them."""
    old = fleet(host("a"), host("b"), host("c", at="?"))
    new = fleet(host("a", at="2026-11-27T12:00:00+01:00"), host("b", at="2026-11-27T11:00:01Z"), host("c"))
    found = drift_of(old, new)
    assert (found.not_newer, found.drifted) == (("a",), False)


def test_other_words_are_counted_and_are_no_drift() -> None:
    old = host()
    new = msgspec.structs.replace(old, kvm=msgspec.structs.replace(old.kvm, detail="KVM's interface is 13"))
    found = drift_of(fleet(old), fleet(new))
    assert (found.reworded, found.changed, found.drifted) == (("kvm1",), (), False)


def test_the_json_form_follows_its_schema() -> None:
    old = fleet(host("a"), host("b\udcff", id="2"), host("c"))
    new = read_fleet(
        [*documents([host("a", qemu="10.0.13"), host("d", id="1")]), HostDocument("c", b"{")], NOW
    )
    found = drift_of(old, new)
    assert found.no_longer_counted == (Uncounted("unreadable", "c", "c", found.no_longer_counted[0].detail),)
    jsonschema.validate(msgspec.json.decode(found.to_json()), FleetDrift.json_schema())
    assert Path(str(FleetDrift.json_schema()["$ref"])).name == "FleetDrift"
