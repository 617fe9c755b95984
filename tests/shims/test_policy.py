"""Policies in a domain's XML: as a user states them, and as the metadata store them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from onpanic.core.errors import DocumentError
from onpanic.probe.decision.policy import LONGEST_GRACE, ON_CRASH, ON_PANIC, Policy
from onpanic.shims import policy_of
from onpanic.shims.domain_xml.policy_xml import (
    NAMESPACE,
    StoredPolicy,
    WrittenChanges,
    policy_elements,
    stored_policy,
    stored_policy_xml,
)

ONPANIC = f"xmlns:onpanic='{NAMESPACE}'"
STORED = f"<onpanic:policy {ONPANIC}><onpanic:on_panic>pause</onpanic:on_panic></onpanic:policy>"


def domain(*parts: str) -> str:
    return f"<domain type='kvm'><name>guest</name>{''.join(parts)}</domain>"


@pytest.mark.parametrize(
    ("xml", "policy"),
    [
        # libvirt's own, however it is written
        ("", None),
        ("<on_crash>restart</on_crash>", None),
        ("<on_crash>coredump-restart</on_crash><on_reboot>destroy</on_reboot>", None),
        ("<x><on_panic>pause</on_panic></x>", None),
        ("<on_panic xmlns='urn:x'>pause</on_panic>", None),
        ("<!-- <on_panic>pause</on_panic> -->", None),
        # Stated
        ("<on_panic>pause</on_panic>", Policy("pause")),
        ("<on_panic coredump='no'>pause</on_panic>", Policy("pause")),
        ('<on_panic coredump="yes">restart</on_panic>', Policy("restart", coredump=True)),
        ("<on_panic>\n\t restart \r\n</on_panic>", Policy("restart")),
        ("<on_panic><![CDATA[rest]]><!-- x -->&#97;<?x?>rt</on_panic>", Policy("restart")),
        ("<on_panic/>", Policy("default")),
        ("<on_panic></on_panic><on_crash/>", Policy("default")),
        ("<on_panic>Pause</on_panic>", Policy("Pause")),  # no known value, which is for others to say
        ("<on_panic>ignore</on_panic><on_crash>restart</on_crash>", Policy("ignore", on_crash="restart")),
        ("<on_crash>restart</on_crash><on_panic>ignore</on_panic>", Policy("ignore", on_crash="restart")),
        ("<on_panic grace='30'>restart</on_panic>", Policy("restart", grace=30.0)),
        ("<on_panic grace='0.5' coredump='yes'>destroy</on_panic>", Policy("destroy", True, grace=0.5)),
        ("<on_panic grace='1e3'>restart</on_panic>", Policy("restart", grace=1000.0)),
        ("<on_panic grace='86400.0'>restart</on_panic>", Policy("restart", grace=86400.0)),
        ("<on_panic grace='0'>restart</on_panic>", Policy("restart", grace=0.0)),
        ("<on_panic grace='9'>pause</on_panic>", Policy("pause", grace=9.0)),  # is refused by others
        # The attribute that libvirt lacks states a policy, too; its own spelling says the same
        ("<on_crash coredump='no'>restart</on_crash>", Policy("default", on_crash="restart")),
        *(
            (f"<on_panic>pause</on_panic>{crash}", Policy("pause", False, "restart", on_crash_coredump=True))
            for crash in (
                "<on_crash coredump='yes'>restart</on_crash>",
                "<on_crash>coredump-restart</on_crash>",
                "<on_crash coredump='yes'>coredump-restart</on_crash>",
                "<on_crash>coredump-<!-- x -->restart</on_crash>",
            )
        ),
        # libvirt's value for ignoring a panic is not about crashes
        ("<on_panic>ignore</on_panic><on_crash>preserve-running</on_crash>", Policy("ignore")),
        # Stored
        (f"<metadata>{STORED}</metadata>", Policy("pause")),
        (f"<metadata/><metadata><x/>{STORED}</metadata>", Policy("pause")),
        (f"<metadata>{STORED}</metadata><on_crash>restart</on_crash>", Policy("pause")),
        (f"<metadata>{STORED}</metadata><on_panic>ignore</on_panic>", Policy("ignore")),
        (f"<metadata><x>{STORED}</x></metadata>{STORED}<metadata xmlns='urn:x'>{STORED}</metadata>", None),
        ("<metadata>" + STORED.replace(NAMESPACE, NAMESPACE + "0") + "</metadata>", None),
        ("<metadata><policy><on_panic>pause</on_panic></policy></metadata>", None),
    ],
)
def test_reading(xml: str, policy: Policy | None) -> None:
    assert policy_of(domain(xml)) == policy
    assert policy_of(domain(xml).encode()) == policy


@pytest.mark.parametrize(
    ("xml", "said"),
    [
        ("<on_panic>pause</on_panic><on_panic>pause</on_panic>", "more than one <on_panic>"),
        (
            "<on_panic/><on_crash>destroy</on_crash><on_crash>destroy</on_crash>",
            "more than one <on_crash>",
        ),
        ("<on_panic coredump=''>pause</on_panic>", "coredump=''"),
        ("<on_panic coredump='YES'>pause</on_panic>", "coredump='YES'"),
        ("<on_panic/><on_crash coredump='1'>destroy</on_crash>", "coredump='1'"),
        ("<on_panic dump='yes'>pause</on_panic>", "no attribute dump"),
        *(
            (f"<on_panic grace='{text}'>restart</on_panic>", "<on_panic grace='")
            for text in ("", "-1", "86401", "nan", "inf", "30s", "1_0", "\u0663\u0660", "0x10", "9" * 5000)
        ),
        ("<on_panic/><on_crash grace='30'>restart</on_crash>", "<on_crash> has no attribute grace"),
        ("<on_panic xmlns:x='urn:x' x:coredump='yes'>pause</on_panic>", "no attribute"),
        ("<on_panic><pause/></on_panic>", "<on_panic> has elements"),
        ("<on_panic/><on_crash>a<b/></on_crash>", "<on_crash> has elements"),
        ("<on_panic/><on_crash coredump='no'>coredump-restart</on_crash>", "contradicts"),
        ("<on_crash coredump='no'>coredump-destroy</on_crash>", "contradicts"),
        (f"<metadata>{STORED}{STORED}</metadata>", "twice"),
        (f"<metadata>{STORED}</metadata><metadata>{STORED}</metadata>", "twice"),
        (f"<metadata><onpanic:policy {ONPANIC}/></metadata>", "no <on_panic>"),
        ("<metadata>" + STORED.replace(">pause", " x='1'>pause") + "</metadata>", "no attribute x"),
        ("<metadata>" + STORED.replace(">pause", " grace='x'>pause") + "</metadata>", "grace='x'"),
        ("<metadata>" + STORED.replace("pause", "<pause/>") + "</metadata>", "has elements"),
    ],
)
def test_contradictions(xml: str, said: str) -> None:
    with pytest.raises(DocumentError, match=said) as caught:
        policy_of(domain(xml))
    assert caught.value.hint


POLICIES = st.builds(
    lambda on_panic, coredump, on_crash, on_crash_coredump, grace: Policy(
        on_panic, coredump, on_crash, bool(on_crash and on_crash_coredump), grace
    ),
    st.sampled_from(ON_PANIC),
    st.booleans(),
    st.sampled_from([None, *ON_CRASH]),
    st.booleans(),
    st.one_of(st.none(), st.sampled_from([0.0, 30.0]), st.floats(0, LONGEST_GRACE)),
)
WRITTEN = st.builds(
    WrittenChanges,
    st.sampled_from([None, "preserve", "coredump-restart"]),
    st.sampled_from([None, "isa", "pvpanic"]),
    st.sampled_from([None, "-device pvpanic-pci"]),
)


def stored(xml: str) -> StoredPolicy:
    found = stored_policy(etree.fromstring(xml))
    assert found is not None
    return found


@given(POLICIES)
def test_what_is_stated_is_read_again(policy: Policy) -> None:
    assert policy_of(domain(*policy_elements(policy).values())) == policy


@given(POLICIES, WRITTEN, st.sampled_from(["as written", "another prefix", "no prefix", "from the root"]))
def test_what_is_kept_is_read_again(policy: Policy, written: WrittenChanges, spelling: str) -> None:
    """A stored policy is read with any prefix of its namespace."""
    xml = domain("<metadata>", stored_policy_xml(policy, written), "</metadata>")
    if spelling == "another prefix":
        xml = xml.replace("onpanic:", "p:").replace("xmlns:onpanic", "xmlns:p")
    elif spelling == "no prefix":
        xml = xml.replace("onpanic:", "").replace("xmlns:onpanic", "xmlns")
    elif spelling == "from the root":
        xml = xml.replace(f" {ONPANIC}", "").replace("<domain", f"<domain {ONPANIC}")
    found = stored(xml.replace("'", '"'))
    assert (found.policy, found.written) == (policy, written)
    assert found.element.tag == f"{{{NAMESPACE}}}policy"
