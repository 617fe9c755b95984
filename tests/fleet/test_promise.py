"""What one host can promise, and why not."""

import msgspec
import pytest

from onpanic.fleet.judging.promise import promise_of
from onpanic.probe.decision.policy import Policy

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
