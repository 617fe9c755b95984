"""What Xen hosts promise is what translation says with the same record; records that lie or lack facts."""

import random
from itertools import product

import msgspec
import pytest

from onpanic.core.errors import RecordError, RefusedError
from onpanic.fleet import HostDocument, HostRecord, read_fleet, translate_for_fleet
from onpanic.fleet.judging.hindrance import is_unsettled
from onpanic.fleet.judging.promise import promise_of
from onpanic.probe.decision.policy import ON_CRASH, ON_PANIC, Policy
from onpanic.probe.facts.xen_questions import ON_CRASH_WORDS
from onpanic.probe.xen.xen_conversation import GUEST_TYPES
from onpanic.shims import to_libvirt
from onpanic.shims.domain_xml.policy_xml import policy_elements

from .fleets import NOW, fleet, host
from .xen_hosts import CAPABILITIES, REFUSED, xen_emulator, xen_host

DOMAIN = "<domain type='xen'><name>web</name><os><type{}>{}</type></os>{}</domain>"
OS_TYPES = {"xenpv": "linux", "xenpvh": "xenpvh", "xenfv": "hvm"}
RESTART = "<on_panic>crash</on_panic><on_crash>restart</on_crash>"

POLICIES = [
    Policy(value, coredump=coredump, on_crash=action, on_crash_coredump=dump)
    for value, coredump, action, dump in product(
        ON_PANIC, (False, True), (None, *ON_CRASH, "coredump-restart", "preserve-running"), (False, True)
    )
    if action or not dump
]


def random_host(numbers: random.Random) -> HostRecord:
    """Return a Xen host that lacks some guest types, and whose libvirt refuses some words, or all."""
    refused = numbers.sample(["", *ON_CRASH_WORDS], numbers.randrange(4)) if numbers.random() < 0.5 else []
    xen = xen_emulator(
        capabilities=numbers.choice([CAPABILITIES, CAPABILITIES, "xen-3.0-x86_64", "hvm-3.0-x86_64", ""]),
        words=dict.fromkeys(refused, REFUSED),
    )
    return xen_host(libvirt=numbers.choice(["7.0.0", "9.0.0", "12.8.0"]), xen=xen)


def translated(found: HostRecord, architecture: str, machine: str, policy: Policy) -> tuple[str, str, str]:
    """Return what translation says with a host's record: kept, why not, and the crash action."""
    assert found.xen
    assert found.xen.record
    assert found.libvirt
    named = f" arch='{architecture}'" if architecture else ""
    xml = DOMAIN.format(named, OS_TYPES[machine], "".join(policy_elements(policy).values()))
    try:
        done = to_libvirt(xml, found.xen.record, libvirt=found.libvirt.version)
    except RefusedError as error:
        code = error.decision.code
        return ("unknown" if is_unsettled(code) else "no"), code, ""
    return "yes", "", done.xml.partition("</metadata>")[2].partition("<on_crash>")[2].partition("<")[0]


def test_promises_are_what_translation_says() -> None:
    """1,000 promises of Xen hosts, of every policy and guest type, are those of to_libvirt and accepts."""
    numbers = random.Random(17)
    for _ in range(1000):
        found, policy = random_host(numbers), numbers.choice(POLICIES)
        if numbers.random() < 0.7:
            policy = msgspec.structs.replace(
                policy, on_panic=numbers.choice(["crash", "default"]), coredump=False
            )
        machine, architecture = numbers.choice([*GUEST_TYPES]), numbers.choice(["", "x86_64", "i686"])
        promise = promise_of(found, architecture or "x86_64", machine, policy, "xen")
        written = promise.changes.on_crash or "" if promise.changes else ""
        said = translated(found, architecture, machine, policy)
        assert (promise.kept, promise.code, written) == said, (policy, machine, architecture)
        assert found.xen
        assert found.xen.record
        decision = found.xen.record.accepts(
            policy.on_panic,
            coredump=policy.coredump,
            on_crash=policy.on_crash,
            on_crash_coredump=policy.on_crash_coredump,
            machine=machine,
        )
        if architecture != "i686":
            assert (promise.kept == "yes", promise.code) == (decision.accepted, decision.code)


def test_record_without_facts() -> None:
    """A truncated record proves nothing: the rules do not decide in its place."""
    xen = xen_emulator()
    assert xen.record
    machines = [msgspec.structs.replace(one, facts={}) for one in xen.record.machines]
    bare = msgspec.structs.replace(xen.record, facts={}, machines=machines)
    host = xen_host(xen=msgspec.structs.replace(xen, record=bare))
    for policy in (Policy("default"), Policy("crash", on_crash="restart")):
        promise = promise_of(host, "x86_64", "xenpv", policy, "xen")
        assert (promise.kept, promise.code) == ("unknown", "toolstack-inconclusive")
    (hindrance,) = translate_for_fleet(DOMAIN.format("", "linux", RESTART), fleet(host)).hindrances
    assert (hindrance.answer, hindrance.code) == ("unknown", "toolstack-inconclusive")


@pytest.mark.parametrize(
    ("member", "why"),
    [
        ("xen", "its Xen is /usr/bin/"),
        ("emulators", "Xen is among the emulators"),
        ("xen.record", "the record of xen is about qemu"),
        ("emulators.record", "the record of /usr/bin/qemu-system-x86_64 is about xen"),
    ],
)
def test_emulator_in_the_place_of_xen(member: str, why: str) -> None:
    """A document with an emulator for its Xen, or the reverse, is not the record of a host."""
    of_xen, of_qemu = (msgspec.to_builtins(one) for one in (xen_host(), host()))
    xen, qemu = of_xen["xen"], of_qemu["emulators"][0]
    forged = {
        "xen": of_xen | {"xen": qemu},
        "emulators": of_qemu | {"emulators": [xen]},
        "xen.record": of_xen | {"xen": xen | {"record": qemu["record"]}},
        "emulators.record": of_qemu | {"emulators": [qemu | {"record": xen["record"]}]},
    }[member]
    data = msgspec.json.encode(forged)
    with pytest.raises(RecordError, match=why):
        HostRecord.from_json(data)
    (left_out,) = read_fleet([HostDocument("forged.json", data)], NOW).uncounted
    assert why in left_out.detail
