"""Domain capabilities list the models of <panic> that work, and the accepted values of <on_panic>."""

from collections.abc import Callable

import pytest
from lxml import etree
from msgspec.structs import replace

from onpanic.probe import CapabilityRecord
from onpanic.probe.facts import Answer, Fact
from onpanic.shims.translation.domain_capabilities import with_on_panic

# As libvirt 11.3 prints them; older ones have no <panic>
CAPABILITIES = """\
<domainCapabilities>
  <path>/usr/bin/qemu-system-x86_64</path>
  <domain>{kind}</domain>
  <machine>pc</machine>
  <arch>x86_64</arch>
  <devices>
    <rng supported='yes'>
      <enum name='model'>
        <value>virtio</value>
      </enum>
    </rng>
    {panic}
    <console supported='yes'/>
  </devices>
</domainCapabilities>
"""
PANIC = """\
<panic supported='yes'>
      <enum name='model'>
        <value>isa</value>
        <value>hyperv</value>
        <value>pvpanic</value>
      </enum>
    </panic>"""


def capabilities(kind: str = "kvm", panic: str = PANIC) -> str:
    return CAPABILITIES.format(kind=kind, panic=panic)


def reporting(record: CapabilityRecord, **answers: Answer) -> CapabilityRecord:
    """Return a record in which notifiers are known to report a panic, or not."""
    (machine,) = record.machines
    notifiers = [
        replace(
            old, facts=old.facts | {"panic-reported": Fact(answers.get(old.model, "unknown"), "observed")}
        )
        for old in machine.notifiers
    ]
    facts = machine.facts | notifiers[0].facts
    return replace(record, machines=[replace(machine, facts=facts, notifiers=notifiers)])


def models(xml: str) -> list[str | None]:
    return [value.text for value in etree.fromstring(xml).iterfind("devices/panic/enum/value")]


@pytest.mark.parametrize(
    ("kind", "answers", "left"),
    [
        ("kvm", {"isa": "yes", "hyperv": "yes", "pvpanic": "yes"}, ["isa", "hyperv", "pvpanic"]),
        ("kvm", {"isa": "yes", "hyperv": "no", "pvpanic": "yes"}, ["isa", "pvpanic"]),
        ("kvm", {"isa": "no", "hyperv": "yes", "pvpanic": "no"}, ["hyperv"]),
        # What is not known stays
        ("kvm", {"isa": "yes"}, ["isa", "hyperv", "pvpanic"]),
        # TCG accepts the flag, and ignores it
        ("qemu", {"isa": "yes", "hyperv": "yes", "pvpanic": "yes"}, ["isa", "pvpanic"]),
        ("qemu", {"isa": "yes"}, ["isa", "pvpanic"]),
        ("hvf", {"isa": "yes"}, ["isa", "pvpanic"]),
    ],
)
def test_models_that_report_nothing_are_removed(
    kind: str, answers: dict[str, Answer], left: list[str], record: CapabilityRecord
) -> None:
    """The rest of what libvirt says stays as it is."""
    found = with_on_panic(capabilities(kind), reporting(record, **answers))
    assert models(found) == left
    expected = capabilities(kind)
    for model in {"isa", "hyperv", "pvpanic"} - set(left):
        expected = expected.replace(f"        <value>{model}</value>\n", "")
    start, end = found.index("  <on_panic"), found.index("</on_panic>\n") + len("</on_panic>\n")
    assert found[:start] + found[end:] == expected


def test_no_model_at_all(record: CapabilityRecord) -> None:
    none = reporting(record, isa="no", hyperv="no", pvpanic="no")
    assert "    <panic supported='no'/>\n    <console" in with_on_panic(capabilities(), none)


@pytest.mark.parametrize("panic", ["<panic supported='no'/>", "<panic supported='yes'/>", ""])
def test_what_libvirt_does_not_list_is_not_added(panic: str, record: CapabilityRecord) -> None:
    """Releases before 11.0 have no <panic>, which does not mean that there is none."""
    found = with_on_panic(capabilities(panic=panic), reporting(record, isa="yes", hyperv="no"))
    assert f"    {panic}\n    <console" in found


def test_a_model_that_onpanic_does_not_know_stays(record: CapabilityRecord) -> None:
    newer = PANIC.replace("hyperv", "other")
    assert models(with_on_panic(capabilities(panic=newer), record)) == ["isa", "other", "pvpanic"]


def test_a_type_that_the_emulator_lacks_is_removed(record: CapabilityRecord) -> None:
    """libvirt adds the model isa as pvpanic; an emulator may have the device under another name."""
    lacking = replace(record, facts=record.facts | {"pvpanic-type": Fact("no", "introspected")})
    assert models(with_on_panic(capabilities(), lacking)) == ["hyperv", "pvpanic"]


@pytest.mark.parametrize(("kind", "acts"), [("kvm", True), ("qemu", False)])
def test_the_values_are_those_that_such_a_domain_can_have(
    kind: str, acts: bool, recorded: Callable[..., CapabilityRecord]
) -> None:
    """The same emulator promises less without KVM, where only hyperv works."""
    found = with_on_panic(capabilities(kind), recorded(model="hyperv"))
    listed = {value.text for value in etree.fromstring(found).iterfind("on_panic/enum/value")}
    assert ("restart" in listed, "ignore" in listed) == (acts, True)
