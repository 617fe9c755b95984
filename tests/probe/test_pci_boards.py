"""The PCI pvpanic on real boards: each is made to report a panic."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from onpanic.probe.asking.converse import Asking, converse
from onpanic.probe.asking.making_panics import panic_through_pci
from onpanic.probe.asking.session import Session
from onpanic.probe.conversation import Conversation, Reply
from onpanic.probe.emulator.command_line import X86, command_line, guess_target, required_options
from onpanic.probe.emulator.reaper import Reaper
from onpanic.probe.observations.pci import FLAT_VIEW, mapped_registers

pytestmark = pytest.mark.emulators

TIMEOUT = 60.0
BOARDS = [
    ("bookworm", "x86_64", "pc"),
    ("bookworm", "x86_64", "q35"),
    ("sid", "x86_64", "pc"),
    ("sid", "x86_64", "microvm,pcie=on"),
    *(
        ("trixie", target, machine)
        for target, machine in (
            ("x86_64", "q35"),
            ("aarch64", "virt"),
            ("aarch64", "imx8mp-evk"),
            ("alpha", "clipper"),
            ("arm", "mcimx7d-sabre"),
            ("hppa", "B160L"),
            ("hppa", "C3700"),
            ("loongarch64", "virt"),
            ("or1k", "virt"),
            ("ppc", "40p"),
            ("ppc", "bamboo"),
            ("ppc", "g3beige"),
            ("ppc", "mac99"),
            ("ppc", "ppce500"),
            ("ppc", "sam460ex"),
            ("ppc64", "mac99"),
            ("ppc64", "pseries"),
            ("riscv32", "virt"),
            ("riscv64", "virt"),
            ("xtensa", "virt"),
        )
    ),
]
ROOT_PORTS = ("pcie-root-port,id=first,chassis=1", "pcie-root-port,id=second,chassis=2")
BRIDGES = [
    ("x86_64", "q35", (*ROOT_PORTS, "pvpanic-pci,bus=second")),
    ("x86_64", "q35", (*ROOT_PORTS, "pcie-pci-bridge,id=third,bus=second", "pvpanic-pci,bus=third,addr=3")),
    ("x86_64", "pc", ("pxb,bus_nr=128,id=other", "pvpanic-pci,bus=other,addr=3")),
    ("aarch64", "virt", (*ROOT_PORTS, "pvpanic-pci,bus=second")),
    ("ppc64", "pseries", ("spapr-pci-host-bridge,index=1,id=other", "pvpanic-pci,bus=other.0")),
]


@pytest.fixture
def reaper() -> Iterator[Reaper]:
    with Reaper() as found:
        yield found


async def make(session: Session) -> None:
    await panic_through_pci(session, on_x86=guess_target(session.conversation.argv) in X86)


async def held(argv: list[str], reaper: Reaper, asking: Asking = make) -> Conversation:
    deadline = asyncio.get_running_loop().time() + TIMEOUT
    return await converse(argv, asking, reaper, deadline, qtest=True)


def outcome(conversation: Conversation) -> tuple[str, list[Any], list[str]]:
    """Return why a conversation failed, the last event's action, and the last run states."""
    actions = [data["action"] for _, data in conversation.events("GUEST_PANICKED")]
    states = [r.member("status") for r in conversation.replies if r.command == "query-status"]
    return conversation.failed, actions[-1:], states[-2:]


PANICKED = ("", ["pause"], ["guest-panicked", "running"])


@pytest.mark.parametrize(("suite", "target", "machine"), BOARDS)
async def test_a_board_s_notifier_reports(
    suite: str, target: str, machine: str, debian_emulator: Callable[..., list[str]], reaper: Reaper
) -> None:
    """The panic is reported and stops the guest, and the register is where the machine's flat view says."""
    argv = command_line(
        debian_emulator(suite, f"qemu-system-{target}"),
        machine,
        device="pvpanic-pci",
        # Firmware that has nothing to boot may shut the guest down: let it wait
        extra=[*required_options(target), "-boot", "menu=on"],
    )
    conversation = await held(argv, reaper)
    assert outcome(conversation) == PANICKED
    looks = conversation.all_replies("human-monitor-command", **{"command-line": FLAT_VIEW})
    seen = {address for look in looks for address in mapped_registers(str(look.value))}
    written = {
        a.address for a in conversation.accesses if (a.kind, a.space, a.value) == ("write", "memory", 1)
    }
    assert written & seen


@pytest.mark.parametrize(("target", "machine", "devices"), BRIDGES)
async def test_a_notifier_of_the_user_s_behind_bridges(
    target: str,
    machine: str,
    devices: tuple[str, ...],
    debian_emulator: Callable[..., list[str]],
    reaper: Reaper,
) -> None:
    """A device that the command line puts behind bridges, or on a bus of its own, is reached there."""
    options = [word for value in devices for word in ("-device", value)]
    argv = command_line(debian_emulator("trixie", f"qemu-system-{target}"), machine, extra=options)
    assert outcome(await held(argv, reaper)) == PANICKED


@pytest.mark.parametrize("after", ["info mtree", "query-pci", FLAT_VIEW])
async def test_an_emulator_that_dies_meanwhile(
    after: str, debian_emulator: Callable[..., list[str]], reaper: Reaper
) -> None:
    """An emulator that ends while the register is placed fails the conversation, and raises nothing."""

    async def ask(session: Session) -> None:
        usual = session.ask

        async def fatal(command: str, **arguments: Any) -> Reply:
            answer = await usual(command, **arguments)
            if after in (command, arguments.get("command-line")) and session.process:
                os.kill(session.process.pid, signal.SIGKILL)
            return answer

        session.ask = fatal  # type: ignore[method-assign]
        await panic_through_pci(session, on_x86=True)

    argv = command_line(debian_emulator("bookworm"), "pc", device="pvpanic-pci")
    conversation = await held(argv, reaper, ask)
    assert conversation.fault == "EndedError"
    assert not conversation.events("GUEST_PANICKED")
