"""Whatever a document holds, reading it and the verdict raise nothing, and it is counted once."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from onpanic.cli.fleet.verdict_screen import verdict_screen
from onpanic.fleet import FailedHost, HostDocument, read_fleet, verdict_of
from onpanic.fleet.documents.document_files import split_documents
from onpanic.fleet.hosts.host_record import HostName
from onpanic.probe.decision.policy import Policy
from onpanic.probe.record.screen import Style

from .fleets import NOW, emulator, host
from .xen_hosts import xen_host

GOOD = host("good").to_json()
DOCUMENTS = [
    host("a", emulators=[emulator("7.2.22"), emulator("7.2.22", "aarch64", ["virt"])]).to_json(),
    host("b", qemu="1.5.0", libvirt=None).to_json(),
    xen_host("x").to_json(),
    msgspec.json.encode(
        FailedHost(host=HostName("c"), failure="no route to host", at="2026-11-27T11:00:00Z")
    ),
]
WORDS = ("", "x", "\0", "\033[31m", " pc", "pc,x=y", "<&>", "é" * 200, "x86_64", "pc")
TIMES = ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59")
VALUES = st.sampled_from([None, 0, -1, True, 1e308, 2**63, [], {}, [1], {"a": 1}, *WORDS, *TIMES])


@st.composite
def other_values(draw: st.DrawFn) -> bytes:
    """Return a document of which a part is replaced, renamed or missing."""
    document = msgspec.json.decode(draw(st.sampled_from(DOCUMENTS)))
    holder: Any = document
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = draw(st.sampled_from(keys))
        if not (isinstance(holder[key], dict | list) and holder[key] and draw(st.integers(0, 7))):
            break
        holder = holder[key]
    how = draw(st.integers(0, 3))
    if how == 0:
        del holder[key]
    elif how == 1 and isinstance(holder, dict):
        holder["x"] = holder.pop(key)
    else:
        holder[key] = draw(VALUES)
    return msgspec.json.encode(document)


@st.composite
def other_bytes(draw: st.DrawFn) -> bytes:
    """Return a document of which some bytes are replaced, or missing."""
    data = bytearray(draw(st.sampled_from(DOCUMENTS)))
    start = draw(st.integers(0, len(data)))
    data[start : start + draw(st.sampled_from([0, 1, 50, len(data)]))] = draw(st.binary(max_size=3))
    return bytes(data)


@settings(max_examples=settings().max_examples * 6 // 5)
@given(other_values() | other_bytes())
def test_a_document_is_counted_whatever_it_holds(data: bytes) -> None:
    known = [*split_documents("bad", data), HostDocument("good", GOOD)]
    found = read_fleet(known, NOW)
    assert found.host_count + len(found.uncounted) == len(known)
    policies = [Policy("ignore"), Policy("restart"), Policy("crash", on_crash="restart")]
    verdict = verdict_of(found, policies=policies, everything=True)
    assert verdict.hosts == found.host_count
    verdict.to_json()
    assert verdict_screen(verdict, Style(), everything=True).replace("\n", "").isprintable()
