"""What each policy becomes, and which policies are refused."""

from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from onpanic.probe import CapabilityRecord, OnpanicError
from onpanic.probe.decision.catalogue import CATALOGUE
from onpanic.probe.decision.policy import ON_CRASH, WAITING, Hypervisor, Policy
from onpanic.probe.emulator.notifier_models import NotifierModel
from onpanic.shims import Libvirt, RefusedError, to_libvirt
from onpanic.shims.translation.mapping import (
    AddedNotifier,
    DomainChanges,
    TranslationContext,
    changes_for,
    default_value,
)

OLD, NEW = Libvirt.of("9.0.0"), Libvirt.of("12.6.0")

# Columns: a notifier that is there (twice), one that can be added, one that does not work; Xen; no panics
TABLE = """
on_panic                 9.0               12.6              add                   1.6     xen    lxc
default                  preserve          preserve-running  -                     -       -      -
default+coredump         !dump             !dump             !dump                 !dump   !dump  !dump
crash                    !crash            !crash            !crash                !crash  -      !panic
crash+coredump           !dump             !dump             !dump                 !dump   !dump  !panic
ignore                   preserve          preserve-running  -                     -       !xen   -
ignore+coredump          !dump             !dump             !dump                 !dump   !dump  !dump
restart                  restart           restart           restart+isa           !cont   !xen   !panic
restart+coredump         coredump-restart  coredump-restart  coredump-restart+isa  !cont   !xen   !panic
destroy                  destroy           destroy           destroy+isa           !cont   !xen   !panic
destroy+coredump         coredump-destroy  coredump-destroy  coredump-destroy+isa  !cont   !xen   !panic
preserve                 preserve          preserve          preserve+isa          !cont   !xen   !panic
preserve+coredump        preserve          preserve          preserve+isa          !cont   !xen   !panic
rename-restart           preserve          preserve          preserve+isa          !cont   !xen   !panic
rename-restart+coredump  preserve          preserve          preserve+isa          !cont   !xen   !panic
pause                    preserve          preserve          preserve+isa          !cont   !xen   !panic
pause+coredump           preserve          preserve          preserve+isa          !cont   !xen   !panic
halt                     !value            !value            !value                !value  !value !panic
"""
CODES = {
    "!dump": "coredump-needs-action",
    "!crash": "crash-needs-xen",
    "!xen": "xen-only-crash",
    "!cont": "cont-refused-after-panic",
    "!panic": "hypervisor-reports-no-panic",
    "!value": "unknown-value",
}
HEAD, *ROWS = [line.split() for line in TABLE.strip().splitlines()]
CELLS = [(row[0], column, cell) for row in ROWS for column, cell in zip(HEAD[1:], row[1:], strict=True)]


def refused(xml: str, record: CapabilityRecord | None, libvirt: Libvirt) -> str:
    """Return the code with which a domain is refused."""
    with pytest.raises(RefusedError) as caught:
        to_libvirt(xml, record, libvirt=libvirt)
    assert (caught.value.exit_status, caught.value.hint) == (1, caught.value.decision.remedy)
    return caught.value.decision.code


@pytest.mark.parametrize(("policy", "column", "cell"), CELLS)
def test_the_table(
    policy: str,
    column: str,
    cell: str,
    domain: Callable[..., str],
    recorded: Callable[..., CapabilityRecord],
) -> None:
    value, _, coredump = policy.partition("+")
    xml = domain(
        f"<on_panic coredump='{'yes' if coredump else 'no'}'>{value}</on_panic>",
        kind=column if column in ("xen", "lxc") else "kvm",
        devices="<panic model='isa'/>" if column in ("9.0", "12.6") else "<x/>",
    )
    record = recorded(name="qemu-1.6.0" if column == "1.6" else "qemu-1.7.0") if column != "xen" else None
    libvirt = NEW if column == "12.6" else OLD
    if cell in CODES:
        assert refused(xml, record, libvirt) == CODES[cell]
        return
    root = etree.fromstring(to_libvirt(xml, record, libvirt=libvirt).xml)
    word, _, model = cell.partition("+")
    assert root.findtext("on_crash", "-") == word
    assert len(root.findall("devices/panic")) == (1 if model or column in ("9.0", "12.6") else 0)


@pytest.mark.parametrize(
    ("kind", "value", "on_crash", "result"),
    [
        # Xen does itself what <on_crash> says, but for two coredumps
        ("xen", "crash", "<on_crash>destroy</on_crash>", "destroy"),
        ("xen", "default", "<on_crash>restart</on_crash>", "restart"),
        ("xen", "default", "<on_crash>preserve</on_crash>", "preserve"),
        ("xen", "crash", "<on_crash>rename-restart</on_crash>", "preserve"),
        ("xen", "crash", "<on_crash coredump='yes'>destroy</on_crash>", "coredump-destroy"),
        ("xen", "default", "<on_crash>coredump-restart</on_crash>", "coredump-restart"),
        ("xen", "crash", "<on_crash coredump='yes'>preserve</on_crash>", "xen-coredump-on-crash"),
        ("xen", "default", "<on_crash coredump='yes'>rename-restart</on_crash>", "xen-coredump-on-crash"),
        # On QEMU it is <on_panic> that becomes libvirt's <on_crash>
        ("kvm", "pause", "<on_crash>destroy</on_crash>", "preserve"),
        ("kvm", "restart", "<on_crash coredump='yes'>destroy</on_crash>", "restart"),
        # Without a notifier libvirt never uses the value, but must accept it
        ("kvm", "ignore", "<on_crash>restart</on_crash>", "restart"),
        ("kvm", "ignore", "<on_crash coredump='yes'>restart</on_crash>", "coredump-restart"),
        ("kvm", "ignore", "<on_crash coredump='yes'>preserve</on_crash>", "preserve"),
        ("kvm", "default", "<on_crash>rename-restart</on_crash>", "preserve"),
        ("kvm", "ignore", "<on_crash>preserve-running</on_crash>", None),
        ("lxc", "default", "<on_crash>rename-restart</on_crash>", "rename-restart"),
        # Words that there are not
        *(
            (kind, "default", on_crash, "unknown-on-crash")
            for kind in ("kvm", "xen", "lxc")
            for on_crash in (
                "<on_crash>ignore</on_crash>",
                "<on_crash>Destroy</on_crash>",
                "<on_crash>coredump-pause</on_crash>",
                "<on_crash>coredump-coredump-restart</on_crash>",
                "<on_crash coredump='yes'/>",
            )
        ),
        ("kvm", "pause", "<on_crash>preserve-running</on_crash>", "unknown-on-crash"),
    ],
)
def test_on_crash(
    kind: str,
    value: str,
    on_crash: str,
    result: str | None,
    domain: Callable[..., str],
    record: CapabilityRecord | None,
) -> None:
    xml = domain(f"<on_panic>{value}</on_panic>", on_crash, kind=kind)
    record = record if kind != "xen" else None
    if result in CATALOGUE:
        assert refused(xml, record, OLD) == result
    else:
        assert etree.fromstring(to_libvirt(xml, record, libvirt=OLD).xml).findtext("on_crash") == result


def context(
    *notifiers: str,
    added: str | None = None,
    builtin: str = "",
    acpi: bool = True,
    libvirt: Libvirt = OLD,
    hypervisor: Hypervisor | None = "qemu",
) -> TranslationContext:
    model, _, device = (added or "").partition(" ")
    new = AddedNotifier(cast("NotifierModel", model), device) if model else None
    return TranslationContext(hypervisor, notifiers, new, builtin, acpi, libvirt)


@pytest.mark.parametrize(
    ("where", "panic", "arguments", "notes"),
    [
        (context(added="isa"), "isa", "", ""),
        (context(added="isa", acpi=False), "isa", "", "guest-needs-acpi"),
        (context(added="isa isa-pvpanic"), None, "-device isa-pvpanic", "device-by-command-line"),
        (
            context(added="isa isa-pvpanic", acpi=False),
            None,
            "-device isa-pvpanic",
            "device-by-command-line guest-needs-acpi",
        ),
        (context(added="hyperv", acpi=False), "hyperv", "", ""),
        (context("isa"), None, "", ""),
        (context("isa", acpi=False), None, "", "guest-needs-acpi"),
        (context("hyperv"), None, "", ""),
        (context("isa", "hyperv", acpi=False), None, "", ""),
        (context("pvpanic", acpi=False), None, "", ""),
        (context("s390", acpi=False), None, "", ""),
        (context("pseries", acpi=False), None, "", ""),
        (context(added="pvpanic", libvirt=NEW, acpi=False), "pvpanic", "", ""),
        (context(added="pvpanic pvpanic-pci"), None, "-device pvpanic-pci", "device-by-command-line"),
        (
            context(added="pvpanic pvpanic-pci", acpi=False),
            None,
            "-device pvpanic-pci",
            "device-by-command-line",
        ),
    ],
)
def test_the_notifier_of_a_policy_that_acts(
    where: TranslationContext, panic: str | None, arguments: str, notes: str
) -> None:
    found = changes_for(Policy("restart"), where)
    assert (found.on_crash, found.panic, " ".join(found.arguments)) == ("restart", panic, arguments)
    assert " ".join(note.code for note in found.notes) == notes


@pytest.mark.parametrize("value", ["default", "ignore"])
@pytest.mark.parametrize(
    ("where", "word", "arguments", "notes"),
    [
        (context(), None, "", ""),
        (context("isa"), "preserve", "", "watch-continues"),
        (context("s390"), "preserve", "", "watch-continues"),
        (context("isa", libvirt=NEW), "preserve-running", "", ""),
        (context("s390", libvirt=NEW), "preserve-running", "", ""),
        (context(builtin="pvpanic"), None, "-global pvpanic.ioport=0", "builtin-moved-away"),
        (context(builtin="isa-pvpanic"), None, "-global isa-pvpanic.ioport=0", "builtin-moved-away"),
        (context(hypervisor=None), None, "", ""),
    ],
)
def test_ignoring(
    value: str, where: TranslationContext, word: str | None, arguments: str, notes: str
) -> None:
    found = changes_for(Policy(value), where)
    assert (found.on_crash, found.panic, " ".join(found.arguments)) == (word, None, arguments)
    assert " ".join(note.code for note in found.notes) == notes


@pytest.mark.parametrize(
    ("policy", "where", "notes"),
    [
        (Policy("restart"), context("isa"), ""),
        (Policy("destroy"), context("isa"), ""),
        (Policy("preserve"), context("isa"), ""),
        (Policy("pause"), context("isa"), "pause-shows-crashed"),
        (Policy("rename-restart"), context("isa"), "watch-renames"),
        (Policy("restart", coredump=True), context("isa"), "failed-dump-preserves"),
        (Policy("destroy", coredump=True), context("isa"), "failed-dump-preserves"),
        (Policy("preserve", coredump=True), context("isa"), "watch-dumps"),
        (Policy("pause", coredump=True), context("isa"), "watch-dumps pause-shows-crashed"),
        (Policy("rename-restart", coredump=True), context("isa"), "watch-dumps watch-renames"),
        (Policy("restart", grace=0.0), context("isa"), ""),
        (Policy("restart", grace=30.0), context("isa"), "watch-waits"),
        (Policy("destroy", grace=0.5), context("isa", libvirt=NEW), "watch-waits"),
        (Policy("rename-restart", grace=30.0), context("isa"), "watch-waits watch-renames"),
        (Policy("restart", coredump=True, grace=30.0), context("isa"), "watch-waits watch-dumps"),
        (Policy("restart", on_crash="destroy", grace=30.0), context("isa"), "watch-waits watch-on-crash"),
        (Policy("restart", on_crash="destroy"), context("isa"), "watch-on-crash"),
        (Policy("ignore", on_crash="destroy"), context(), "watch-on-crash"),
        (Policy("ignore", on_crash="destroy"), context("isa"), "watch-continues watch-on-crash"),
        (Policy("ignore", on_crash="destroy"), context("isa", libvirt=NEW), "watch-on-crash"),
        (Policy("ignore", on_crash="destroy"), context(hypervisor=None), ""),
    ],
)
def test_what_libvirt_alone_does_not_do_is_noted(
    policy: Policy, where: TranslationContext, notes: str
) -> None:
    assert " ".join(note.code for note in changes_for(policy, where).notes) == notes


@pytest.mark.parametrize("value", WAITING)
@pytest.mark.parametrize("coredump", [False, True])
@pytest.mark.parametrize("where", [context("isa"), context("isa", libvirt=NEW), context(added="isa")])
def test_libvirt_does_nothing_itself_after_a_grace_period(
    value: str, coredump: bool, where: TranslationContext
) -> None:
    """It would act at once, so the guest is preserved until the watcher comes; the rest is as without."""
    found = changes_for(Policy(value, coredump, grace=30.0), where)
    without = changes_for(Policy(value, coredump), where)
    assert (found.on_crash, found.panic, found.arguments) == ("preserve", without.panic, without.arguments)
    (note,) = [note for note in found.notes if note.code == "watch-waits"]
    assert note.reason.endswith("(30 s)")
    assert changes_for(Policy(value, coredump, grace=0.0), where) == without


@pytest.mark.parametrize(("hypervisor", "value"), [("xen", "crash"), ("qemu", "ignore"), (None, "ignore")])
def test_default_depends_on_the_hypervisor(hypervisor: Hypervisor | None, value: str) -> None:
    assert default_value(hypervisor) == value


POLICIES = st.builds(
    Policy,
    st.sampled_from(["ignore", "restart", "destroy", "preserve", "rename-restart", "pause"]),
    st.booleans(),
    st.sampled_from([None, *ON_CRASH]),
    grace=st.sampled_from([None, 0.0, 30.0]),
)
BUILTINS = st.sampled_from(["", "pvpanic", "isa-pvpanic"])
CONTEXTS = st.builds(
    context,
    *[st.sampled_from(["isa", "pvpanic", "hyperv", "s390"])],
    builtin=BUILTINS,
    acpi=st.booleans(),
    libvirt=st.sampled_from([OLD, NEW, Libvirt.of("1.2.1")]),
) | st.builds(
    context,
    added=st.sampled_from(["isa", "isa isa-pvpanic", "pvpanic pvpanic-pci", "hyperv"]),
    builtin=BUILTINS,
    acpi=st.booleans(),
)


@given(POLICIES, CONTEXTS)
def test_a_plan_says_nothing_that_the_libvirt_cannot(policy: Policy, where: TranslationContext) -> None:
    found: DomainChanges = changes_for(policy, where)
    words = {None, "restart", "destroy", "preserve", "coredump-restart", "coredump-destroy"}
    assert found.on_crash in words | ({"preserve-running"} if where.libvirt.preserve_running else set())
    assert not (found.panic and where.notifiers)
    assert found.panic in {None, where.added.model if where.added else None}
    assert not (found.panic and where.added and where.added.device)
    assert all(CATALOGUE[note.code].kind == "note" and note.remedy for note in found.notes)


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("1.2.0", ""),
        ("1.2.1", "device"),
        ("1.3.0", "device models"),
        (9_000_000, "device models"),
        ("9.0", "device models"),
        ("9.1.0", "device models pci"),
        (12_005_999, "device models pci"),
        ("12.6.0", "device models pci preserve_running"),
        ("100.0.0", "device models pci preserve_running"),
    ],
)
def test_what_a_libvirt_can_say(version: str | int, says: str) -> None:
    words = ("device", "models", "pci", "preserve_running")
    assert " ".join(word for word in words if getattr(Libvirt.of(version), word)) == says


@pytest.mark.parametrize(
    "version",
    [
        "",
        "9",
        "9.0.0.0",
        "v9.0.0",
        "9.0.0-4",
        "-1.0",
        "\u0669.0.0",
        pytest.param("9" * 5000, id="long"),
        0,
        -9_000_000,
        pytest.param(10**5000, id="huge"),
    ],
)
def test_not_a_version(version: str | int) -> None:
    with pytest.raises(OnpanicError, match="is not a version of libvirt") as caught:
        Libvirt.of(version)
    assert "9.0.0" in caught.value.hint
