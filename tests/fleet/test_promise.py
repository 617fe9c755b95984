"""What one host can promise, and why not."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onpanic.core.errors import RefusedError
from onpanic.fleet.judging.judged_policies import POLICIES
from onpanic.fleet.judging.plain_guest import plain_document
from onpanic.fleet.judging.promise import promise_of
from onpanic.probe.decision.policy import Policy
from onpanic.shims import to_libvirt
from onpanic.shims.domain_xml.document import Document

from .fleets import emulator, host


def test_a_promise_says_what_libvirt_is_given() -> None:
    found = promise_of(host(), "x86_64", "q35", Policy("restart", coredump=True))
    assert (found.kept, found.machine) == ("yes", "pc-q35-7.2")
    assert found.changes is not None
    assert (found.changes.on_crash, found.changes.panic) == ("coredump-restart", "isa")


def test_without_libvirt_the_emulator_decides() -> None:
    found = promise_of(host(libvirt=None), "x86_64", "q35", Policy("pause"))
    assert (found.kept, found.changes) == ("yes", None)


def test_a_libvirt_that_was_not_asked_may_defeat_a_policy() -> None:
    """What the emulator refuses is refused all the same."""
    silent = msgspec.structs.replace(host(libvirt=None), libvirt_found="unknown")
    found = promise_of(silent, "x86_64", "q35", Policy("pause"))
    assert (found.kept, found.code) == ("unknown", "libvirt-not-asked")
    builtin = msgspec.structs.replace(silent, emulators=[emulator("1.5.0")])
    assert promise_of(builtin, "x86_64", "pc", Policy("pause")).kept == "no"


@pytest.mark.parametrize(
    ("architecture", "machine", "kept", "code"),
    [
        ("s390x", "", "no", "no-emulator"),
        ("x86_64", "pc-q35-99.0", "no", "no-machine-type"),
        ("x86_64", "pc-q35-6.2", "unknown", "machine-type-not-asked"),
        ("x86_64", "", "yes", ""),
    ],
)
def test_what_a_host_lacks_is_named(architecture: str, machine: str, kept: str, code: str) -> None:
    found = promise_of(host(), architecture, machine, Policy("restart"))
    assert (found.kept, found.code) == (kept, code)


def test_an_emulator_with_a_builtin_notifier_is_refused() -> None:
    found = promise_of(host(emulators=[emulator("1.5.0")]), "x86_64", "pc", Policy("restart"))
    assert (found.kept, found.code) == ("no", "builtin-panic-device")


@pytest.mark.parametrize("policy", [Policy("crash"), Policy("ignore", coredump=True), Policy("nope")])
def test_what_no_host_keeps_is_refused_whatever_the_record_says(policy: Policy) -> None:
    for machine in ("q35", "pc-q35-6.2", "pc-q35-99.0"):
        assert promise_of(host(), "x86_64", machine, policy).kept == "no"


@settings(max_examples=100)
@given(
    build=st.sampled_from(
        [
            ("1.5.0", "x86_64", "pc"),
            ("2.10.2", "x86_64", "isapc"),
            ("4.2.0", "x86_64", "microvm"),
            ("7.2.22", "x86_64", "q35"),
            ("11.1", "x86_64", "nitro"),
            ("7.2.22", "aarch64", "virt"),
            ("10.0.13", "ppc64", "pseries"),
            ("11.1", "s390x", "s390-ccw-virtio"),
            ("5.2.0", "riscv64", "virt"),
        ]
    ),
    libvirt=st.sampled_from(["0.9.0", "1.2.1", "1.3.0", "7.0.0", "9.0.0", "9.1.0", "12.5.0", "12.8.0"]),
    policy=st.sampled_from(POLICIES["qemu"]),
    kvm=st.booleans(),
)
def test_a_promise_is_kept_if_to_libvirt_translates_such_a_domain(
    build: tuple[str, str, str], libvirt: str, policy: Policy, kvm: bool
) -> None:
    version, target, machine = build
    known = emulator(version, target, [machine], kvm=kvm)
    there = host(libvirt=libvirt, emulators=[known])
    found = promise_of(there, target, machine, policy)
    xml = plain_document("kvm" if kvm else "qemu", target, machine, known.path)
    dump = " coredump='yes'" * policy.coredump
    stated = f"<on_panic{dump}>{policy.on_panic}</on_panic>"
    xml = xml.replace("  <devices>", f"  {stated}\n  <devices>")
    assert there.libvirt is not None
    assert known.record is not None
    code, changes = "", None
    try:
        translated = to_libvirt(xml, known.record, libvirt=there.libvirt.libvirt)
        changes = Document(translated.xml).root.findtext("on_crash"), [one.code for one in translated.notes]
    except RefusedError as error:
        code = error.decision.code
    assert (found.code, found.kept == "yes") == (code, not code)
    promised = found.changes and (found.changes.on_crash, [one.code for one in found.changes.notes])
    assert promised == changes
