"""A PCI slot is taken if libvirt or QEMU reads it as that slot, however it is written."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from onpanic.shims import to_libvirt
from onpanic.shims.domain_xml.pci_slots import c_number, free_slot

ADDRESS = (
    "<domain><devices><disk><address type='pci' domain='{}' bus='{}' slot='{}'/></disk></devices></domain>"
)

# Numbers as libvirt reads them, with its answer
NUMBERS = [
    ("16", 16),
    ("0x10", 16),
    ("0X10", 16),
    ("0x0010", 16),
    ("020", 16),
    ("00020", 16),
    (" 16", 16),
    ("+16", 16),
    ("0", 0),
    ("00", 0),
    ("16 ", None),
    ("08", None),
    ("0b10000", None),
    ("0o20", None),
    ("1_6", None),
    ("0x1_0", None),
    ("-16", None),
    ("0x", None),
    ("", None),
    ("x", None),
    ("\u0661\u0666", None),
    ("9" * 5000, None),
]


@pytest.mark.parametrize(("text", "number"), NUMBERS, ids=lambda value: repr(value)[:20])
def test_numbers_are_read_in_c_notation(text: str, number: int | None) -> None:
    assert c_number(text) == number


@given(st.integers(0, 2**32 - 1), st.sampled_from(["{}", "{:#x}", "{:#X}", "0{:o}", "0x{:08x}"]))
def test_every_number_is_read_in_every_notation(number: int, notation: str) -> None:
    assert c_number(notation.format(number)) == number


@pytest.mark.libvirt
@pytest.mark.parametrize(
    ("text", "number"), [case for case in NUMBERS if case[1] != 0 and len(case[0]) < 100]
)
def test_libvirt_reads_the_same_number(text: str, number: int | None, libvirt: Any, test_driver: Any) -> None:
    xml = f"""<domain type="test"><name>guest</name><memory>1024</memory><os><type>hvm</type></os><devices>
        <controller type="pci" index="0" model="pci-root"/>
        <controller type="usb" model="none"/>
        <memballoon model="virtio"><address type="pci" bus="0" slot="{text}"/></memballoon>
        </devices></domain>"""
    try:
        shown = test_driver.defineXML(xml).XMLDesc()
    except libvirt.libvirtError:
        assert number is None
        return
    assert number is not None
    assert f"slot='{number:#04x}'" in shown


@pytest.mark.parametrize("slot", ["16", "0x10", "020", "0X10", " 16"])
@pytest.mark.parametrize("bus", ["0", "0x0", "00", "0x00"])
def test_a_slot_that_the_domain_uses_is_taken(bus: str, slot: str) -> None:
    assert free_slot(etree.fromstring(ADDRESS.format("0", bus, slot)), []) == 0x11


@pytest.mark.parametrize(("bus", "slot"), [("1", "16"), ("01", "0x10"), ("0", "10"), ("0", "nonsense")])
def test_other_buses_and_slots_are_not_in_the_way(bus: str, slot: str) -> None:
    assert free_slot(etree.fromstring(ADDRESS.format("0", bus, slot)), []) == 0x10


@pytest.mark.parametrize(
    ("device", "taken"),
    [
        ("virtio-rng-pci,addr=0x10", True),
        ("virtio-rng-pci,addr=10", True),  # always hexadecimal in QEMU
        ("virtio-rng-pci,addr=0010.1", True),
        ("virtio-rng-pci,bus=pci.0,addr=0X10.0x7", True),
        ('{"driver": "virtio-rng-pci", "addr": "0x10"}', True),
        ('{"driver": "virtio-rng-pci", "addr": 128}', True),  # slot * 8 + function
        ('{"driver": "virtio-rng-pci", "addr": 16}', False),
        ("virtio-rng-pci,addr=16", False),
        ("virtio-rng-pci,myaddr=10", False),
        ("virtio-rng-pci,id=addr=10", False),
        ("virtio-rng-pci,addr=", False),
        ('{"driver": "virtio-rng-pci", "addr": ', False),
        ('{"driver": "virtio-rng-pci", "addr": [' + "[" * 10_000, False),
        ("[]", False),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_a_slot_of_a_device_among_the_arguments(device: str, taken: bool) -> None:
    root = etree.fromstring("<domain/>")
    assert free_slot(root, ["-device", device]) == (0x11 if taken else 0x10)


def test_a_full_bus_has_no_free_slot() -> None:
    arguments = [word for slot in range(0x20) for word in ("-device", f"virtio-rng-pci,addr={slot:x}")]
    assert free_slot(etree.fromstring("<domain/>"), arguments) is None


def test_the_notifier_is_not_put_where_another_device_is(recorded: Callable[..., Any]) -> None:
    """An octal slot, which Python's int() does not read."""
    device = "<disk><address type='pci' domain='0' bus='0' slot='020' function='0'/></disk>"
    xml = f"<domain type='kvm'><on_panic>restart</on_panic><devices>{device}</devices></domain>"
    there = to_libvirt(xml, recorded(model="pvpanic"), libvirt="9.0.0").xml
    assert "'pvpanic-pci,addr=0x11'" in there
