"""Names of domains in commands that somebody may copy, and in the answer to which domain is meant."""

import shlex
from xml.sax.saxutils import escape

import pytest

from onpanic.core.libvirt_api import find_domain, libvirt_module
from onpanic.shims.guests.virsh_name import virsh_name

from ..played.libvirt import PlayedLibvirt

UUID = "8bba1894-107b-4770-aaa0-a57f5cdda931"
OTHER = "a001cfc3-1b40-4dc6-ac9d-0dcbbd4ffaa4"

XML = (
    "<domain type='xen'><name>{}</name><uuid>{}</uuid><memory>32768</memory>"
    "<os><type>linux</type></os></domain>"
)


@pytest.mark.parametrize(
    "name", ["guest", "a b", 'it\'s "q"', "a;b", "*", "!x", "~root", "back\\slash", "{domain}", "日本", "7a"]
)
def test_name(played_libvirt: PlayedLibvirt, name: str) -> None:
    """A shell reads the domain's name."""
    played_libvirt.add(XML.format(escape(name), UUID))
    (domain,) = libvirt_module().open(None).listAllDomains()
    assert shlex.split(virsh_name(domain)) == [name]


@pytest.mark.parametrize(
    "name", ["7", "+7", "-dash", "--all", " lead", "csi\x9b31m", "bidi\u202eabc", "\u200bzw", "a\tb", OTHER]
)
def test_uuid(played_libvirt: PlayedLibvirt, name: str) -> None:
    """What virsh takes for something else, and what a terminal does not show, is named by its UUID."""
    played_libvirt.add(XML.format(escape(name), UUID))
    (domain,) = libvirt_module().open(None).listAllDomains()
    assert virsh_name(domain) == UUID


def test_lookup(played_libvirt: PlayedLibvirt) -> None:
    """An ID comes before a UUID, and a UUID before a name, as with virsh."""
    first = played_libvirt.add(XML.format(OTHER, UUID))
    second = played_libvirt.add(XML.format(str(first.id), OTHER))
    connection = libvirt_module().open(None)
    assert find_domain(connection, str(first.id)).UUIDString() == UUID
    assert find_domain(connection, OTHER).UUIDString() == OTHER
    first.id = 99
    assert find_domain(connection, second.name).UUIDString() == OTHER
