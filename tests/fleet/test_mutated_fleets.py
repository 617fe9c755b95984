"""Whatever a record holds, the answers about migration and a domain for all hosts name it or leave it out."""

from hypothesis import given, settings
from hypothesis import strategies as st

from onpanic.cli.fleet.migration_screen import migration_screen
from onpanic.core.errors import UsageError
from onpanic.fleet import (
    DomainGuest,
    HostDocument,
    PlainGuest,
    migration_of,
    read_fleet,
    translate_for_fleet,
)
from onpanic.fleet.documents.document_files import split_documents
from onpanic.probe.decision.policy import Policy
from onpanic.probe.record.screen import Style

from .fleets import NOW
from .test_mutated_documents import GOOD, other_bytes, other_values

DOMAIN = """\
<domain type='kvm'>
  <name>web</name>
  <os><type arch='x86_64' machine='{}'>hvm</type></os>
  {}
  <devices>{}</devices>
</domain>
"""
ISA, EMULATOR = "<panic model='isa'/>", "<emulator>/usr/bin/qemu-system-x86_64</emulator>"
GUESTS = (
    PlainGuest(Policy("restart"), "q35"),
    PlainGuest(Policy("ignore"), "pc-i440fx-7.2"),
    DomainGuest.from_xml(DOMAIN.format("q35", "<on_crash>restart</on_crash>", ISA)),
)
DOMAINS = (
    DOMAIN.format("q35", "<on_panic>restart</on_panic>", ""),
    DOMAIN.format("pc", "<on_panic>ignore</on_panic>", ISA + EMULATOR),
    DOMAIN.format("q35", "<on_panic>restart</on_panic>", "").replace(" machine='q35'", ""),
)


@settings(max_examples=settings().max_examples * 2 // 5)
@given(data=other_values() | other_bytes(), guest=st.sampled_from(GUESTS), domain=st.sampled_from(DOMAINS))
def test_no_record_makes_an_answer_fail(data: bytes, guest: PlainGuest | DomainGuest, domain: str) -> None:
    found = read_fleet([*split_documents("bad", data), HostDocument("good", GOOD)], NOW)
    try:
        answer = migration_of(found, guest)
    except UsageError:  # the machine type has got another name
        pass
    else:
        answer.to_json()
        assert "".join(migration_screen(answer, Style(), everything=True)).isprintable()
    translated = translate_for_fleet(domain, found, same_events=True)
    assert (translated.translation is None) == bool(translated.hindrances)


def test_an_alias_that_only_the_hosts_list_has_is_found() -> None:
    data = GOOD.replace(b'"aliases":["q35"]', b'"aliases":[]')
    assert data != GOOD
    found = read_fleet([HostDocument("a", data)], NOW)
    assert translate_for_fleet(DOMAINS[0], found).translation is not None
