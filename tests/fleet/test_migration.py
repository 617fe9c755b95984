"""Where a guest may migrate, and why not elsewhere."""

from itertools import product
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import validate

from onpanic.cli import main
from onpanic.core.errors import UsageError
from onpanic.fleet import (
    DomainGuest,
    FailedHost,
    Fleet,
    HostDocument,
    HostRecord,
    MigrationAnswer,
    PlainGuest,
    migration_of,
    read_fleet,
    translate_for_fleet,
)
from onpanic.fleet.hosts.host_record import HostName
from onpanic.probe.decision.policy import ON_PANIC, Policy

from ..schemas import undescribed
from .fleets import NOW, documents, emulator, fleet, host

MACHINES = ("pc-q35-7.2", "pc-i440fx-5.2")
RESTART = Policy("restart", coredump=True)


def old(name: str = "old") -> HostRecord:
    return host(name, machines=MACHINES)


def new(name: str = "new", libvirt: str = "12.8.0") -> HostRecord:
    return host(name, qemu="11.1.3", libvirt=libvirt, machines=MACHINES[:1])


def asked(one: Fleet, policy: Policy = RESTART, machine: str = MACHINES[0]) -> MigrationAnswer:
    return migration_of(one, PlainGuest(policy, machine, "x86_64"))


def between(
    here: HostRecord, there: HostRecord, architecture: str, machine: str, value: str
) -> tuple[str, list[str], list[str]]:
    """Return whether a guest may migrate, the codes of what stands in the way, and those of the notes."""
    guest = PlainGuest(Policy(value), machine, architecture)
    pair = migration_of(fleet(here, there), guest, between=(here.host.name, there.host.name)).pair
    assert pair is not None
    return pair.answer, [found.code for found in pair.hindrances], [note.code for note in pair.notes]


def s390x(qemu: str, libvirt: str, *, kvm: bool = True) -> HostRecord:
    """Return a host whose guests always have a notifier."""
    emulators = [emulator(qemu, "s390x", ["s390-ccw-virtio-7.2"], kvm=kvm)]
    return host(f"s390x-{qemu}-{libvirt}-{kvm}", libvirt=libvirt, emulators=emulators)


def test_hosts_with_the_same_guest_are_one_class() -> None:
    """They may have different versions of QEMU and of libvirt."""
    found = asked(fleet(new("a"), new("b", "11.3.0"), old()))
    assert [one.hosts for one in found.classes] == [("a", "b"), ("old",)]
    assert not found.is_one_class
    assert asked(fleet(new("a"), new("b", "11.3.0"))).is_one_class


def test_a_guest_would_see_another_event_mask() -> None:
    """QEMU 9.1 and later offer another event on the same machine type."""
    found = asked(fleet(old(), new()))
    assert [one.answer for one in found.class_pairs] == ["changes", "changes"]
    for one in found.class_pairs:
        [hindrance] = one.hindrances
        assert hindrance.code == "event-mask-differs"
        assert "0x3 or 0x7" in hindrance.reason


def test_a_guest_without_a_notifier_goes_everywhere() -> None:
    assert asked(fleet(old(), new()), Policy("ignore")).is_one_class


def test_preserve_running_cannot_go_back() -> None:
    """An older libvirt does not know the word; the newer one takes the guest over, with a watcher's help."""
    before, after = s390x("10.0.13", "11.3.0"), s390x("10.0.13", "12.8.0")
    machine = "s390-ccw-virtio-7.2"
    there = between(before, after, "s390x", machine, "ignore")
    assert there == ("yes", [], ["watch-continues"])
    back = between(after, before, "s390x", machine, "ignore")
    assert back == ("no", ["on-crash-not-known"], [])


def test_a_backport_of_preserve_running_is_seen() -> None:
    """What libvirt was seen to accept counts, not its version."""
    after = s390x("10.0.13", "12.8.0")
    before = s390x("10.0.13", "11.3.0")
    assert before.libvirt is not None
    patched, by_version = (
        msgspec.structs.replace(
            before,
            host=HostName("patched"),
            libvirt=msgspec.structs.replace(before.libvirt, preserve_running=known, known_by=known_by),
        )
        for known, known_by in ((True, "asked"), (False, "version"))
    )
    assert between(after, patched, "s390x", "s390-ccw-virtio-7.2", "ignore")[0] == "yes"
    found = between(after, by_version, "s390x", "s390-ccw-virtio-7.2", "ignore")
    assert found == ("unknown", ["on-crash-not-asked"], [])


def test_the_pci_notifier_needs_libvirt_9_1_on_the_other_host() -> None:
    """Where the older libvirt itself adds the device through QEMU's arguments, the newer one takes it."""

    def aarch64(name: str, libvirt: str) -> HostRecord:
        return host(name, libvirt=libvirt, emulators=[emulator("7.2.22", "aarch64", ["virt-7.2"])])

    before, after = aarch64("before", "9.0.0"), aarch64("after", "11.3.0")
    assert between(before, after, "aarch64", "virt-7.2", "restart")[0] == "yes"
    assert between(after, before, "aarch64", "virt-7.2", "restart")[:2] == ("no", ["libvirt-too-old"])


@pytest.mark.parametrize(
    ("there", "answer", "code"),
    [
        (host("b", machines=["pc"]), "unknown", "machine-type-not-asked"),
        (host("b", qemu="5.2.0"), "no", "no-machine-type"),
        (host("b", libvirt=None, machines=MACHINES), "no", "no-libvirt"),
        (
            msgspec.structs.replace(host("b", libvirt=None, machines=MACHINES), libvirt_found="unknown"),
            "unknown",
            "libvirt-not-asked",
        ),
        (host("b", emulators=[]), "no", "no-emulator-at-path"),
        (host("b", emulators=[emulator("7.2.22", machines=MACHINES, kvm=False)]), "no", "no-domain-type"),
        (
            host("b", emulators=[msgspec.structs.replace(emulator("7.2.22"), record=None, problem="hangs")]),
            "unknown",
            "emulator-not-asked",
        ),
        (
            host("b", emulators=[msgspec.structs.replace(emulator("7.2.22"), path="/usr/libexec/qemu-kvm")]),
            "no",
            "no-emulator-at-path",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_target_lacks_is_named(there: HostRecord, answer: str, code: str) -> None:
    assert between(old(), there, "x86_64", MACHINES[0], "restart")[:2] == (answer, [code])


def test_another_name_of_the_same_emulator_is_found() -> None:
    found = emulator("7.2.22", machines=MACHINES)
    there = msgspec.structs.replace(found, path="/usr/bin/kvm", other_paths=[found.path])
    assert between(old("a"), host("b", emulators=[there]), "x86_64", MACHINES[0], "restart")[0] == "yes"


def test_hosts_without_such_a_guest_are_named_with_the_reason() -> None:
    found = asked(fleet(old("a"), old("b"), host("c", qemu="5.2.0")))
    assert [(one.code, one.hosts) for one in found.excluded] == [("no-machine-type", ("c",))]
    assert not found.is_one_class


def test_a_preserved_guest_is_continued_by_a_migration() -> None:
    assert between(old("a"), old("b"), "x86_64", MACHINES[0], "preserve")[2] == ["migration-continues-guest"]
    assert between(old("a"), old("b"), "x86_64", MACHINES[0], "restart")[2] == []


def test_an_alias_must_stand_for_one_machine_type() -> None:
    same = fleet(host("a"), host("b"))
    assert asked(same, machine="q35").machine == "pc-q35-7.2"
    with pytest.raises(UsageError, match=r"pc-q35-7.2 \(1\), pc-q35-11.1 \(1\)"):
        asked(fleet(host("a"), host("b", qemu="11.1.3")), machine="q35")


def test_hosts_of_another_architecture_do_not_count() -> None:
    arm = msgspec.structs.replace(
        host("arm", emulators=[emulator("7.2.22", "aarch64", ["virt"])]),
        system=msgspec.structs.replace(old().system, architecture="aarch64"),
    )
    found = asked(fleet(old("a"), old("b"), arm))
    assert (found.hosts, found.others, found.is_one_class) == (2, 1, True)
    assert migration_of(fleet(old(), arm), PlainGuest(RESTART, "virt")).architecture == "aarch64"
    with pytest.raises(UsageError, match="no host has a machine type"):
        asked(fleet(old(), arm), machine="pc-q35-99.0")


def test_a_host_that_did_not_answer_is_unknown() -> None:
    failed = FailedHost(host=HostName("c"), failure="no route to host")
    one = read_fleet([*documents([old()]), HostDocument("c.json", msgspec.json.encode(failed))], NOW)
    guest = PlainGuest(RESTART, MACHINES[0])
    pair = migration_of(one, guest, between=("old", "c")).pair
    assert pair is not None
    assert (pair.answer, [found.code for found in pair.hindrances]) == ("unknown", ["host-not-counted"])
    assert asked(one).missing == 1
    with pytest.raises(UsageError, match="'d'"):
        migration_of(one, guest, between=("old", "d"))


DOMAIN = """\
<domain type='{kind}'>
  <name>web</name>
  <os><type arch='x86_64' machine='{machine}'>hvm</type></os>
  <features><acpi/></features>
  {policy}
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    {panic}
  </devices>
</domain>
"""


def domain(policy: str, panic: str = "", kind: str = "kvm", machine: str = MACHINES[0]) -> str:
    return DOMAIN.format(policy=policy, panic=panic, kind=kind, machine=machine)


def test_a_domain_is_judged_as_it_is() -> None:
    """With the same events on all hosts, its guest may go everywhere."""
    one = fleet(old(), new())
    for same_events, answers in ((False, ["changes", "changes"]), (True, [])):
        found = translate_for_fleet(domain("<on_panic>restart</on_panic>"), one, same_events=same_events)
        assert found.translation is not None
        answer = migration_of(one, DomainGuest.from_xml(found.translation.xml))
        assert answer.domain == "web"
        assert answer.policy == Policy("restart")
        assert [pair.answer for pair in answer.class_pairs] == answers


def test_a_domain_without_a_policy_has_the_one_that_libvirt_carries_out() -> None:
    xml = domain("<on_crash>preserve-running</on_crash>", "<panic model='isa'/>")
    answer = migration_of(fleet(old(), new()), DomainGuest.from_xml(xml))
    assert answer.policy == Policy("ignore")
    assert [found.hosts for found in answer.classes] == [("new",)]
    assert [(found.code, found.hosts) for found in answer.excluded] == [("on-crash-not-known", ("old",))]


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        (domain("<on_panic>restart</on_panic>"), "not translated"),
        (domain("", kind="lxc"), "QEMU or Xen"),
        (domain("", machine=""), "machine type"),
    ],
)
def test_a_domain_that_says_too_little_is_refused(xml: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        DomainGuest.from_xml(xml)


def test_a_domain_that_was_changed_afterwards_is_refused() -> None:
    found = translate_for_fleet(domain("<on_panic>restart</on_panic>"), fleet(old())).translation
    assert found is not None
    with pytest.raises(UsageError, match="on-crash-drifted"):
        DomainGuest.from_xml(found.xml.replace("<on_crash>restart", "<on_crash>destroy"))


def test_a_panic_that_ends_qemu_keeps_no_coredump() -> None:
    """libvirt up to 7.0 lets it, if every action is to destroy."""
    policy = "<on_reboot>destroy</on_reboot><on_panic coredump='yes'>destroy</on_panic>"
    found = translate_for_fleet(domain(policy, machine=MACHINES[1]), fleet(old())).translation
    assert found is not None
    one = fleet(old(), host("b", libvirt="7.0.0", machines=MACHINES))
    answer = migration_of(one, DomainGuest.from_xml(found.xml))
    assert [(found.code, found.hosts) for found in answer.excluded] == [("panic-ends-emulator", ("b",))]


def test_the_answer_conforms_to_its_schema() -> None:
    answer = asked(fleet(old(), new(), host("c", qemu="5.2.0")))
    validate(msgspec.json.decode(answer.to_json()), MigrationAnswer.json_schema())
    current = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(MigrationAnswer)))
    assert undescribed(current) == undescribed(MigrationAnswer.json_schema())


QEMUS = ("5.2.0", "7.2.22", "10.0.13", "11.1.3")
LIBVIRTS = ("7.0.0", "9.0.0", "9.1.0", "12.5.0", "12.8.0")
TARGETS = {
    "x86_64": ("pc-q35-5.2", "pc-i440fx-5.2"),
    "aarch64": ("virt-5.2",),
    "s390x": ("s390-ccw-virtio-5.2",),
    "ppc64": ("pseries-5.2",),
}


@st.composite
def fleets(draw: st.DrawFn) -> tuple[Fleet, str, str, list[str]]:
    """Draw hosts with different emulators and libvirts, and an architecture with a machine type."""
    architecture = draw(st.sampled_from(sorted(TARGETS)))
    machine = draw(st.sampled_from(TARGETS[architecture]))
    kinds = st.tuples(
        st.sampled_from(QEMUS), st.sampled_from((*LIBVIRTS, None)), st.booleans(), st.booleans()
    )
    hosts = []
    for number, (qemu, libvirt, kvm, was_asked) in enumerate(draw(st.lists(kinds, min_size=1, max_size=6))):
        machines = TARGETS[architecture] if was_asked else ()
        found = emulator(qemu, architecture, machines, kvm=kvm)
        hosts.append(host(f"h{number}", libvirt=libvirt, emulators=[found]))
    return fleet(*hosts), architecture, machine, [one.host.name for one in hosts]


@settings(max_examples=30)
@given(drawn=fleets(), value=st.sampled_from(ON_PANIC))
def test_classes_and_pairs_agree(drawn: tuple[Fleet, str, str, list[str]], value: str) -> None:
    """Every host is in one class or excluded, classes exchange guests, and no pair is denied that can."""
    one, architecture, machine, names = drawn
    guest = PlainGuest(Policy(value), machine, architecture)
    answer = migration_of(one, guest)
    excluded = [name for found in answer.excluded for name in found.hosts]
    assert sorted([*excluded, *(name for found in answer.classes for name in found.hosts)]) == sorted(names)
    home = {name: found.number for found in answer.classes for name in found.hosts}
    denied = {
        (found.source, name)
        for found in answer.class_pairs
        for hindrance in found.hindrances
        for name in hindrance.hosts
    }
    for here, there in product(names, names):
        pair = migration_of(one, guest, between=(here, there)).pair
        assert pair is not None
        if here in excluded:
            assert pair.answer != "yes"
        elif home.get(there) == home[here]:
            assert pair.answer == "yes"
        elif there in home:
            assert (pair.answer == "yes") == ((home[here], there) not in denied)
        else:
            assert pair.answer != "yes"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the records of three hosts."""
    for document in documents([old("a"), new("b"), new("c")]):
        (tmp_path / document.source).write_bytes(document.data)
    return tmp_path


def migrate(folder: Path, *words: str) -> int:
    return main(["fleet", "migrate", str(folder), "--policy", "restart", "--machine", MACHINES[0], *words])


def test_the_command_shows_classes_and_pairs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert migrate(folder, "--coredump") == 1
    said = capsys.readouterr().out
    assert "class 1, 2 hosts: b, c" in said
    assert "class 2, 1 host: a" in said
    assert "changes: event-mask-differs: 1 to 2, 2 to 1" in said
    (folder / "a.json").unlink()
    assert migrate(folder) == 0
    (folder / "a.json").write_text("{")
    assert migrate(folder) == 1
    assert migrate(folder, "--answered-only") == 0


@pytest.mark.parametrize(("target", "status", "word"), [("c", 0, "yes"), ("a", 1, "changes"), ("z", 2, "")])
def test_the_command_answers_about_two_hosts(
    folder: Path, target: str, status: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert migrate(folder, "--from", "b", "--to", target) == status
    said = capsys.readouterr()
    assert (f"b to {target}: {word}" in said.out) == bool(word)
    assert (f"named '{target}'" in said.err) == (not word)


def test_the_command_says_what_a_watcher_must_do_on_the_other_host(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--policy", "pause", "--coredump", "--machine", MACHINES[0], "--from", "b", "--to", "c"]
    assert main(["fleet", "migrate", str(folder), *words]) == 0
    said = capsys.readouterr().out
    assert "note: migration-continues-guest" in said
    assert "note: watch-dumps" in said


def test_the_command_prints_the_answer_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert migrate(folder, "--format", "json") == 1
    assert msgspec.json.decode(capsys.readouterr().out.encode(), type=MigrationAnswer).hosts == 3


def test_the_command_needs_both_hosts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert migrate(folder, "--from", "b") == 2
    assert "--to" in capsys.readouterr().err


def test_the_command_takes_a_domain(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    xml = folder / ".web.xml"
    xml.write_text(domain("<on_crash>restart</on_crash>", "<panic model='isa'/>"))
    assert main(["fleet", "migrate", str(folder), "--domain", str(xml)]) == 1
    said = capsys.readouterr().out
    assert "web, x86_64 pc-q35-7.2, <on_panic>restart</on_panic>" in said
    assert "changes: event-mask-differs" in said
    assert migrate(folder, "--domain", str(xml)) == 2
    assert main(["fleet", "migrate", str(folder), "--policy", "restart"]) == 2
    assert "--domain" in capsys.readouterr().err
