"""A policy is judged by everything in the domain that bears on it: actions, arguments, addresses, flags."""

import re
from collections.abc import Callable
from html import escape
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from onpanic.probe import CapabilityRecord
from onpanic.probe.facts import Fact
from onpanic.shims import DomainMachine, Libvirt, RefusedError, from_libvirt, to_libvirt
from onpanic.shims.domain_xml.document import Document
from onpanic.shims.domain_xml.domain_machine import machine_of
from onpanic.shims.domain_xml.qemu_arguments import QemuArguments, read_arguments

Domain = Callable[..., str]
Recorded = Callable[..., CapabilityRecord]

QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
ISA, PVPANIC = "<panic model='isa'/>", "<panic model='pvpanic'/>"
OLD, NEW = "9.0.0", "12.6.0"
JSON = '{"driver": "pvpanic", "events": 2}'


def given(*words: str) -> str:
    """Return ``<qemu:commandline>`` with arguments."""
    found = "".join(f'<qemu:arg value="{escape(word)}"/>' for word in words)
    return f"<qemu:commandline xmlns:qemu='{QEMU}'>{found}</qemu:commandline>"


def policy(value: str, coredump: bool = False) -> str:
    return f"<on_panic coredump='yes'>{value}</on_panic>" if coredump else f"<on_panic>{value}</on_panic>"


def outcome(xml: str, record: CapabilityRecord, libvirt: str = OLD) -> str:
    """Return the code of the refusal, or libvirt's action and the codes of the notes."""
    try:
        done = to_libvirt(xml, record, libvirt=libvirt)
    except RefusedError as error:
        return error.decision.code
    found = re.search(r"^ *<on_crash>(.*?)<", done.xml, re.MULTILINE)
    action = found[1] if found else "-"
    return " ".join([action, *(note.code for note in done.notes)])


# A reset that ends the guest


@pytest.mark.parametrize(
    "element",
    [
        "<on_reboot>destroy</on_reboot>",
        given("-no-reboot"),
        given("--no-reboot"),
        given("-action", "reboot=shutdown"),
        given("-action", "shutdown=pause,reboot=shutdown"),
        given("-action", "reboot=reset", "-no-reboot"),
        "<launchSecurity type='sev-snp'/>",
        "<launchSecurity type='tdx'/>",
        "<launchSecurity type='sev'><policy>0x0007</policy></launchSecurity>",
        given("-object", "sev-snp-guest,id=sev0"),
        given("-object", "tdx-guest,id=tdx0", "-machine", "confidential-guest-support=tdx0"),
        given("-object", '{"qom-type": "sev-guest", "id": "sev0", "policy": 5}'),
    ],
)
@pytest.mark.parametrize("libvirt", [OLD, NEW])
def test_a_restart_is_left_to_the_watcher(
    libvirt: str, element: str, domain: Domain, record: CapabilityRecord
) -> None:
    """libvirt would reset the guest, which would end it."""
    xml = domain(policy("restart"), element)
    assert outcome(xml, record, libvirt) == "preserve watch-restarts"
    there = to_libvirt(xml, record, libvirt=libvirt)
    assert to_libvirt(there, record, libvirt=libvirt).xml == there.xml
    assert from_libvirt(there).policy == there.policy
    for value in ("destroy", "preserve"):
        assert outcome(domain(policy(value), element), record, libvirt) == value


@pytest.mark.parametrize(
    "element",
    [
        "",
        "<on_reboot>restart</on_reboot>",
        "<on_reboot>re<!-- -->start</on_reboot>",
        "<on_reboot/>",
        given("-object", "sev-guest,id=sev0,policy=0x1"),
        given("-object", "rng-random,id=rng0"),
        "<on_poweroff>restart</on_poweroff>",
        given("-no-reboot", "-action", "reboot=reset"),
        given("-device", "no-reboot"),
        "<launchSecurity type='sev'><policy>0x0003</policy></launchSecurity>",
        "<launchSecurity type='s390-pv'/>",
    ],
)
def test_a_restart_is_left_to_libvirt(element: str, domain: Domain, record: CapabilityRecord) -> None:
    """A reset restarts the guest."""
    assert outcome(domain(policy("restart"), element), record) == "restart"


def test_the_watcher_dumps_before_it_restarts(domain: Domain, record: CapabilityRecord) -> None:
    """libvirt's ``coredump-restart`` would reset the guest, too."""
    xml = domain(policy("restart", coredump=True), "<on_reboot>destroy</on_reboot>")
    assert outcome(xml, record) == "preserve watch-restarts watch-dumps"


def test_the_watcher_destroys_where_libvirt_would_make_no_dump(
    domain: Domain, record: CapabilityRecord
) -> None:
    """libvirt 7.0 lets QEMU end if every action is to destroy."""
    destroys = "<on_reboot>destroy</on_reboot>"
    xml = domain(policy("destroy", coredump=True), destroys)
    assert outcome(xml, record, "7.0.0") == "preserve watch-destroys watch-dumps"
    assert outcome(xml, record, OLD) == "coredump-destroy failed-dump-preserves"
    restarts = domain(policy("destroy", coredump=True), destroys, "<on_poweroff>restart</on_poweroff>")
    assert outcome(restarts, record, "7.0.0") == "coredump-destroy failed-dump-preserves"
    assert outcome(domain(policy("destroy"), destroys), record, "7.0.0") == "destroy"


# What libvirt refuses


@pytest.mark.parametrize("value", ["ignore", "restart", "destroy"])
@pytest.mark.parametrize(
    ("element", "old", "new"),
    [
        ("<on_reboot>preserve</on_reboot>", "", "lifecycle-action-refused"),
        ("<on_poweroff>rename-restart</on_poweroff>", "", "lifecycle-action-refused"),
        ("<on_reboot>coredump-destroy</on_reboot>", "lifecycle-action-refused", "lifecycle-action-refused"),
        ("<on_reboot> restart </on_reboot>", "lifecycle-action-refused", "lifecycle-action-refused"),
        ("<on_poweroff>\n destroy</on_poweroff>", "lifecycle-action-refused", "lifecycle-action-refused"),
        ("<on_poweroff>preserve-running</on_poweroff>", *["lifecycle-action-refused"] * 2),
        ("<on_poweroff>nonsense</on_poweroff>", *["lifecycle-action-refused"] * 2),
        (
            "<on_poweroff>restart</on_poweroff><on_reboot>destroy</on_reboot>",
            "",
            "lifecycle-action-refused",
        ),
    ],
)
def test_actions(
    element: str, old: str, new: str, value: str, domain: Domain, record: CapabilityRecord
) -> None:
    """libvirt 7.7 and later refuse what QEMU's driver does not carry out."""
    xml = domain(policy(value), element)
    assert outcome(xml, record, "7.0.0").split()[-1].startswith(old)
    assert outcome(xml, record, OLD) == outcome(xml, record, NEW) == new


@pytest.mark.parametrize(
    ("panics", "arch", "machine", "libvirt", "code"),
    [
        ("<panic/>", "aarch64", "virt", OLD, "libvirt-too-old"),
        ("<panic/>", "aarch64", "virt-9.0", OLD, "libvirt-too-old"),
        ("<panic/>", "armv6l", "virt", OLD, "libvirt-too-old"),
        ("<panic/>", "armv7l", "virt", OLD, "libvirt-too-old"),
        ("<panic/>", "riscv64", "virt", OLD, "no-default-panic-model"),
        ("<panic/>", "riscv64", "virt", NEW, "no-default-panic-model"),
        ("<panic model='default'/>", "loongarch64", "virt", NEW, "no-default-panic-model"),
        ("<panic/>", "aarch64", "sbsa-ref", NEW, "no-default-panic-model"),
        ("<panic/>", "ppc64", "powernv9", NEW, "no-default-panic-model"),
        ("<panic model='hyperv'><address type='isa'/></panic>", "x86_64", "pc", OLD, "panic-address-refused"),
        ("<panic><address type='pci' slot='16'/></panic>", "x86_64", "pc", OLD, "panic-address-refused"),
        (
            "<panic model='pvpanic'><address type='isa' iobase='0x505'/></panic>",
            "aarch64",
            "virt",
            NEW,
            "panic-address-refused",
        ),
        ("<panic><address type='spapr-vio'/></panic>", "ppc64", "pseries", OLD, "panic-address-refused"),
        ("<panic model='isa'><address type='none'/></panic>", "x86_64", "pc", OLD, "panic-address-refused"),
        ("<panic model='isa'><address/></panic>", "x86_64", "pc", NEW, "panic-address-refused"),
        ("<panic model='pseries'/>", "ppc64", "powernv9", NEW, "no-such-panic-model"),
        (PVPANIC, "x86_64", "isapc", NEW, "no-such-panic-model"),
        (PVPANIC, "x86_64", "microvm", NEW, "no-such-panic-model"),
        (PVPANIC, "aarch64", "sbsa-ref", NEW, "no-such-panic-model"),
        (PVPANIC, "riscv64", "sifive_u", NEW, "no-such-panic-model"),
        (f"{ISA}{ISA}", "x86_64", "pc", OLD, "panic-model-twice"),
        (f"<panic/>{ISA}", "x86_64", "pc", OLD, "panic-model-twice"),
        (f"{PVPANIC}<panic model='default'/>", "aarch64", "virt", NEW, "panic-model-twice"),
        ("<panic model='nonsense'/>", "x86_64", "pc", NEW, "no-such-panic-model"),
        ("<panic model=''/>", "x86_64", "pc", NEW, "no-such-panic-model"),
        (PVPANIC, "xtensa", "virt", NEW, "no-such-panic-model"),
        (PVPANIC, "mips64el", "boston", NEW, "no-such-panic-model"),
        *(
            (f"<panic><address type='isa' {words}/></panic>", "x86_64", "pc", OLD, "panic-address-refused")
            for words in ("iobase='x'", "iobase=''", "iobase='-1'", "iobase='0x505' irq='0x'")
        ),
        *(
            (
                f"<panic model='pvpanic'><address type='pci' {words}/></panic>",
                "x86_64",
                "q35",
                NEW,
                "panic-address-refused",
            )
            for words in (
                "slot='0x20'",
                "slot='2' function='8'",
                "slot='ten'",
                "domain='1' slot='0x10'",
                "bus='1' slot='0x10'",
                "slot='0x10' multifunction='yes'",
            )
        ),
    ],
)
@pytest.mark.parametrize("value", ["ignore", "restart"])
def test_panic_elements(
    value: str,
    panics: str,
    arch: str,
    machine: str,
    libvirt: str,
    code: str,
    domain: Domain,
    recorded: Recorded,
) -> None:
    """Whatever the policy and the emulator are: the emulator is not even asked."""

    def prober(_machine: DomainMachine) -> CapabilityRecord:
        raise AssertionError("the emulator was asked")

    xml = domain(policy(value), arch=arch, machine=machine, devices=panics)
    with pytest.raises(RefusedError) as caught:
        to_libvirt(xml, prober, libvirt=libvirt)
    assert caught.value.decision.code == code


@pytest.mark.parametrize(
    "panic",
    [
        "<panic model='isa'><address type='isa' iobase='0x505'/></panic>",
        "<panic model='isa'><alias name='panic0'/></panic>",
    ],
)
def test_addresses_that_libvirt_accepts(panic: str, domain: Domain, record: CapabilityRecord) -> None:
    assert outcome(domain(policy("preserve"), devices=panic), record) == "preserve"


def test_the_machine_type_that_libvirt_gives_a_power_guest(domain: Domain, recorded: Recorded) -> None:
    """A domain without one is of type pseries, which has a notifier of its own."""
    record = recorded("pseries", "ppc64", "pseries")
    xml = domain(policy("restart"), arch="ppc64", acpi=False, devices="<panic/>").replace(" machine='pc'", "")
    assert outcome(xml, record) == "restart"


def test_a_machine_type_to_which_libvirt_gives_no_pci_bus(domain: Domain, recorded: Recorded) -> None:
    """The PCI notifier is added to QEMU's command line, since libvirt would refuse its model."""
    record = recorded("sbsa-ref", "aarch64", "pvpanic")
    xml = domain(policy("restart"), arch="aarch64", machine="sbsa-ref")
    there = to_libvirt(xml, record, libvirt=NEW)
    assert "<panic" not in there.xml
    assert "<qemu:arg value='pvpanic-pci" in there.xml
    assert [note.code for note in there.notes] == ["device-by-command-line"]


@pytest.mark.parametrize(
    ("emulator", "target"),
    [
        ("/usr/libexec/qemu-kvm", "aarch64"),
        ("/usr/bin/qemu-system-riscv64", "riscv64"),
        ("/usr/bin/onpanic-qemu-system-x86_64", "x86_64"),
    ],
)
def test_a_domain_that_names_no_architecture(
    emulator: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has that of the emulator's name, else the host's: qemu-kvm is RHEL's name on all of them."""
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(machine="aarch64"))
    xml = f"<domain type='kvm'><devices><emulator>{emulator}</emulator><panic/></devices></domain>"
    found = machine_of(Document(xml).root)
    assert found.target == target
    assert found.notifiers == {"aarch64": ("pvpanic",), "x86_64": ("isa",), "riscv64": ()}[target]


# Arguments


@pytest.mark.parametrize(
    "words",
    [
        ("-device", "pvpanic,events=2"),
        ("-device", JSON),
        ("-device", "pvpanic,id=p", "-set", "device.p.events=0x2"),
        ("-device", "pvpanic", "-global", "pvpanic.events=2"),
        ("-device", "pvpanic", "-global", "driver=pvpanic,property=events,value=2"),
        ("-device", "pvpanic,events=1,id=p", "-set", "device.p.events=0"),
    ],
)
def test_a_notifier_that_reports_no_panic(
    words: tuple[str, ...], domain: Domain, record: CapabilityRecord
) -> None:
    """Bit 0 of its events is that of a panic."""
    xml = domain(policy("preserve"), given(*words))
    assert outcome(xml, record) == "panic-not-reported"
    assert outcome(domain(policy("preserve"), given(*words[:1], "pvpanic,events=3")), record) == "preserve"


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        ("<panic model='isa'><address type='isa'/></panic>", ()),
        ("<panic><address type='isa' iobase='0x0'/></panic>", ("-global", "pvpanic.ioport=0x505")),
        (ISA, ("-global", "pvpanic.ioport=0")),
        ("", ("-device", "pvpanic,ioport=0")),
        ("", ("-device", '{"driver": "pvpanic", "ioport": 0}')),
        ("", ("-device", "pvpanic,id=p", "-set", "device.p.ioport=0x0")),
    ],
)
def test_a_notifier_without_a_port(
    devices: str, words: tuple[str, ...], domain: Domain, record: CapabilityRecord
) -> None:
    """QEMU gives an ISA device at port 0 no port, so the guest cannot report a panic through it."""
    given_words = given(*words) if words else ""
    assert outcome(domain(policy("preserve"), given_words, devices=devices), record) == "panic-not-reported"
    ignored = outcome(domain(policy("ignore"), given_words, devices=devices), record)
    assert ignored == "preserve watch-continues"
    there = from_libvirt(domain("<on_crash>restart</on_crash>", given_words, devices=devices))
    assert there.policy is not None
    assert there.policy.on_panic == "ignore"


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        ("<panic><address type='isa' iobase='505'/></panic>", ("-global", "pvpanic.ioport=0")),
        ("<panic><address type='isa' iobase='0x0506'/></panic>", ()),
        ("", ("-global", "pvpanic.ioport=0", "-device", "pvpanic,ioport=0x505")),
    ],
)
def test_a_notifier_at_a_port(
    devices: str, words: tuple[str, ...], domain: Domain, record: CapabilityRecord
) -> None:
    """The device's own property takes precedence over -global."""
    xml = domain(policy("preserve"), given(*words) if words else "", devices=devices)
    assert outcome(xml, record) == "preserve"


def test_a_notifier_in_json_with_single_quotes(domain: Domain, record: CapabilityRecord) -> None:
    """QEMU accepts them, and attributes in double quotes need them."""
    words = given("-device", "{'driver': 'pvpanic'}")
    assert outcome(domain(policy("ignore"), words), record) == "preserve watch-continues"
    translated = to_libvirt(domain(policy("restart"), words), record, libvirt=OLD)
    assert "<panic" not in translated.xml


def test_a_global_property_is_about_libvirts_notifier_too(domain: Domain, record: CapabilityRecord) -> None:
    """The notifier that is added for the policy would not report either."""
    silenced = given("-global", "pvpanic.events=2")
    assert outcome(domain(policy("preserve"), silenced, devices=ISA), record) == "panic-not-reported"
    assert outcome(domain(policy("preserve"), silenced), record) == "panic-not-reported"


@pytest.mark.parametrize(
    "options", ["panic=exit-failure", "shutdown=poweroff", "panic=shutdown,shutdown=poweroff"]
)
def test_ignoring_where_a_panic_ends_qemu(options: str, domain: Domain, record: CapabilityRecord) -> None:
    """libvirt 12.6 sets the action itself; without a notifier nothing ends."""
    words = given("-action", options)
    assert outcome(domain(policy("ignore"), words, devices=ISA), record, OLD) == "panic-ends-emulator"
    assert outcome(domain(policy("ignore"), words, devices=ISA), record, NEW) == "preserve-running"
    assert outcome(domain(policy("ignore"), words), record, OLD) == "-"


@pytest.mark.parametrize(
    "words", [("-no-acpi",), ("-machine", "pc,acpi=off"), ("-M", "acpi=on", "-machine", '{"acpi": false}')]
)
def test_arguments_that_take_acpi_from_the_guest(
    words: tuple[str, ...], domain: Domain, record: CapabilityRecord
) -> None:
    """Guests find the ISA device through ACPI."""
    assert outcome(domain(policy("preserve"), given(*words)), record) == "preserve guest-needs-acpi"
    assert outcome(domain(policy("preserve"), given("-machine", "acpi=on")), record) == "preserve"


def test_what_a_configuration_file_says_is_not_known(domain: Domain, record: CapabilityRecord) -> None:
    xml = domain(policy("preserve"), given("-readconfig", "/etc/x.cfg"))
    assert outcome(xml, record) == "preserve arguments-from-file"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), QemuArguments()),
        (("-action",), QemuArguments(panic_options="")),
        (("-global",), QemuArguments()),
        (("-device", "{"), QemuArguments()),
        (("-device", "[1]"), QemuArguments()),
        (("-device", '{"driver": "pvpanic", "events": true}'), QemuArguments(devices=("pvpanic",))),
        (("-device", "{'driver': 'pvpanic'}"), QemuArguments(devices=("pvpanic",))),
        (("-device", "{'driver': 'e1000', 'id': 'it\\'s \"pvpanic\"'}"), QemuArguments()),
        (
            ("-device", "{'driver': \"pvpanic\", 'events': 0}"),
            QemuArguments(devices=("pvpanic",), event_masks={"pvpanic": 0}),
        ),
        (("-device", '{"driver":' * 100_000), QemuArguments()),
        (("-global", "pvpanic.events=x"), QemuArguments()),
        (("-cpu", "host,hv-relaxed"), QemuArguments(replaces_cpu=True, hyperv=True)),
        (("-cpu", "host,hv_time=on,+x"), QemuArguments(replaces_cpu=True, hyperv=True)),
        (("-cpu", "host,hv-relaxed=off"), QemuArguments(replaces_cpu=True)),
        (("-cpu", "host,hv-crash", "-cpu", "host"), QemuArguments(replaces_cpu=True)),
        (("-action", "panic=none"), QemuArguments(panic_action="run", panic_options="panic=none")),
        (("-action", "panic=none", "-action", "panic=pause"), QemuArguments()),
        (("-action", "shutdown=poweroff", "-no-shutdown"), QemuArguments()),
    ],
)
def test_arguments_are_read_as_qemu_reads_them(words: tuple[str, ...], expected: QemuArguments) -> None:
    assert read_arguments(words) == expected


# Confidential guests


@pytest.mark.parametrize(
    "element",
    [
        *(f"<launchSecurity type='{kind}'/>" for kind in ("sev", "sev-snp", "tdx", "s390-pv")),
        given("-object", "sev-guest,id=sev0,policy=0x1"),
        given("-object", "{'qom-type': 's390-pv-guest', 'id': 'pv0'}"),
    ],
)
def test_a_confidential_guest_is_not_dumped(element: str, domain: Domain, record: CapabilityRecord) -> None:
    """Its memory is encrypted."""
    assert outcome(domain(policy("destroy", True), element), record) == "coredump-of-confidential-guest"
    crash = "<on_crash coredump='yes'>destroy</on_crash>"
    assert outcome(domain(policy("destroy"), crash, element), record) == "coredump-of-confidential-guest"
    assert outcome(domain(policy("destroy"), element), record) == "destroy"


@pytest.mark.parametrize(
    "element",
    [
        *(f"<launchSecurity type='{kind}'/>" for kind in ("sev-snp", "tdx")),
        "<launchSecurity type='sev'><policy>0x0007</policy></launchSecurity>",
        given("-object", "tdx-guest,id=tdx0"),
    ],
)
def test_a_confidential_guest_is_not_destroyed_by_its_fatal_error(
    element: str, domain: Domain, record: CapabilityRecord
) -> None:
    """QEMU reports it as a panic, although the domain has no notifier."""
    for libvirt in (OLD, NEW):
        xml = domain(policy("ignore"), element)
        assert outcome(xml, record, libvirt) == "preserve confidential-guest-reports"
    assert outcome(domain(policy("ignore"), element, devices=ISA), record, NEW) == "preserve-running"
    plain = "<launchSecurity type='sev'><policy>0x0003</policy></launchSecurity>"
    assert outcome(domain(policy("ignore"), plain), record, NEW) == "-"


# Hyper-V


FLAGS = [
    "<features><hyperv mode='passthrough'/></features>",
    "<features><hyperv mode='custom'><relaxed state='on'/></hyperv></features>",
    "<features><hyperv><spinlocks state='on' retries='8191'/></hyperv></features>",
    "<clock offset='utc'><timer name='hypervclock' present='yes'/></clock>",
    given("-cpu", "host,hv-crash"),
]


@pytest.mark.parametrize("flag", FLAGS)
def test_a_guest_with_a_flag_of_hyperv_can_report(flag: str, domain: Domain, recorded: Recorded) -> None:
    """``ignore`` is then kept as for a notifier that the domain names."""
    record = recorded(working=("hyperv",))
    xml = domain(policy("ignore"), flag, acpi=False)
    assert outcome(xml, record, NEW) == "preserve-running hyperv-flag-reports"
    assert outcome(xml, record, OLD) == "preserve hyperv-flag-reports watch-continues"
    assert outcome(domain(policy("ignore"), flag, kind="qemu", acpi=False), record, NEW) == "-"
    assert outcome(domain(policy("ignore"), flag, given("-action", "panic=exit-failure")), record, OLD) == (
        "panic-ends-emulator"
    )


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_of_hyperv_does_not_replace_a_notifier(flag: str, domain: Domain, recorded: Recorded) -> None:
    """A guest that is not told of the notifier does not use it, unless it wants to."""
    xml = domain(policy("preserve"), flag)
    written = to_libvirt(xml, recorded(working=("hyperv",)), libvirt=NEW).xml
    assert written.count("<panic model='isa'/>") == 1


def test_a_kvm_without_hyperv(domain: Domain, recorded: Recorded) -> None:
    """There the flags let nobody report anything."""
    record = recorded(working=("hyperv",))
    (machine,) = record.machines
    absent = {"pvpanic-attachable": Fact("no", "observed", "this KVM has no Hyper-V")}
    notifiers = [
        replace(one, facts={**one.facts, **absent}) if one.model == "hyperv" else one
        for one in machine.notifiers
    ]
    record = replace(record, machines=[replace(machine, notifiers=notifiers)])
    assert outcome(domain(policy("ignore"), FLAGS[0]), record, NEW) == "-"


@pytest.mark.parametrize(
    "flag",
    [
        "<features><hyperv/></features>",
        "<features><hyperv mode='custom'><relaxed state='off'/></hyperv></features>",
        "<clock offset='utc'><timer name='hypervclock' present='no'/></clock>",
        "<clock offset='utc'><timer name='hpet' present='yes'/></clock>",
    ],
)
def test_no_flag_of_hyperv(flag: str, domain: Domain, recorded: Recorded) -> None:
    xml = domain(policy("ignore"), flag, acpi=False)
    assert outcome(xml, recorded(working=("hyperv",)), NEW) == "-"


def test_a_cpu_of_the_domains_own_has_no_flag_of_libvirts(domain: Domain, recorded: Recorded) -> None:
    """QEMU uses the last -cpu only, so the guest does not get hv-crash, which libvirt adds."""
    record, hyperv = recorded(working=("hyperv",)), "<panic model='hyperv'/>"
    cpu = given("-cpu", "host,kvm=off")
    written = to_libvirt(domain(policy("restart"), cpu, devices=hyperv), record, libvirt=OLD).xml
    assert "<panic model='isa'/>" in written
    only_hyperv = recorded(model="hyperv")
    for devices in ("", hyperv):
        xml = domain(policy("restart"), cpu, devices=devices)
        assert outcome(xml, only_hyperv) == "panic-not-reported"
    assert outcome(domain(policy("ignore"), cpu, FLAGS[0], acpi=False), record, NEW) == "-"
    flagged = domain(policy("restart"), given("-cpu", "host,hv-time"), devices=hyperv)
    assert outcome(flagged, record) == "restart"
    found = from_libvirt(domain("<on_crash>restart</on_crash>", cpu, devices=hyperv))
    assert found.policy is not None
    assert found.policy.on_panic == "ignore"
    assert [note.code for note in found.notes] == ["on-crash-without-notifier"]


# Checkstops


@pytest.fixture
def power(recorded: Recorded) -> CapabilityRecord:
    """Return the record of a PowerPC board whose CPU's checkstops QEMU reports, as 10.0 and later do."""
    record = recorded("powernv9", "ppc64", None, working=("pvpanic",))
    (machine,) = record.machines
    facts = machine.facts | {"checkstop-reported": Fact("yes", "observed", "a checkstop: GUEST_PANICKED")}
    return replace(record, machines=[replace(machine, facts=facts)])


@pytest.mark.parametrize("value", ["ignore", "default"])
@pytest.mark.parametrize("libvirt", [OLD, NEW])
def test_a_guest_whose_checkstop_is_reported_is_not_destroyed(
    libvirt: str, value: str, domain: Domain, power: CapabilityRecord
) -> None:
    """libvirt would carry out ``<on_crash>`` on a checkstop, although the domain has no notifier."""
    xml = domain(policy(value), arch="ppc64", machine="powernv9", acpi=False)
    assert outcome(xml, power, libvirt) == "preserve checkstop-reports"
    there = to_libvirt(xml, power, libvirt=libvirt)
    assert to_libvirt(there, power, libvirt=libvirt).xml == there.xml
    assert from_libvirt(there).policy == there.policy


def test_a_checkstop_of_a_guest_with_a_notifier(domain: Domain, power: CapabilityRecord) -> None:
    """The policy is carried out for it as for a panic."""
    words = {"arch": "ppc64", "machine": "powernv9", "acpi": False, "devices": PVPANIC}
    assert outcome(domain(policy("ignore"), **words), power, NEW) == "preserve-running"
    ends = given("-action", "panic=exit-failure")
    xml = domain(policy("ignore"), ends, arch="ppc64", machine="powernv9", acpi=False)
    assert outcome(xml, power, OLD) == "panic-ends-emulator"


# Migration


def test_a_domain_for_several_libvirts(domain: Domain, recorded: Recorded) -> None:
    """What is written holds on all of them, and a refusal names the one that stands in the way."""
    record = recorded(working=("pvpanic",))
    xml = domain(policy("ignore"), devices=ISA)
    both = to_libvirt(xml, record, libvirt=[NEW, OLD])
    assert both.xml == to_libvirt(xml, record, libvirt=OLD).xml
    assert [note.reason.rpartition("(")[2] for note in both.notes] == ["libvirt 9.0.0, by its version)"]
    with pytest.raises(RefusedError, match=r"libvirt 9\.0\.0, by its version: <panic model='pvpanic'>"):
        to_libvirt(domain(policy("ignore"), devices=PVPANIC), record, libvirt=[NEW, OLD, Libvirt.of(NEW)])
    for element, first, second in (
        (given("-action", "panic=exit-failure"), NEW, OLD),
        ("<on_reboot>preserve</on_reboot>", "7.0.0", OLD),
        ("<on_poweroff>restart</on_poweroff><on_reboot>destroy</on_reboot>", "7.0.0", OLD),
    ):
        for value in ("ignore", "restart"):
            with pytest.raises(RefusedError, match=r"; libvirt 9\.0\.0, by its version"):
                to_libvirt(domain(policy(value), element, devices=ISA), record, libvirt=[first, second])
    always = [f"<{name}>destroy</{name}>" for name in ("on_reboot", "on_poweroff")]
    dumped = to_libvirt(domain(policy("destroy", True), *always), record, libvirt=[OLD, "7.0.0"])
    assert "<on_crash>preserve</on_crash>" in dumped.xml  # 7.0 would make no dump
    assert "(libvirt 7.0.0, by its version)" in str(dumped.notes)
    assert Libvirt.common([Libvirt.of(OLD)]) == Libvirt.of(OLD)
    with pytest.raises(ValueError, match="bytes is not a libvirt"):
        to_libvirt(xml, record, libvirt=b"9.0.0")
    with pytest.raises(ValueError, match="no libvirt is named"):
        to_libvirt(xml, record, libvirt=[])
