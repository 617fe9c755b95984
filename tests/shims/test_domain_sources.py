"""What users have beside plain domains is read, or the error says what it is and what to do."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpanic.core.errors import DocumentError, UsageError
from onpanic.probe import CapabilityRecord
from onpanic.shims import domain_in, from_libvirt, policy_of, to_libvirt
from onpanic.shims.domain_xml.domain_sources import FILE_LIMIT
from onpanic.shims.domain_xml.xml_parser import LIMIT

DECLARED = "<?xml version='1.0' encoding='{}'?>\n"
QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"


def named(name: str) -> str:
    return f"<domain type='kvm'>\n  <name>{name}</name>\n  <on_panic>restart</on_panic>\n</domain>\n"


# Several documents


@pytest.mark.parametrize(
    "parts",
    [
        [named("a"), named("b")],
        [named("a").strip(), named("b").strip()],
        [DECLARED.format("UTF-8") + named("a"), DECLARED.format("UTF-8") + named("b"), named("c")],
        [f"<!-- <domain> -->\n{named('a')}", f"<?x </domain> ?>\n<!-- > -->{named('b')}"],
        ["<domain a='>' b=\"'/>\"><name>a</name><![CDATA[</domain>]]></domain>\r\n", named("b")],
        ["<domain><domain/><name>a</name></domain>", "<domain />", named("c"), "<domain\n/>\n<!-- end -->\n"],
    ],
)
def test_one_of_several_domains_is_chosen(parts: list[str]) -> None:
    """It is returned byte for byte; white space between two documents belongs to neither."""
    xml = "".join(parts)
    for number, part in enumerate(parts, start=1):
        chosen = domain_in(xml, number)
        assert chosen.strip() == part.strip()
        assert domain_in(xml.encode(), number) == chosen.encode()
        assert domain_in(chosen) is chosen
        assert policy_of(chosen) == policy_of(part)
    with pytest.raises(DocumentError, match=f"there are {len(parts)} domains in it: 1 is a, 2 is ") as caught:
        domain_in(xml)
    assert "--document N" in caught.value.hint


def test_the_translation_of_several_domains_says_how_to_choose_one(record: CapabilityRecord) -> None:
    xml = named("lab") + named("lab\n2")
    for function in (
        lambda: to_libvirt(xml, record),
        lambda: from_libvirt(xml.encode()),
        lambda: policy_of(xml),
    ):
        with pytest.raises(DocumentError, match="2 domains in it: 1 is lab, 2 is lab 2") as caught:
            function()
        assert "onpanic.shims.domain_in(xml, N)" in caught.value.hint


def test_each_document_has_its_own_encoding() -> None:
    latin = DECLARED.format("ISO-8859-1") + "<domain><name>\u00e9</name></domain>\n"
    utf = "<domain><name>\u00e9</name></domain>\n"
    source = latin.encode("latin-1") + utf.encode()
    assert domain_in(source, 1) == latin.encode("latin-1")
    assert domain_in(source, 2) == utf.encode()
    with pytest.raises(DocumentError, match="1 is \u00e9, 2 is \u00e9"):
        domain_in(source)


def test_only_domains_are_counted() -> None:
    network = "<network>\n  <name>n</name>\n</network>\n"
    assert domain_in(network + named("a")) == named("a")
    assert domain_in(network + named("a") + network + named("b"), 2) == named("b")
    with pytest.raises(DocumentError, match="no document 3: there are 2 domains in it"):
        domain_in(network + named("a") + network + named("b"), 3)
    with pytest.raises(DocumentError, match="no document 2: there is 1 domain in it: 1 is a"):
        domain_in(named("a"), 2)
    with pytest.raises(DocumentError, match="<network>, not <domain>"):
        domain_in(network + network)


def test_a_document_that_is_not_well_formed_is_counted_and_explained() -> None:
    source = f"{named('a')}<domain>&nbsp;</domain>\n{named('c')}"
    assert domain_in(source, 3) == named("c")
    with pytest.raises(DocumentError, match="there are 3 domains in it: 1 is a, 2 is without a name, 3 is c"):
        domain_in(source)
    with pytest.raises(DocumentError, match="not well-formed"):
        from_libvirt(domain_in(source, 2))
    assert domain_in(named("a") + "<domain>", 2) == "<domain>"  # it was cut off


@pytest.mark.parametrize(
    "source", ["", "x", "<domain/>x", "<domain>", "<domain/></domain>", "<!DOCTYPE a><a/>"]
)
def test_what_is_not_well_formed_is_left_to_the_translation(source: str) -> None:
    assert domain_in(source) is source
    with pytest.raises(DocumentError, match=r"not well-formed|DOCTYPE"):
        from_libvirt(source)


@pytest.mark.parametrize("number", [0, -1])
def test_documents_are_counted_from_one(number: int) -> None:
    with pytest.raises(UsageError, match="there is no document"):
        domain_in(named("a"), number)


# Documents around a domain


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "<domstatus state='running' reason='booted' pid='1'>\n  <monitor path='/x' type='unix'/>\n",
            "</domstatus>\n",
        ),
        (
            "<domainsnapshot>\n  <name>s</name>\n  <memory snapshot='no'/>\n  ",
            "  <inactiveDomain type='kvm'>\n    <name>x</name>\n  </inactiveDomain>\n</domainsnapshot>",
        ),
        ("<domaincheckpoint><name>c</name><disks/>", "</domaincheckpoint>"),
        ("<!-- made by hand\n<domain/> -->\n<domstatus><x><domain><domain/></domain></x>", "</domstatus>"),
        ("<domstatus><p:domain xmlns:p='urn:p'/><domain xmlns='urn:p'/>", "</domstatus>"),
    ],
)
def test_the_domain_in_another_document_is_read(before: str, after: str, record: CapabilityRecord) -> None:
    """The result is a document of its own, and goes there and back like any other."""
    xml = before + named("lab") + after
    domain = domain_in(xml)
    assert domain == domain_in(xml, 1) == named("lab")
    assert domain_in(xml.encode()) == domain_in((DECLARED.format("UTF-8") + xml).encode()) == domain.encode()
    assert from_libvirt(to_libvirt(domain, record, libvirt="9.0.0")).xml == domain
    with pytest.raises(DocumentError, match="not <domain>: it is ") as caught:
        from_libvirt(xml)
    assert "onpanic.shims.domain_in" in caught.value.hint
    with pytest.raises(DocumentError, match="there is no document 2"):
        domain_in(xml, 2)


def test_the_domain_keeps_its_encoding() -> None:
    xml = DECLARED.format("ISO-8859-1") + "<domstatus><domain><name>\u00e9</name></domain></domstatus>"
    domain = domain_in(xml.encode("latin-1"))
    assert domain == (DECLARED.format("ISO-8859-1") + "<domain><name>\u00e9</name></domain>\n").encode(
        "latin-1"
    )
    assert domain_in(xml) == "<domain><name>\u00e9</name></domain>\n"


def test_the_domain_keeps_its_namespaces() -> None:
    """Those that are declared around it are declared in it, unless it declares them itself."""
    inner = "<q:commandline><q:arg value='-x'/></q:commandline>"
    xml = f"<domstatus xmlns:q='{QEMU}' xmlns:p='urn:p'><domain xmlns:p='urn:q'>{inner}</domain></domstatus>"
    assert domain_in(xml) == f"<domain xmlns:q='{QEMU}' xmlns:p='urn:q'>{inner}</domain>\n"


@pytest.mark.parametrize(
    ("xml", "said", "hint"),
    [
        ("<network/>", "<network>, not <domain>: it is a virtual network", "virsh dumpxml --inactive"),
        ("<domainbackup/>", "not <domain>: it is a backup", "virsh dumpxml --inactive"),
        ("<domainCapabilities/>", "not <domain>: it is what libvirt can do", "virsh dumpxml --inactive"),
        ("<panic model='isa'/>", "not <domain>: it is a device", "virsh dumpxml --inactive"),
        (
            "<Envelope xmlns='http://schemas.dmtf.org/ovf/envelope/1'/>",
            "it is a virtual machine in OVF",
            "virsh",
        ),
        ("<domainsnapshot><inactiveDomain/></domainsnapshot>", "has no <domain>", "virsh snapshot-dumpxml"),
        ("<domaincheckpoint/>", "has no <domain>", "virsh checkpoint-dumpxml"),
        ("<domstatus/>", "has no <domain>", "virsh dumpxml --inactive"),
        ("<html/>", "<html>, not <domain>", "virsh dumpxml --inactive"),
    ],
)
def test_other_documents_are_named(xml: str, said: str, hint: str) -> None:
    """The hint says how to get the XML of the domain."""
    for function in (domain_in, from_libvirt):
        with pytest.raises(DocumentError, match=said) as caught:
            function(xml)
        assert hint in caught.value.hint


# Limits


def test_each_document_may_be_as_long_as_libvirt_allows() -> None:
    room = LIMIT - len("<domain></domain>")
    longest = f"<domain>{' ' * room}</domain>"
    assert domain_in(longest * 3, 3) == longest
    with pytest.raises(DocumentError, match="longer than 4 MiB"):
        from_libvirt(domain_in(longest + longest.replace(" ", "  ", 1), 2))
    with pytest.raises(DocumentError, match="longer than 16 MiB"):
        domain_in(" " * (FILE_LIMIT + 1))


@pytest.mark.parametrize(
    "source",
    [
        "<domain/>" * 100_000,
        "<a>" * 100_000,
        "<domain/>" + "<!--" * 100_000,
        "<domain/><" + "<a '" * 100_000,
        "<domain/>" + "</domain>" * 100_000,
        "<domain/>" + "<?" * 100_000,
        "<domstatus>" + "<a>" * 300 + "<domain/>" + "</a>" * 300 + "</domstatus>",
    ],
    ids=lambda source: source[:20],
)
def test_hostile_input_is_an_error(source: str) -> None:
    with pytest.raises(DocumentError):
        from_libvirt(source)
    with pytest.raises(DocumentError):
        from_libvirt(domain_in(source))


@given(
    st.one_of(st.binary(), st.text(), st.text(alphabet="<>/!-[]? '\"domain\n")), st.sampled_from([None, 1, 2])
)
def test_nonsense_is_an_error_or_left_to_the_translation(source: Any, number: int | None) -> None:
    with suppress(DocumentError):
        found = domain_in(source, number)
        assert type(found) is type(source)
