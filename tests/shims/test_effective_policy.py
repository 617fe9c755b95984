"""The policy of a domain that was never translated is what libvirt really does on a panic."""

from collections.abc import Callable

import pytest

from onpanic.core.errors import DocumentError, RefusedError
from onpanic.probe import CapabilityRecord
from onpanic.probe.decision.policy import Policy
from onpanic.shims import Libvirt, from_libvirt, policy_of, to_libvirt
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.translation.domain_policy import effective_policy

Domain = Callable[..., str]
Recorded = Callable[..., CapabilityRecord]

QEMU = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"
ISA = "<panic model='isa'/>"
HYPERV = "<panic model='hyperv'/>"
PLAIN = "<emulator>/q</emulator>"

RESTART = Policy("restart", on_crash="restart")
DESTROY = Policy("destroy", on_crash="restart")


def options(words: str) -> str:
    """Return a domain's own arguments to QEMU."""
    arguments = "".join(f"<qemu:arg value='{word}'/>" for word in words.split())
    return f"<qemu:commandline {QEMU}>{arguments}</qemu:commandline>"


@pytest.mark.parametrize(
    ("kind", "devices", "on_crash", "policy", "note"),
    [
        ("kvm", PLAIN, "", Policy("ignore"), ""),
        ("kvm", PLAIN, "destroy", Policy("ignore", on_crash="destroy"), ""),
        ("kvm", PLAIN, "restart", Policy("ignore", on_crash="restart"), "on-crash-without-notifier"),
        ("kvm", PLAIN, "preserve-running", Policy("ignore"), ""),
        (
            "kvm",
            PLAIN,
            "coredump-restart",
            Policy("ignore", False, "restart", on_crash_coredump=True),
            "on-crash-without-notifier",
        ),
        ("kvm", ISA, "", Policy("destroy"), ""),
        ("kvm", ISA, "destroy", Policy("destroy", on_crash="destroy"), ""),
        ("kvm", ISA, "restart", RESTART, ""),
        ("kvm", ISA, "preserve", Policy("preserve", on_crash="preserve"), ""),
        ("kvm", ISA, "<!-- x -->restart", RESTART, ""),
        ("kvm", ISA, "coredump-destroy", Policy("destroy", True, "destroy", on_crash_coredump=True), ""),
        ("kvm", ISA, "preserve-running", Policy("ignore"), ""),
        ("kvm", ISA, "rename-restart", Policy("preserve", on_crash="rename-restart"), "qemu-does-not-rename"),
        ("kvm", HYPERV, "restart", RESTART, ""),
        ("qemu", HYPERV, "restart", Policy("ignore", on_crash="restart"), "hyperv-needs-kvm"),
        ("xen", PLAIN, "", Policy("crash"), ""),
        (
            "xen",
            ISA,
            "rename-restart",
            Policy("crash", on_crash="rename-restart"),
            "xen-does-not-rename xen-restarts-without-limit xen-has-no-panic-device",
        ),
        (
            "xen",
            PLAIN,
            "coredump-destroy",
            Policy("crash", False, "destroy", on_crash_coredump=True),
            "xen-failed-dump-ends-guest xen-dump-takes-long",
        ),
        ("lxc", PLAIN, "restart", Policy("ignore", on_crash="restart"), ""),
        ("vmware", ISA, "destroy", Policy("ignore", on_crash="destroy"), ""),
    ],
)
def test_what_on_crash_and_the_notifier_amount_to(
    kind: str, devices: str, on_crash: str, policy: Policy, note: str, domain: Domain, recorded: Recorded
) -> None:
    xml = domain(*([f"<on_crash>{on_crash}</on_crash>"] if on_crash else []), kind=kind, devices=devices)
    found = from_libvirt(xml)
    assert found.policy == policy_of(found.xml) == policy
    assert [one.code for one in found.notes] == note.split()
    if policy.on_crash:  # it only gains a line
        assert [line for line in found.xml.splitlines() if "on_panic" not in line] == xml.splitlines()
    assert from_libvirt(found).xml == found.xml
    known = recorded(working=("hyperv",)) if kind != "xen" else None
    assert from_libvirt(to_libvirt(found, known, libvirt="9.0.0")).policy == policy


@pytest.mark.parametrize(
    ("lines", "on_crash", "policy", "notes"),
    [
        # libvirt's restart is a reset, which may end the guest
        ("<on_reboot>destroy</on_reboot>", "restart", DESTROY, "restart-ends-guest"),
        ("<on_reboot>restart</on_reboot>", "restart", RESTART, ""),
        ("<on_reboot>destroy</on_reboot>", "preserve", Policy("preserve", on_crash="preserve"), ""),
        (
            "<on_reboot>destroy</on_reboot>",
            "coredump-restart",
            Policy("destroy", True, "restart", on_crash_coredump=True),
            "restart-ends-guest",
        ),
        (options("-no-reboot"), "restart", DESTROY, "restart-ends-guest"),
        (options("-action reboot=shutdown"), "restart", DESTROY, "restart-ends-guest"),
        ("<launchSecurity type='tdx'/>", "restart", DESTROY, "restart-ends-guest"),
        # Its memory is encrypted
        (
            "<launchSecurity type='sev'><policy>0x0003</policy></launchSecurity>",
            "coredump-restart",
            Policy("restart", True, "restart", on_crash_coredump=True),
            "coredump-is-encrypted",
        ),
        (
            "<launchSecurity type='tdx'/>",
            "coredump-restart",
            Policy("destroy", True, "restart", on_crash_coredump=True),
            "restart-ends-guest coredump-is-encrypted",
        ),
        # QEMU ends, or runs on
        (options("-action panic=exit-failure"), "restart", DESTROY, "arguments-decide-panic"),
        (
            options("-action panic=exit-failure"),
            "coredump-destroy",
            Policy("destroy", False, "destroy", on_crash_coredump=True),
            "arguments-decide-panic",
        ),
        (options("-action shutdown=poweroff"), "destroy", Policy("destroy", on_crash="destroy"), ""),
        (
            options("-action panic=none"),
            "preserve",
            Policy("ignore", on_crash="preserve"),
            "arguments-decide-panic",
        ),
        (
            options("-action panic=none"),
            "rename-restart",
            Policy("ignore", on_crash="rename-restart"),
            "qemu-does-not-rename arguments-decide-panic",
        ),
        (options("-action panic=none"), "restart", RESTART, ""),
        (options("-action panic=none"), "preserve-running", Policy("ignore"), ""),
        # The device does not report
        (
            options("-global pvpanic.events=2"),
            "restart",
            Policy("ignore", on_crash="restart"),
            "on-crash-without-notifier",
        ),
        (options("-global pvpanic.events=3"), "restart", RESTART, ""),
        (options("-readconfig /x"), "restart", RESTART, "arguments-from-file"),
    ],
)
def test_what_else_the_domain_says_decides(
    lines: str, on_crash: str, policy: Policy, notes: str, domain: Domain
) -> None:
    """These were observed on libvirt 7.0 to 12.8; 12.6 and later override QEMU's panic action."""
    xml = domain(lines, f"<on_crash>{on_crash}</on_crash>", devices=ISA)
    found, noted = effective_policy(Document(xml).root, Libvirt.of("9.0.0"))
    assert found == policy
    assert " ".join(note.code for note in noted) == notes


@pytest.mark.parametrize("words", ["panic=exit-failure", "panic=none", "shutdown=poweroff"])
def test_a_libvirt_that_sets_the_panic_action_overrides_the_arguments(words: str, domain: Domain) -> None:
    xml = domain(options(f"-action {words}"), "<on_crash>preserve</on_crash>", devices=ISA)
    assert effective_policy(Document(xml).root, Libvirt.of("12.6.0")) == (
        Policy("preserve", on_crash="preserve"),
        (),
    )


@pytest.mark.parametrize(
    ("lines", "kind", "policy", "note"),
    [
        ("<features><hyperv mode='passthrough'/></features>", "kvm", RESTART, "hyperv-flag-reports"),
        (options("-cpu host,hv-relaxed"), "kvm", RESTART, "hyperv-flag-reports"),
        (options("-cpu host"), "kvm", Policy("ignore", on_crash="restart"), "on-crash-without-notifier"),
        (
            "<features><hyperv mode='passthrough'/></features>",
            "qemu",
            Policy("ignore", on_crash="restart"),
            "on-crash-without-notifier",
        ),
        (options("-device pvpanic"), "qemu", RESTART, ""),
        (
            options("-device pvpanic,events=2"),
            "qemu",
            Policy("ignore", on_crash="restart"),
            "on-crash-without-notifier",
        ),
        (options("-device pvpanic-pci,events=0 -device pvpanic"), "kvm", RESTART, ""),
    ],
)
def test_notifiers_that_are_no_panic_elements(
    lines: str, kind: str, policy: Policy, note: str, domain: Domain
) -> None:
    found = from_libvirt(domain(lines, "<on_crash>restart</on_crash>", kind=kind, acpi=False))
    assert found.policy == policy
    assert " ".join(one.code for one in found.notes) == note


@pytest.mark.parametrize("value", ["halt", "ignore", "pause", "Restart", "coredump-preserve", "x" * 1000])
def test_a_value_that_libvirt_lacks_is_an_error_that_lists_the_values(value: str, domain: Domain) -> None:
    for devices in (PLAIN, ISA):
        with pytest.raises(DocumentError, match="which libvirt does not know") as caught:
            from_libvirt(domain(f"<on_crash>{value}</on_crash>", devices=devices))
        assert (
            "destroy, restart, preserve, rename-restart, coredump-destroy, coredump-restart, preserve-running"
            in (caught.value.hint)
        )
        assert ("is a value of <on_panic>" in caught.value.hint) == (value in ("ignore", "pause"))


def test_xen_does_not_continue_a_guest(domain: Domain) -> None:
    """libvirt 12.8 accepts preserve-running for Xen and preserves the guest: that is what is stated."""
    xml = domain("<on_crash>preserve-running</on_crash>", kind="xen", devices=PLAIN)
    found = from_libvirt(xml)
    assert found.policy == policy_of(found.xml) == Policy("crash", on_crash="preserve")
    assert [one.code for one in found.notes] == ["xen-does-not-continue", "xen-preserved-shows-shut-off"]
    assert "<on_crash>preserve</on_crash>" in to_libvirt(found.xml, libvirt="12.8.0").xml


@pytest.mark.parametrize("value", ["default", "crash"])
def test_nobody_continues_a_guest_on_xen(value: str, domain: Domain) -> None:
    """A policy that asks for it is refused, and the word is not dropped."""
    stated = f"<on_panic>{value}</on_panic>", "<on_crash>preserve-running</on_crash>"
    with pytest.raises(RefusedError) as refused:
        to_libvirt(domain(*stated, kind="xen", devices=PLAIN), libvirt="12.8.0")
    assert refused.value.decision.code == "unknown-on-crash"
