"""Translating to libvirt and back loses nothing of the policy, and changes nothing else."""

import contextlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from onpanic.probe import CapabilityRecord, RecordError
from onpanic.probe.decision.policy import ON_CRASH, WAITING, Policy
from onpanic.probe.emulator.notifier_models import NotifierModel
from onpanic.shims import DocumentError, RefusedError, from_libvirt, policy_of, to_libvirt
from onpanic.shims.domain_xml.policy_xml import NAMESPACE, policy_elements

Domain = Callable[..., str]
Recorded = Callable[..., CapabilityRecord]

QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
ISA = "<panic model='isa'/>"
Stated = tuple[str, str, Policy, NotifierModel]
VERSIONS = ("1.2.1", "9.0.0", "9.1.0", "12.6.0")

STATED = """\
<domain type='kvm'>
  <name>guest</name>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <on_panic coredump='yes'>restart</on_panic>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/nowhere/qemu</emulator>
  </devices>
</domain>
"""
TRANSLATED = f"""\
<domain type='kvm'>
  <name>guest</name>
  <metadata>
    <onpanic:policy xmlns:onpanic='{NAMESPACE}'>
      <onpanic:on_panic coredump='yes'>restart</onpanic:on_panic>
      <onpanic:on_crash>destroy</onpanic:on_crash>
      <onpanic:wrote on_crash='coredump-restart' panic='isa'/>
    </onpanic:policy>
  </metadata>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <on_crash>coredump-restart</on_crash>
  <devices>
    <emulator>/nowhere/qemu</emulator>
    <panic model='isa'/>
  </devices>
</domain>
"""


OLD = TRANSLATED.replace(NAMESPACE, "https://onpanic.example/xmlns/domain/1")


def codes(translation: Any) -> str:
    return " ".join(note.code for note in translation.notes)


def test_there_and_back(record: CapabilityRecord) -> None:
    there = to_libvirt(STATED, record, libvirt="9.0.0")
    assert there.xml == str(there) == TRANSLATED
    assert there.policy == Policy("restart", coredump=True, on_crash="destroy")
    assert codes(there) == "failed-dump-preserves watch-on-crash"
    back = from_libvirt(there)
    assert (back.xml, back.policy, back.notes) == (STATED, there.policy, ())


def test_bytes_are_bytes(record: CapabilityRecord) -> None:
    there = to_libvirt(STATED.encode(), record, libvirt="9.0.0")
    assert (there.xml, str(there)) == (TRANSLATED.encode(), TRANSLATED)
    assert from_libvirt(there).xml == STATED.encode()


GRACE = STATED.replace("coredump='yes'>restart", "coredump='yes' grace='30'>restart")


@pytest.mark.parametrize("version", ["9.0.0", "12.6.0"])
def test_a_grace_period_there_and_back(version: str, record: CapabilityRecord) -> None:
    """The metadata keep it, and libvirt does nothing itself."""
    there = to_libvirt(GRACE, record, libvirt=version)
    waiting = TRANSLATED.replace("coredump='yes'>", "coredump='yes' grace='30'>")
    assert there.xml == waiting.replace("coredump-restart", "preserve")
    assert codes(there) == "watch-waits watch-dumps watch-on-crash"
    back = from_libvirt(there)
    assert (back.xml, back.policy, back.notes) == (GRACE, there.policy, ())


@pytest.mark.parametrize(("grace", "on_crash"), [("0", "coredump-restart"), ("5.0", "preserve")])
def test_a_translation_is_replaced_if_only_the_grace_period_is_another(
    grace: str, on_crash: str, record: CapabilityRecord
) -> None:
    there = to_libvirt(GRACE, record, libvirt="9.0.0").xml
    again = to_libvirt(from_libvirt(there).xml.replace("'30'", f"'{grace}'"), record, libvirt="9.0.0").xml
    assert f"grace='{float(grace):g}'" in again
    assert f"<on_crash>{on_crash}</on_crash>" in again
    stated_again = there.replace(
        "<on_crash>preserve", f"<on_panic coredump='yes' grace='{grace}'>restart</on_panic><on_crash>preserve"
    )
    assert policy_of(to_libvirt(stated_again, record, libvirt="9.0.0").xml) == policy_of(again)


def test_an_on_crash_that_does_not_wait_is_noted(record: CapabilityRecord) -> None:
    """The policy stands, and the next translation restores <on_crash>."""
    there = to_libvirt(GRACE, record, libvirt="9.0.0").xml
    changed = there.replace("<on_crash>preserve", "<on_crash>restart")
    assert codes(from_libvirt(changed)) == "on-crash-drifted"
    again = to_libvirt(changed, record, libvirt="9.0.0")
    assert again.xml == there
    assert codes(again) == "on-crash-drifted watch-waits watch-dumps watch-on-crash"


def test_a_restart_that_is_no_reset_waits_too(domain: Domain, record: CapabilityRecord) -> None:
    xml = domain("<on_reboot>destroy</on_reboot>", "<on_panic grace='30'>restart</on_panic>")
    there = to_libvirt(xml, record, libvirt="9.0.0")
    assert "<on_crash>preserve</on_crash>" in there.xml
    assert codes(there) == "watch-waits watch-restarts"


def test_a_domain_that_states_nothing_comes_back_as_it_is(domain: Domain) -> None:
    """The document is returned as it is, and no emulator is started."""
    xml = domain("<on_crash>restart</on_crash>", devices=ISA)
    found = to_libvirt(xml, libvirt="9.0.0")
    assert found.xml is xml
    assert (found.policy, found.notes) == (None, ())


# Documents of version 0.1.0, whose namespace was another one


def test_the_old_namespace_is_read() -> None:
    assert policy_of(OLD) == policy_of(TRANSLATED)
    back = from_libvirt(OLD)
    assert (back.xml, back.notes) == (STATED, ())


def test_the_old_namespace_is_replaced_by_the_new_one(record: CapabilityRecord) -> None:
    assert to_libvirt(OLD, record, libvirt="9.0.0").xml == TRANSLATED
    assert to_libvirt(TRANSLATED, record, libvirt="9.0.0").xml == TRANSLATED


def test_changes_since_an_old_translation_are_noted() -> None:
    changed = OLD.replace("<on_crash>coredump-restart", "<on_crash>preserve").replace(ISA, "")
    assert codes(from_libvirt(changed)) == "notifier-drifted on-crash-drifted"


def test_a_policy_in_both_namespaces_is_an_error() -> None:
    start, end = OLD.index("    <onpanic:policy"), OLD.index("  </metadata>")
    both = TRANSLATED.replace("  </metadata>", OLD[start:end] + "  </metadata>")
    with pytest.raises(DocumentError, match="twice"):
        from_libvirt(both)


def test_the_namespace_needs_no_domain_name() -> None:
    """The namespace is in users' domains, so it must never change."""
    assert NAMESPACE == "urn:uuid:ae79e4ab-53c8-4ed2-aab8-40f241372412"


# Any domain

POLICIES = st.builds(
    lambda on_panic, coredump, on_crash, on_crash_coredump, grace: Policy(
        on_panic,
        coredump and on_panic not in ("default", "ignore"),
        on_crash,
        bool(on_crash) and on_crash_coredump,
        grace if on_panic in WAITING else None,
    ),
    st.sampled_from(["default", "ignore", "restart", "destroy", "preserve", "rename-restart", "pause"]),
    st.booleans(),
    st.sampled_from([None, *ON_CRASH]),
    st.booleans(),
    st.sampled_from([None, None, 0.0, 0.1, 30.0]),
)
PARTS = {
    "name": ["<name>guest</name>", "<name>guest</name><uuid/><title>a &lt; b</title>"],
    "metadata": [
        "",
        "<metadata/>",
        "<metadata><a:a xmlns:a='urn:a'><on_crash/></a:a></metadata>",
    ],
    "os": ["<os><type arch='x86_64' machine='pc'>hvm</type></os>"],
    "features": ["", "<features><acpi/></features>", "<!-- <on_panic>x</on_panic> -->"],
    "clock": ["", "<clock offset='utc'/>", "<on_poweroff>destroy</on_poweroff>"],
    "devices": [
        "",
        "<devices/>",
        f"<devices>{ISA}</devices>",
        "<devices><disk>\n</disk></devices>",
    ],
    "end": [
        "",
        f"<q:commandline xmlns:q='{QEMU}'><q:env name='a'/></q:commandline>",
        f"<commandline xmlns='{QEMU}'><arg value='-x'/></commandline>",
    ],
}
BEHIND = ["", "", " ", "\t<!-- why -->", "<!--\n<on_crash> -->"]
BREAKS = ["", "\n", "\n  ", "\n\t", "\r\n    ", "\r "]


@st.composite
def domains(draw: st.DrawFn) -> tuple[str, str, Policy, NotifierModel]:
    """Draw a domain, its <on_panic>, its policy, and the notifier that it can have."""
    parts = [draw(st.sampled_from(choices)) for choices in PARTS.values()]
    parts = [part + draw(st.sampled_from(BEHIND)) for part in parts if part]
    policy = draw(POLICIES)
    for element in policy_elements(policy).values():
        parts.insert(draw(st.integers(0, len(parts))), element)
    line = draw(st.sampled_from(BREAKS))
    xml = "".join(["<domain type='kvm'>", *(line + part for part in parts), line[:1], "</domain>\n"])
    model: NotifierModel = "isa" if ISA in xml else draw(st.sampled_from(["isa", "pvpanic"]))
    return xml, line + policy_elements(policy)["on_panic"], policy, model


@given(domains(), st.sampled_from(VERSIONS))
def test_the_way_back_is_exact(recorded: Recorded, stated: Stated, version: str) -> None:
    """The policy is the same, and the document differs only in the place of <on_panic>."""
    xml, on_panic, policy, model = stated
    record = recorded(model=model)
    there = to_libvirt(xml, record, libvirt=version)
    back = from_libvirt(there)
    assert there.policy == back.policy == policy_of(there.xml) == policy_of(back.xml) == policy
    assert back.notes == ()
    assert back.xml.count(on_panic) == xml.count(on_panic) == 1
    assert back.xml.replace(on_panic, "") == xml.replace(on_panic, "")
    assert from_libvirt(to_libvirt(xml.encode(), record, libvirt=version)).xml == back.xml.encode()


@given(domains(), st.sampled_from(VERSIONS), st.sampled_from(VERSIONS))
def test_translating_again_is_translating_once(
    recorded: Recorded, stated: Stated, first: str, second: str
) -> None:
    """The result does not depend on an earlier translation for another libvirt, except for white space."""
    record = recorded(model=stated[3])
    once = to_libvirt(stated[0], record, libvirt=second)
    twice = to_libvirt(to_libvirt(stated[0], record, libvirt=first), record, libvirt=second)
    assert (twice.policy, twice.notes) == (once.policy, once.notes)
    assert re.sub(r"\s+<", "<", twice.xml) == re.sub(r"\s+<", "<", once.xml)


def printed(xml: str) -> str:
    """Return a domain about as libvirt prints it, with its quotes, defaults and additions to devices."""
    root = etree.fromstring(xml)
    for panic in root.iterfind("devices/panic"):
        panic[:] = [
            etree.Element("address", type="isa", iobase="0x505"),
            etree.Element("alias", name="panic0"),
        ]
    for name in ("on_panic", "on_crash"):
        for element in root.findall(name):
            if name == "on_panic" or not element.text:
                root.remove(element)
    if root.find("on_crash") is None:
        etree.SubElement(root, "on_crash").text = "destroy"
    namespaces = {"qemu": QEMU} if root.find(f"{{{QEMU}}}commandline") is not None else {}
    whole = etree.Element(
        "domain", nsmap=namespaces, attrib={str(name): str(value) for name, value in root.items()}
    )
    whole.extend(root)
    etree.cleanup_namespaces(whole, keep_ns_prefixes=["qemu"])
    return etree.tostring(whole, encoding="unicode")


@given(domains(), st.sampled_from(VERSIONS), st.sampled_from(["onpanic", "p"]))
def test_libvirt_may_write_it_in_its_own_way(
    recorded: Recorded, stated: Stated, version: str, prefix: str
) -> None:
    xml, _, policy, model = stated
    record = recorded(model=model)
    there = to_libvirt(xml, record, libvirt=version).xml
    back = from_libvirt(printed(there).replace("onpanic:", f"{prefix}:").replace(":onpanic=", f":{prefix}="))
    assert (back.policy, back.notes, policy_of(back.xml)) == (policy, (), policy)
    assert NAMESPACE not in back.xml
    assert back.xml.count("<panic") == xml.count("<panic")
    assert back.xml.count("arg ") == xml.count("arg ")


# Panic notifiers: those that are there, and those that are added

S390 = {"arch": "s390x", "machine": "s390-ccw-virtio"}
PSERIES = {"arch": "ppc64le", "machine": "pseries-7.2"}
VIRT = {"arch": "aarch64", "machine": "virt", "acpi": False}
OTHERS: dict[str, tuple[str, str, str | None]] = {
    "x86_64": ("pc", "x86_64", "isa"),
    "i686": ("pc", "i386", "isa"),
    "s390x": ("s390-ccw-virtio", "s390x", "s390"),
    "ppc64le": ("pseries-7.2", "ppc64", "pseries"),
    "aarch64": ("virt", "aarch64", "pvpanic"),
}
ADDRESSED = "<panic><address type='isa' iobase='0x505'/></panic>"
BY_COMMAND = "<x/></devices>\n  <q:commandline xmlns:q='{}'>{}</q:commandline><devices>".format(
    QEMU, "<q:arg value='-device'/><q:arg value='{}'/>"
)


@pytest.mark.parametrize(
    ("machine", "devices", "version", "result"),
    [
        ({}, "<x/>", "9.0.0", [ISA]),
        ({}, "<x/>", "1.2.1", [ADDRESSED]),
        ({}, "<x/>", "1.2.0", "libvirt-too-old"),
        ({"arch": "i686"}, "<x/>", "9.0.0", [ISA]),
        ({}, ISA, "9.0.0", [ISA]),
        ({}, "<panic/>", "9.0.0", ["<panic/>"]),
        ({}, ADDRESSED, "9.0.0", [ADDRESSED]),
        # What is known about one notifier is not known about another one
        ({}, f"{ISA}<panic model='hyperv'/>", "9.0.0", "probe-inconclusive"),
        ({}, "<panic model='hyperv'/>", "9.0.0", "probe-inconclusive"),
        # Only KVM implements Hyper-V's
        ({"kind": "qemu"}, "<panic model='hyperv'/>", "9.0.0", ["<panic model='hyperv'/>", ISA]),
        ({}, "<panic model='pvpanic'/>", "9.1.0", "probe-inconclusive"),
        # What libvirt would refuse, or drop without a word
        (VIRT, ISA, "9.1.0", "no-such-panic-model"),
        ({}, "<panic model='s390'/>", "9.0.0", "no-such-panic-model"),
        ({}, "<panic model='bogus'/>", "9.0.0", "no-such-panic-model"),
        ({}, "<panic model='pvpanic'/>", "9.0.0", "libvirt-too-old"),
        ({}, "<panic model='hyperv'/>", "1.2.1", "libvirt-too-old"),
        ({}, "<panic/>", "1.2.0", "libvirt-too-old"),
        ({}, "<panic/>", "1.2.1", ["<panic/>"]),
        ({}, "<panic model='default'/>", "9.0.0", ["<panic model='default'/>"]),
        # By the command line
        ({}, BY_COMMAND.format("pvpanic"), "9.0.0", []),
        ({}, BY_COMMAND.format("pvpanic,ioport=1285"), "9.0.0", []),
        ({}, BY_COMMAND.format("driver=isa-pvpanic"), "9.0.0", []),
        ({}, BY_COMMAND.format("id=a,driver=pvpanic"), "9.0.0", []),
        ({}, BY_COMMAND.format('{"driver": "pvpanic"}'), "9.0.0", []),
        ({}, BY_COMMAND.format('{"driver": "pv'), "9.0.0", [ISA]),
        ({}, BY_COMMAND.format("pvpanic-mmio"), "9.0.0", [ISA]),
        ({}, BY_COMMAND.format("pvpanic").replace("-device", "-pvpanic"), "9.0.0", [ISA]),
        # The PCI device, which libvirt knows since 9.1
        (VIRT, "<x/>", "9.1.0", ["<panic model='pvpanic'/>"]),
        (VIRT, "<x/>", "9.0.0", []),
        (VIRT, BY_COMMAND.format("pvpanic-pci"), "9.1.0", []),
        (VIRT, "<panic/>", "9.1.0", ["<panic/>"]),
        # Notifiers that the architecture brings
        (S390, "<x/>", "9.0.0", []),
        (S390, "<panic model='s390'/>", "9.0.0", ["<panic model='s390'/>"]),
        (PSERIES, "<x/>", "9.0.0", []),
        (PSERIES, "<panic model='pseries'/>", "9.0.0", ["<panic model='pseries'/>"]),
    ],
)
def test_there_is_one_notifier(
    machine: dict[str, Any],
    devices: str,
    version: str,
    result: list[str] | str,
    domain: Domain,
    recorded: Recorded,
) -> None:
    xml = domain("<on_panic>restart</on_panic>", devices=devices.replace('"', "&quot;"), **machine)
    record = recorded(*OTHERS[machine.get("arch", "x86_64")])
    if isinstance(result, str):
        with pytest.raises(RefusedError) as caught:
            to_libvirt(xml, record, libvirt=version)
        assert caught.value.decision.code == result
        return
    there = to_libvirt(xml, record, libvirt=version)
    panics = [
        re.sub(r">\s+<", "><", panic)
        for panic in re.findall(r"<panic\b(?:.*?/>)(?:\s*</panic>)?", there.xml, re.DOTALL)
    ]
    assert panics == result
    assert re.sub(r"\s", "", from_libvirt(there).xml) == re.sub(r"\s", "", xml)


@pytest.mark.parametrize("machine", [S390, PSERIES, {"arch": "ppc64le", "machine": ""}])
def test_an_architectures_notifier_is_not_ignored_by_leaving_it_out(
    machine: dict[str, Any], domain: Domain, recorded: Recorded
) -> None:
    """An architecture's notifier cannot be left out, whether or not the machine type is named."""
    xml = domain("<on_panic>ignore</on_panic>", **machine).replace(" machine=''", "")
    found = to_libvirt(xml, recorded(*OTHERS[machine["arch"]]), libvirt="9.0.0")
    assert "<on_crash>preserve</on_crash>" in found.xml
    assert codes(found) == "watch-continues"


@pytest.mark.parametrize("name", ["qemu-1.5.3", "qemu-1.6.0"])
def test_a_notifier_that_stops_for_good_is_not_ignored(name: str, domain: Domain, recorded: Recorded) -> None:
    """The guest could not be continued, so ``ignore`` is refused."""
    with pytest.raises(RefusedError):
        to_libvirt(domain("<on_panic>ignore</on_panic>", devices=ISA), recorded(name=name), libvirt="9.0.0")


MOVED = "<{0}arg value='-global'/><{0}arg value='pvpanic.ioport=0'/>"


@pytest.mark.parametrize(
    ("end", "translated"),
    [
        ("", f"<qemu:commandline xmlns:qemu='{QEMU}'>{MOVED.format('qemu:')}</qemu:commandline>"),
        *(
            (
                f"<{p}commandline {ns}='{QEMU}'><{p}arg value='-s'/>{{}}</{p}commandline>",
                f"<{p}commandline {ns}='{QEMU}'><{p}arg value='-s'/>{{}}{MOVED.format(p)}</{p}commandline>",
            )
            for p, ns in (("qemu:", "xmlns:qemu"), ("q:", "xmlns:q"), ("", "xmlns"))
        ),
        *[(f"<qemu:commandline xmlns:qemu='{QEMU}'>{MOVED.format('qemu:')}</qemu:commandline>",) * 2],
    ],
)
def test_a_builtin_notifier_is_moved_away(end: str, translated: str, recorded: Recorded) -> None:
    """QEMU 1.5's builtin is moved away, and the user's own arguments stay."""
    start = "<domain type='kvm'><name>guest</name>"
    stated = f"{start}<on_panic>ignore</on_panic><on_crash>destroy</on_crash>"
    there = to_libvirt(
        f"{stated}{end.format('<!-- x -->')}</domain>", recorded(name="qemu-1.5.3"), libvirt="9.0.0"
    )
    assert there.xml.endswith(f"<on_crash>destroy</on_crash>{translated.format('<!-- x -->')}</domain>")
    assert codes(there) == "builtin-moved-away watch-on-crash"
    assert from_libvirt(there).xml == f"{stated}{end.format('<!-- x -->')}</domain>"
    with pytest.raises(RefusedError) as caught:
        to_libvirt(
            there.xml.replace(start, f"{start}<on_panic>pause</on_panic>"), recorded(name="qemu-1.5.3")
        )
    assert caught.value.decision.code == "builtin-panic-device"


def test_arguments_that_were_moved_apart_are_removed(recorded: Recorded) -> None:
    """Only the arguments are removed, not the elements that they are in now."""
    xml = "<domain type='kvm'><name>guest</name><on_panic>ignore</on_panic></domain>"
    there = to_libvirt(xml, recorded(name="qemu-1.5.3"), libvirt="9.0.0").xml
    apart = there.replace(
        "<qemu:arg value='pvpanic", "</qemu:commandline><x/><qemu:commandline><qemu:arg value='pvpanic"
    )
    declared = f"xmlns:qemu='{QEMU}'"
    apart = apart.replace(f" {declared}", "").replace("<domain", f"<domain {declared}")
    back = from_libvirt(apart).xml
    assert "qemu:arg" not in back
    assert back.count("<qemu:commandline></qemu:commandline>") == 2


PCI_ADDRESS = "<address type='pci' domain='0x0000' bus='0x01' slot='0x01' function='0x0'/>"


@pytest.mark.parametrize("alias", ["", "<alias name='panic0'/>"])
def test_a_notifier_is_removed_with_what_libvirt_has_added(
    alias: str, domain: Domain, recorded: Recorded
) -> None:
    """Another policy that acts keeps its PCI address, and one that does not act needs no notifier."""
    record = recorded(*OTHERS["aarch64"])
    stated = domain("<on_panic>restart</on_panic>", **VIRT)
    there = to_libvirt(stated, record, libvirt="9.1.0").xml
    defined = there.replace(
        "<panic model='pvpanic'/>", f"<panic model='pvpanic'>\n  {alias}{PCI_ADDRESS}</panic>"
    )
    assert to_libvirt(defined, record, libvirt="9.1.0").xml == defined
    assert from_libvirt(defined).xml == stated

    def changed(xml: str, value: str) -> str:
        edited = xml.replace("</os>", f"</os><on_panic>{value}</on_panic>")
        return to_libvirt(edited, record, libvirt="9.1.0").xml

    destroy = changed(defined, "destroy")
    assert destroy.count("<panic ") == destroy.count(PCI_ADDRESS) == 1
    for xml in (defined, destroy):
        for value in ("ignore", "default"):
            found = changed(xml, value)
            assert "<panic" not in found
            assert "<on_crash>preserve" not in found
    assert from_libvirt(changed(changed(destroy, "ignore"), "restart")).xml.count("<panic") == 0


@pytest.mark.parametrize(
    ("panic", "is_ours"),
    [
        ("<panic model='isa'/>", True),
        ("<panic/>", True),
        ("<panic model='isa'></panic>", True),
        ("<panic model='isa'><alias name='panic0'/></panic>", True),
        ("<panic model='isa'><alias name='panic0'/><address type='isa' iobase='0x505'/></panic>", True),
        ("<panic model='isa'><address type='isa' iobase='505'/></panic>", True),
        ("<panic model='isa'><address type='isa'/></panic>", True),
        ("<panic model='isa'><address type='isa' iobase='0x506'/></panic>", False),
        ("<panic model='isa'><address type='isa' iobase='x'/></panic>", False),
        ("<panic model='isa'><boot order='1'/></panic>", False),
        ("<panic model='isa'><!-- mine --></panic>", False),
        ("<panic model='pvpanic'/>", False),
    ],
)
def test_what_a_user_made_of_the_notifier_stays(
    panic: str, is_ours: bool, domain: Domain, record: CapabilityRecord
) -> None:
    stated = domain("<on_panic>restart</on_panic>")
    there = to_libvirt(stated, record, libvirt="9.1.0").xml
    back = from_libvirt(there.replace("<panic model='isa'/>", panic)).xml
    assert (back == stated) == is_ours
    assert (panic in back) != is_ours


# Whose record it is


@pytest.mark.parametrize(
    ("machine", "record", "error"),
    [
        ({}, ("virt", "aarch64", "pvpanic"), "another architecture"),
        (VIRT, ("pc", "x86_64", "isa"), "another architecture"),
        ({"machine": "q35"}, ("pc", "x86_64", "isa"), "no machine type 'q35'"),
        ({}, ("q35", "x86_64", "isa"), "no machine type 'pc'"),
    ],
)
def test_a_record_of_something_else(
    machine: dict[str, Any], record: tuple[str, ...], error: str, domain: Domain, recorded: Recorded
) -> None:
    for value in ("ignore", "pause"):
        with pytest.raises((RefusedError, RecordError), match=error):
            to_libvirt(domain(f"<on_panic>{value}</on_panic>", **machine), recorded(*record), libvirt="9.0.0")


@pytest.mark.parametrize(
    ("kind", "line", "asked"),
    [
        ("kvm", "<on_panic>ignore</on_panic>", 1),
        ("kvm", "<on_panic>pause</on_panic>", 1),
        ("kvm", "<on_panic>crash</on_panic>", 0),
        ("kvm", "<on_panic>halt</on_panic>", 0),
        ("kvm", "<on_panic coredump='yes'>ignore</on_panic>", 0),
        ("kvm", "<on_crash>restart</on_crash>", 0),
        ("xen", "<on_panic>crash</on_panic>", 1),
        ("xen", "<on_panic>pause</on_panic>", 0),
        ("lxc", "<on_panic>ignore</on_panic>", 0),
    ],
)
def test_an_emulator_is_asked_only_if_it_matters(
    kind: str, line: str, asked: int, domain: Domain, record: CapabilityRecord
) -> None:
    machines = []

    def ask(machine: Any) -> CapabilityRecord:
        machines.append(machine)
        return record

    with contextlib.suppress(RefusedError):
        to_libvirt(domain(line, kind=kind), ask, libvirt="9.0.0")
    assert [(m.arch, m.machine, m.emulator) for m in machines] == [("x86_64", "pc", "/nowhere/qemu")] * asked


# Translated domains that were edited


@pytest.mark.parametrize(
    ("old", "new", "policy", "notes"),
    [
        # <on_crash> was changed: by virsh edit, or by virDomainSetLifecycleAction
        ("<on_crash>coredump-restart<", "<on_crash>destroy<", "restart destroy", "on-crash-drifted"),
        ("<on_crash>coredump-restart<", "<on_crash>preserve-running<", "restart destroy", "on-crash-drifted"),
        ("<on_crash>coredump-restart</on_crash>", "<on_crash/>", "restart destroy", "on-crash-drifted"),
        ("<on_crash>coredump-restart<", "<on_crash> coredump-<!-- x -->restart <", "restart destroy", ""),
        # A policy was stated once more: that is the one, with the <on_crash> of before unless that was, too
        ("<on_crash>coredump-", "<on_panic>pause</on_panic><on_crash>coredump-", "pause destroy", ""),
        (
            "<on_crash>coredump-restart",
            "<on_panic>pause</on_panic><on_crash>preserve",
            "pause preserve",
            "",
        ),
        # The notifier was taken out, or the note of what was written was
        (f"    {ISA}\n", "", "restart destroy", "notifier-drifted"),
        # The attribute that libvirt does not have is the user's
        (
            "<on_crash>coredump-",
            "<on_panic>pause</on_panic><on_crash coredump='yes'>coredump-",
            "pause restart",
            "",
        ),
        ("<on_crash>core", "<on_crash coredump='yes'>core", "restart destroy", "on-crash-drifted"),
        ("<onpanic:wrote", "<onpanic:other", "restart destroy", "on-crash-drifted"),
    ],
)
def test_a_translated_domain_was_edited(
    old: str, new: str, policy: str, notes: str, record: CapabilityRecord
) -> None:
    assert old in TRANSLATED
    back = from_libvirt(TRANSLATED.replace(old, new))
    assert back.policy is not None
    assert f"{back.policy.on_panic} {back.policy.on_crash}" == policy
    assert policy_of(back.xml) == back.policy
    assert codes(back) == notes
    again = to_libvirt(TRANSLATED.replace(old, new), record, libvirt="9.0.0")
    assert again.policy == back.policy
    assert codes(again).startswith(notes)
    assert from_libvirt(again).policy == back.policy


@pytest.mark.parametrize(
    ("action", "version", "refused"),
    [
        ("panic=none", "9.0.0", "panic-does-not-stop-guest"),
        ("panic=none -action shutdown=poweroff", "9.0.0", "panic-does-not-stop-guest"),
        ("panic=none", "12.6.0", ""),  # later ones set the action themselves
        ("shutdown=poweroff", "12.6.0", ""),
        ("panic=exit-failure", "9.0.0", "panic-ends-emulator"),
        ("panic=exit-failure,shutdown=poweroff", "9.0.0", "panic-ends-emulator"),
        ("panic=pause", "9.0.0", ""),
        ("panic=pause,shutdown=poweroff", "9.0.0", ""),
        ("panic=shutdown", "9.0.0", ""),  # libvirt's -no-shutdown makes a pause of it
        ("panic=shutdown,shutdown=poweroff", "9.0.0", "panic-ends-emulator"),
        ("shutdown=poweroff", "9.0.0", "panic-ends-emulator"),  # QEMU's default is panic=shutdown
        ("shutdown=poweroff -no-shutdown", "9.0.0", ""),
        ("shutdown=poweroff -action shutdown=pause", "9.0.0", ""),
        ("reboot=shutdown", "9.0.0", ""),
        ("panic=other", "9.0.0", "probe-inconclusive"),
    ],
)
def test_arguments_that_defeat_the_policy(
    action: str, version: str, refused: str, domain: Domain, record: CapabilityRecord
) -> None:
    """Each combination of arguments is judged by what QEMU 7.2 was observed to do with it."""
    arguments = "".join(f"<q:arg value='{word}'/>" for word in f"-action {action}".split())
    own = f"<q:commandline xmlns:q='{QEMU}'>{arguments}</q:commandline>"
    assert to_libvirt(domain("<on_panic>ignore</on_panic>", own), record, libvirt=version).policy
    xml = domain("<on_panic>preserve</on_panic>", own)
    if refused:
        with pytest.raises(RefusedError) as caught:
            to_libvirt(xml, record, libvirt=version)
        assert caught.value.decision.code == refused
        assert "<qemu:commandline> has -action " in caught.value.decision.reason
    else:
        assert from_libvirt(to_libvirt(xml, record, libvirt=version)).policy == Policy("preserve")


@pytest.mark.parametrize(
    "end",
    [
        "<metadata a='1'/>",
        "<on_crash/>",
        "<devices>\n </devices>",
        "<devices>\r\n</devices>",
        "<devices b=''/>",
    ],
)
def test_what_was_empty_is_empty_again(end: str, record: CapabilityRecord) -> None:
    """The attributes and the line breaks of an empty element stay."""
    value = "ignore" if "on_crash" in end else "restart"
    xml = f"<domain type='kvm'>\n<name>a</name>\n<on_panic>{value}</on_panic>\n{end}\n</domain>"
    back = from_libvirt(to_libvirt(xml, record, libvirt="9.0.0")).xml
    assert sorted(back.splitlines()) == sorted(xml.splitlines())


@pytest.mark.parametrize("lines", [["<on_crash/>"], ["<on_crash></on_crash>"], []])
def test_an_empty_on_crash_is_none(lines: list[str], domain: Domain, record: CapabilityRecord) -> None:
    """libvirt treats an empty <on_crash> like none, so nothing is noted."""
    there = to_libvirt(domain("<on_panic>ignore</on_panic>", *lines), record, libvirt="9.0.0")
    assert from_libvirt(there).notes == ()


@pytest.mark.parametrize("word", ["a&lt;b", "&lt;/on_panic>", "&amp;amp;", "<![CDATA[<x/>]]>", "halt"])
@pytest.mark.parametrize(
    "xml",
    [
        "<metadata><p:policy xmlns:p='{}'><p:on_panic>{{}}</p:on_panic></p:policy></metadata>",
        "<metadata><p:policy xmlns:p='{}'><p:on_panic/><p:on_crash>{{}}</p:on_crash></p:policy></metadata>",
        f"<devices>{ISA}</devices><on_crash>{{{{}}}}</on_crash>",
    ],
)
def test_any_text_as_a_value_is_harmless(xml: str, word: str) -> None:
    """Any text as a value is preserved, or is an error."""
    try:
        back = from_libvirt(f"<domain type='kvm'>{xml.format(NAMESPACE).format(word)}</domain>")
    except (DocumentError, RefusedError) as error:
        assert "attribute" not in str(error)  # noqa: PT017
        assert "well-formed" not in str(error)  # noqa: PT017
    else:
        assert policy_of(back.xml) == back.policy
