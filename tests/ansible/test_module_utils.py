"""What the modules read and write without Ansible: domains' XML, and what commands print."""

import runpy
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpanic.probe.decision.policy import ON_CRASH, ON_PANIC
from onpanic.shims import policy_of

from ..running.ansible_programs import COLLECTION

UTILS = COLLECTION / "plugins/module_utils"
XML: dict[str, Any] = runpy.run_path(str(UTILS / "domain_xml.py"))
COMMANDS: dict[str, Any] = runpy.run_path(str(UTILS / "commands.py"))

#: XML has the two elements in other places, and other spellings, than the domain's own.
DOMAIN = """<?xml version='1.0' encoding='UTF-8'?>
<domain type='kvm'>
  <name>gäst</name>
  <metadata>
    <x:own xmlns:x='urn:x' xmlns='urn:y'><on_panic>pause</on_panic><on_crash/></x:own>
  </metadata>
  <!-- <on_crash>no</on_crash> -->
  <on_crash>restart</on_crash>
  <devices>
    <graphics type='vnc' passwd='s&apos;ecret'/>
    <panic model='isa'/>
  </devices>
</domain>
"""

policies = st.fixed_dictionaries(
    {
        "on_panic": st.sampled_from(ON_PANIC),
        "coredump": st.booleans(),
        "grace": st.none() | st.integers(0, 86400).map(float),
        "on_crash": st.none() | st.sampled_from(ON_CRASH),
        "on_crash_coredump": st.booleans(),
    }
)


@given(policies)
def test_a_policy_is_stated_as_onpanic_reads_it(policy: dict[str, Any]) -> None:
    """An <on_crash> that is not asked for is the domain's own."""
    found = policy_of(XML["with_policy"](DOMAIN, policy).encode())
    assert found is not None
    assert (found.on_panic, found.coredump, found.grace) == tuple(
        policy[n] for n in ("on_panic", "coredump", "grace")
    )
    if policy["on_crash"]:
        assert (found.on_crash, found.on_crash_coredump) == (policy["on_crash"], policy["on_crash_coredump"])
    else:
        assert (found.on_crash, found.on_crash_coredump) == ("restart", False)


@given(policies, policies)
def test_only_two_elements_are_replaced(first: dict[str, Any], second: dict[str, Any]) -> None:
    """A policy that is replaced leaves nothing, and one that is removed only its <on_crash>."""
    both = {**first, "on_crash": "destroy", "on_crash_coredump": False}, {**second, "on_crash": "restart"}
    once = XML["with_policy"](DOMAIN, both[1])
    assert XML["with_policy"](XML["with_policy"](DOMAIN, both[0]), both[1]) == once
    last = XML["without_policy"](once)
    dumped = "coredump-restart" if second["on_crash_coredump"] else "restart"
    for start in ("<on_crash coredump='no'>", "<on_crash>"):
        last = last.replace(f"{start}{dumped}<", "<on_crash>restart<")
    assert last == DOMAIN


def test_a_domain_may_have_no_on_crash() -> None:
    domain = DOMAIN.replace("  <on_crash>restart</on_crash>\n", "")
    policy = {"on_panic": "pause", "coredump": False, "grace": None, "on_crash": None}
    found = XML["with_policy"](domain, {**policy, "on_crash_coredump": False})
    assert ET.fromstring(found).findtext("on_panic") == "pause"
    assert XML["stated_policy"](found)["on_crash"] is None


def test_passwords_are_not_shown() -> None:
    shown = XML["without_passwords"](DOMAIN)
    assert "ecret" not in shown
    assert ET.fromstring(shown).find("devices/graphics") is not None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<on_crash>restart", "<on_crash>destroy"),
        ("model='isa'", "model='hyperv'"),
        ("<devices>", "<features><vmcoreinfo state='on'/></features><devices>"),
        (
            "</domain>",
            "<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:arg/></q:commandline></domain>",
        ),
    ],
)
def test_a_guest_that_runs_with_something_else_is_recognised(before: str, after: str) -> None:
    """The address and the alias that a running guest's devices have do not count."""
    parts = XML["panic_parts"]
    running = DOMAIN.replace("<panic model='isa'/>", "<panic model='isa'><alias name='panic0'/></panic>")
    assert parts(running) == parts(DOMAIN)
    assert parts(DOMAIN.replace(before, after)) != parts(DOMAIN)


@pytest.mark.parametrize(
    ("printed", "found"),
    [
        (
            "onpanic: refused: a-code: the reason: more\nonpanic: hint: the remedy\n",
            ("a-code", "the reason: more", "the remedy"),
        ),
        ("onpanic: note: a-code: x\nonpanic: no such file\n", ("", "no such file", "")),
        ("Traceback\n  x\nValueError: bad\n", ("", "x / ValueError: bad", "")),
        ("", ("", "", "")),
    ],
)
def test_complaints_are_read(printed: str, found: tuple[str, str, str]) -> None:
    assert COMMANDS["read_complaint"](printed) == found


def test_notes_are_read() -> None:
    printed = "onpanic: note: a-code: why\nonpanic: note:   do this\nonpanic: note: other: what\n"
    assert COMMANDS["read_notes"](printed) == [
        {"code": "a-code", "reason": "why", "remedy": "do this"},
        {"code": "other", "reason": "what", "remedy": ""},
    ]
