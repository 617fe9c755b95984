"""Hyper-V's crash registers on a KVM that has them, nested in TCG."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import msgspec
import pytest

from onpanic.core.errors import FetchError
from onpanic.probe import CapabilityRecord
from onpanic.probe.conversation import Conversation, Entry
from onpanic.probe.emulator.boot_image import FAULTED, PASSED
from onpanic.probe.emulator.command_line import command_line
from onpanic.probe.observations.guest_code import marker

from ..running import hyperv_session
from ..running.kvm_lab import KvmLab, kvm_lab

pytestmark = pytest.mark.emulators

NAME = "qemu-system-x86_64"


class Start(NamedTuple):
    """How an emulator is started in the lab."""

    suite: str
    machine: str = "pc"
    accel: str = "kvm"
    cpu: str = "qemu64,hv-crash"


class HypervOutcome(NamedTuple):
    """What a conversation shows: why it broke off, events, run states, and how far the guest's code got."""

    failed: str
    events: list[dict[str, Any]]
    states: list[str]
    marker: int = 0


EVENT = {"action": "pause"}
INFO = {"type": "hyper-v"} | {f"arg{n + 1}": 0x6F6E7000 + n for n in range(5)}
REPORTED = HypervOutcome("", [EVENT | {"info": INFO}], ["guest-panicked", "running"])
EXPECTED = {
    Start("bullseye"): REPORTED,
    Start("bookworm"): REPORTED,
    Start("trixie"): REPORTED,
    Start("sid"): REPORTED._replace(events=[EVENT]),  # 11.1 says less, on the same kernel
    Start("trixie", "q35"): REPORTED,
    Start("trixie", "isapc"): REPORTED,
    Start("trixie", "microvm"): REPORTED,
    # TCG ignores the write; without a Hyper-V flag KVM's CPU has no such registers
    Start("trixie", accel="tcg"): HypervOutcome("", [], ["running"], PASSED),
    Start("trixie", cpu="qemu64"): HypervOutcome("", [], ["running"], FAULTED),
}


@pytest.fixture
def lab(unavailable: Callable[[str], NoReturn]) -> Iterator[KvmLab]:
    try:
        with kvm_lab() as booted:
            yield booted
    except FetchError as error:
        unavailable(f"no lab: {' / '.join(str(error).splitlines())}")


def test_hyperv_on_kvm(lab: KvmLab, debian_emulator: Callable[..., list[str]]) -> None:
    """With hv-crash every QEMU on KVM reports the crash and stops the guest, and ``cont`` continues it."""
    lines = [
        command_line(debian_emulator(s.suite, NAME), s.machine, accel=s.accel, extra=["-cpu", s.cpu])
        for s in EXPECTED
    ]
    words = (sys.executable, str(Path(hyperv_session.__file__)), *map(json.dumps, lines))
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = lab.run(*words, environment=environment)
    assert done.returncode == 0, done.stderr
    held = map(Conversation, msgspec.json.decode(done.stdout, type=list[list[Entry]]))
    assert {start: outcome(one) for start, one in zip(EXPECTED, held, strict=True)} == EXPECTED

    # The command, as a user runs it on such a host
    options = ("--notifier", "hyperv", "--timeout", "100", "--format", "json")
    emulator = debian_emulator("trixie", NAME)
    command = (sys.executable, "-m", "onpanic", "probe", *options, "--", *emulator)
    printed = lab.run(*command, environment=environment)
    assert printed.returncode == 0, printed.stderr
    record = CapabilityRecord.from_json(printed.stdout)
    assert record.machine().notifier == "hyperv"
    assert record.machine().facts["cont-after-panic"].how == "observed"
    assert record.accepts("restart", coredump=True)


def outcome(conversation: Conversation) -> HypervOutcome:
    """Return what a conversation shows."""
    events = [data for _, data in conversation.events("GUEST_PANICKED")]
    states = [r.member("status") for r in conversation.replies if r.command == "query-status"]
    return HypervOutcome(conversation.failed, events, states, marker(conversation))
