"""The verdict over many hosts: what all of them keep, which do not, why, and over how many it holds."""

from collections.abc import Sequence
from functools import cache
from random import Random

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onpanic.cli.fleet.verdict_screen import verdict_screen
from onpanic.fleet import FleetVerdict, HostDocument, HostRecord, read_fleet, verdict_of
from onpanic.fleet.hosts.host_record import HostSystem
from onpanic.fleet.judging.judged_policies import POLICIES
from onpanic.fleet.verdict.natural_order import natural
from onpanic.probe.decision.policy import Policy
from onpanic.probe.record.screen import Style

from ..schemas import undescribed
from .fleets import NOW, documents, emulator, fleet, host

RESTART = [Policy("restart", coredump=True)]
FOREIGN = HostDocument("pod.json", b'{"kind": "Pod"}')


def of_architecture(architecture: str, name: str) -> HostRecord:
    """Return a host of another architecture than x86_64, which has an emulator for its own guests."""
    found = host(name, emulators=[emulator("7.2.22", "aarch64", ["virt"])])
    return msgspec.structs.replace(
        found, system=msgspec.structs.replace(found.system, architecture=architecture)
    )


def cells(verdict: FleetVerdict) -> dict[tuple[str, str, str], tuple[str, int, int, int]]:
    """Return each answer with its numbers of hosts, by architecture, machine type and policy."""
    return {
        (one.architecture, machine.machine, policy.policy): (
            policy.everywhere,
            policy.kept,
            policy.refused,
            policy.unknown,
        )
        for one in verdict.architectures
        for machine in one.machines
        for policy in machine.policies
    }


def test_what_every_host_keeps() -> None:
    found = verdict_of(fleet(host("a"), host("b", qemu="5.2.0", libvirt="7.0.0")))
    assert {answer for answer, *_ in cells(found).values()} == {"yes"}
    assert found.everywhere == "yes"
    assert [machine.machine for machine in found.architectures[0].machines] == ["pc", "q35"]
    assert found.architectures[0].machines[1].versions == {"pc-q35-5.2": 1, "pc-q35-7.2": 1}
    assert not found.failures


def test_the_policies_are_those_that_qemu_may_keep() -> None:
    plain = {policy.on_panic for policy in POLICIES["qemu"] if not policy.coredump}
    dumped = {policy.on_panic for policy in POLICIES["qemu"] if policy.coredump}
    assert plain == {"default", "ignore", "restart", "destroy", "preserve", "rename-restart", "pause"}
    assert dumped == plain - {"default", "ignore"}


def test_a_failure_names_its_hosts_and_the_remedy_for_most_comes_first() -> None:
    old = [host(f"old{n}", qemu="1.5.0") for n in (10, 9)]
    bare = host("bare", libvirt="1.2.0")
    found = verdict_of(fleet(bare, *old, *(host(f"kvm{n}") for n in range(5))), policies=RESTART)
    assert cells(found)["x86_64", "q35", "restart+coredump"] == ("no", 5, 3, 0)
    assert [(one.code, one.hosts) for one in found.failures] == [
        ("builtin-panic-device", 2),
        ("libvirt-too-old", 1),
    ]
    [part] = found.failures[0].parts
    assert part.hosts == ["old9", "old10"]
    assert [(place.machine, place.policies) for place in part.places] == [
        ("pc", ("restart+coredump",)),
        ("q35", ("restart+coredump",)),
    ]


def test_what_is_unknown_is_apart_from_no() -> None:
    """A host that was asked about another machine type, and one whose emulator could not be asked."""
    unasked = msgspec.structs.replace(emulator("7.2.22"), record=None, problem="Permission denied")
    found = verdict_of(
        fleet(host("a"), host("b", machines=["pc"]), host("c", emulators=[unasked])), policies=RESTART
    )
    assert cells(found)["x86_64", "pc", "restart+coredump"] == ("unknown", 2, 0, 1)
    assert cells(found)["x86_64", "q35", "restart+coredump"] == ("unknown", 1, 0, 2)
    assert not found.failures
    assert [(one.code, one.parts[0].hosts) for one in found.unknowns] == [
        ("emulator-not-asked", ["c"]),
        ("machine-type-not-asked", ["b"]),
    ]


def test_an_architecture_is_judged_by_the_hosts_that_can_run_it() -> None:
    """A host of another architecture stands in no one's way; one of the same without an emulator does."""
    both = host("both", emulators=[emulator("7.2.22"), emulator("7.2.22", "aarch64", ["virt"])])
    hosts = [of_architecture("aarch64", "arm1"), host("x1"), both]
    found = {one.architecture: one for one in verdict_of(fleet(*hosts), policies=RESTART).architectures}
    assert {name: (one.hosts, one.others) for name, one in found.items()} == {
        "x86_64": (2, 1),
        "aarch64": (2, 1),
    }
    assert verdict_of(fleet(*hosts), policies=RESTART).everywhere == "yes"
    found = {
        one.architecture: one
        for one in verdict_of(fleet(*hosts, host("none", emulators=[])), policies=RESTART).architectures
    }
    assert (found["x86_64"].hosts, found["aarch64"].hosts) == (3, 2)
    assert [policy.refused for machine in found["x86_64"].machines for policy in machine.policies] == [1, 1]


def test_an_emulated_architecture_has_rows_if_it_is_wanted() -> None:
    some = fleet(host("a", emulators=[emulator("7.2.22"), emulator("7.2.22", "aarch64", ["virt"])]))
    assert [one.architecture for one in verdict_of(some).architectures] == ["x86_64"]
    assert [one.architecture for one in verdict_of(some, everything=True).architectures] == [
        "aarch64",
        "x86_64",
    ]
    assert [one.architecture for one in verdict_of(some, architectures=["aarch64"]).architectures] == [
        "aarch64"
    ]
    assert [one.architecture for one in verdict_of(some, machines=["virt"]).architectures] == ["aarch64"]


def test_a_host_without_any_emulator_still_has_a_row() -> None:
    found = verdict_of(fleet(host("a", emulators=[])), policies=RESTART)
    assert cells(found) == {("x86_64", "", "restart+coredump"): ("no", 0, 1, 0)}


def test_a_host_that_says_nothing_about_itself_is_in_the_way() -> None:
    """It may run guests of any architecture, so no verdict may leave it out."""
    silent = host("silent", emulators=[])
    silent = msgspec.structs.replace(silent, system=msgspec.structs.replace(silent.system, architecture=""))
    found = verdict_of(fleet(host("a"), silent))
    assert [(one.architecture, one.hosts, one.others) for one in found.architectures] == [("x86_64", 2, 0)]
    assert found.everywhere == "no"


@pytest.mark.parametrize("names", [("x86_64", "aarch64"), ("aarch64", "x86_64")])
def test_hosts_of_two_architectures_are_two_classes(names: tuple[str, str]) -> None:
    """Without an emulator, their records differ in nothing else; each is in the way of its own guests."""
    bare = [
        msgspec.structs.replace(
            host(name, emulators=[]), system=HostSystem(os="", kernel="", architecture=name)
        )
        for name in names
    ]
    found = verdict_of(fleet(*bare))
    assert found.classes == 2
    assert [(one.architecture, one.hosts) for one in found.architectures] == [("aarch64", 1), ("x86_64", 1)]


def test_machine_types_that_all_hosts_have() -> None:
    """A host without an emulator has none; hosts may have an alias in common, and no version."""
    old, new = host("old", qemu="2.10.2"), host("new", qemu="11.1")
    [both] = verdict_of(fleet(old, new)).architectures
    assert {"pc", "q35"} <= set(both.common)
    assert "pc-q35-2.10" not in both.common
    [one] = verdict_of(fleet(old, host("bare", emulators=[]))).architectures
    assert one.common == []


def test_versioned_machine_types_are_rows_where_they_are_named() -> None:
    some = fleet(host("a", machines=["pc", "pc-q35-6.2"]), host("b"))
    [found] = verdict_of(some).architectures
    assert ([one.machine for one in found.machines], found.further) == (["pc", "q35"], ["pc-q35-6.2"])
    [found] = verdict_of(some, everything=True).architectures
    assert [one.machine for one in found.machines] == ["pc", "q35", "pc-q35-6.2"]
    found_cells = cells(verdict_of(some, machines=["pc-q35-6.2"], policies=RESTART))
    assert found_cells == {("x86_64", "pc-q35-6.2", "restart+coredump"): ("unknown", 1, 0, 1)}


def test_a_row_that_one_host_lacks_fails_there() -> None:
    found = verdict_of(fleet(host("a"), host("b", qemu="11.1")), machines=["pc-q35-11.1"], policies=RESTART)
    assert [(one.code, one.parts[0].hosts) for one in found.failures] == [("no-machine-type", ["a"])]
    [common] = [one.common for one in found.architectures]
    assert common[:2] == ["pc", "q35"]
    assert "pc-q35-7.2" in common
    assert "pc-q35-11.1" not in common


def test_a_verdict_says_where_a_watcher_is_needed() -> None:
    some = fleet(host("a"), host("b"), host("c", libvirt=None))
    found = verdict_of(some, machines=["q35"])
    [row] = found.architectures[0].machines
    who = {one.policy: (one.by_libvirt, one.by_watch, one.without_libvirt) for one in row.policies}
    assert who["restart"] == (2, 0, 1)
    assert who["rename-restart"] == (0, 2, 1)
    assert who["preserve"] == (2, 0, 1)
    assert who["preserve+coredump"] == (0, 2, 1)
    assert {one.code: (one.hosts, one.policies) for one in found.watch} == {
        "watch-dumps": (2, ["preserve+coredump", "rename-restart+coredump", "pause+coredump"]),
        "watch-renames": (2, ["rename-restart", "rename-restart+coredump"]),
    }
    assert found.watched == 2
    waiting = verdict_of(some, policies=[Policy("restart", grace=5)])
    assert [(one.code, one.hosts) for one in waiting.watch] == [("watch-waits", 2)]


def test_a_verdict_says_what_emulators_must_be_told_without_libvirt() -> None:
    """A guest on s390x always reports a panic, which stops it; where there is libvirt, a watcher helps."""
    known = emulator("10.0.13", "s390x", ["s390-ccw-virtio"])
    found = verdict_of(
        fleet(host("a", libvirt=None, emulators=[known]), host("b", emulators=[known])),
        architectures=["s390x"],
    )
    assert [(one.code, one.hosts, one.policies) for one in found.help] == [
        ("ignore-needs-set-action", 1, ["default", "ignore"])
    ]
    assert "  on 1 host, for default, ignore: the architecture" in verdict_screen(found, Style())
    assert {one.code: one.hosts for one in found.watch}["watch-continues"] == 1


def test_a_host_that_was_not_counted_leaves_the_answer_open() -> None:
    """A document that may stand for a host, too; the hosts that answered can be judged alone."""
    some = read_fleet([*documents([host("a")]), FOREIGN], NOW, expected=["a", "b"])
    found = verdict_of(some, policies=RESTART)
    assert (found.everywhere, found.hosts, found.missing) == ("unknown", 1, 2)
    assert [one.why for one in found.uncounted] == ["foreign", "no-answer"]
    alone = verdict_of(some, policies=RESTART, answered_only=True)
    assert (alone.everywhere, alone.missing) == ("yes", 2)


def test_a_superseded_document_changes_nothing() -> None:
    some = [host("a", at="2026-11-01T00:00:00Z", qemu="1.5.0"), host("a", at="2026-11-27T00:00:00Z")]
    found = verdict_of(fleet(*some), policies=RESTART)
    assert (found.everywhere, found.hosts, found.missing) == ("yes", 1, 0)
    assert [one.why for one in found.uncounted] == ["superseded"]


def test_names_with_numbers_are_in_the_order_of_the_numbers() -> None:
    assert sorted(["kvm10", "kvm9", "b", "kvm09", "kvm", "10", "9"], key=natural) == [
        "9",
        "10",
        "b",
        "kvm",
        "kvm09",
        "kvm9",
        "kvm10",
    ]


def test_the_schema_that_ships_is_that_of_the_verdict() -> None:
    """`make schema` writes it."""
    current = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(FleetVerdict)))
    assert undescribed(FleetVerdict.json_schema()) == undescribed(current)


def test_a_verdict_is_valid_json() -> None:
    some = read_fleet([*documents([host("a", qemu="1.5.0"), host("b")]), FOREIGN], NOW)
    written = verdict_of(some).to_json()
    jsonschema.validate(msgspec.json.decode(written), FleetVerdict.json_schema())
    assert msgspec.json.decode(written, type=FleetVerdict) == verdict_of(some)


@cache
def pool() -> list[HostRecord]:
    """Return hosts of every kind that a fleet may have; some differ in their documents only."""
    unasked = msgspec.structs.replace(emulator("7.2.22"), record=None, problem="Permission denied")
    kinds = [
        host("a"),
        host("b", qemu="1.5.0"),
        host("c", qemu="1.7", libvirt="1.2.0"),
        host("d", libvirt=None),
        host("e", machines=["pc"]),
        host("f", emulators=[]),
        host("g", emulators=[unasked]),
        of_architecture("aarch64", "h"),
        host("i", emulators=[emulator("7.2.22"), emulator("7.2.22", "aarch64", ["virt"])]),
        host("a", qemu="5.2.0"),
        host("b", at="2026-11-01T00:00:00Z"),
        host("localhost", id="1"),
        host("localhost", id="2", qemu="1.5.0"),
    ]
    return [
        *kinds,
        *(
            msgspec.structs.replace(
                one, host=msgspec.structs.replace(one.host, name=f"{one.host.name}{n}", id=None)
            )
            for n in (2, 10)
            for one in kinds
        ),
    ]


BAD = (
    FOREIGN,
    HostDocument("trunc.json", b'{"schema_version":1,"host":{"name'),
    HostDocument("gone", b"", "EIO"),
)
FLEETS = st.lists(st.integers(0, 38), min_size=1, max_size=6)
FEW = [Policy("ignore"), *RESTART, Policy("rename-restart")]


def found_documents(numbers: Sequence[int], bad: int = 0) -> list[HostDocument]:
    return [HostDocument(f"{n}.json", pool()[kind].to_json()) for n, kind in enumerate(numbers)] + list(
        BAD[:bad]
    )


@settings(max_examples=settings().max_examples * 2 // 5)
@given(FLEETS, st.integers(0, 38))
def test_another_host_never_makes_a_policy_kept_everywhere(numbers: list[int], added: int) -> None:
    """One of another name: a newer document of the same host may do so."""
    known = found_documents(numbers)
    new = msgspec.structs.replace(
        pool()[added], host=msgspec.structs.replace(pool()[added].host, name="new", id="new")
    )
    before = cells(verdict_of(read_fleet(known, NOW), policies=FEW))
    after = cells(verdict_of(read_fleet([*known, *documents([new])], NOW), policies=FEW))
    rows = [cell for cell in before if cell[1]]  # what has no row but the default one may get better ones
    assert not [cell for cell in rows if before[cell][0] != "yes" and after[cell][0] == "yes"]


@settings(max_examples=settings().max_examples * 2 // 5)
@given(FLEETS, st.integers(0, 3), st.randoms(use_true_random=False))
def test_the_order_of_documents_does_not_matter(numbers: list[int], bad: int, random: Random) -> None:
    known = found_documents(numbers, bad)
    shuffled = random.sample(known, len(known))
    assert verdict_of(read_fleet(known, NOW), policies=FEW) == verdict_of(
        read_fleet(shuffled, NOW), policies=FEW
    )


@settings(max_examples=settings().max_examples * 2 // 5)
@given(FLEETS, st.integers(0, 3))
def test_the_numbers_add_up(numbers: list[int], bad: int) -> None:
    """Every document is counted once, and every host of an architecture in every cell."""
    known = found_documents(numbers, bad)
    found = verdict_of(read_fleet(known, NOW), policies=FEW)
    assert found.hosts + len(found.uncounted) == len(known)
    for one in found.architectures:
        assert one.hosts + one.others == found.hosts
        for machine in one.machines:
            assert sum(machine.versions.values()) <= one.hosts
            for policy in machine.policies:
                assert policy.kept + policy.refused + policy.unknown == one.hosts
                assert policy.by_libvirt + policy.by_watch + policy.without_libvirt == policy.kept
                for failures, count in ((found.failures, policy.refused), (found.unknowns, policy.unknown)):
                    named = [
                        name
                        for failure in failures
                        for part in failure.parts
                        for place in part.places
                        if (place.architecture, place.machine) == (one.architecture, machine.machine)
                        and policy.policy in place.policies
                        for name in part.hosts
                    ]
                    assert len(named) == len({*named}) == count
