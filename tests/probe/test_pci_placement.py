"""Placing the register of a PCI pvpanic: what is read from QEMU's answers, and how boards are accessed."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpanic.probe.asking.pci_config import config_spaces
from onpanic.probe.conversation import Conversation, Entry, Reply
from onpanic.probe.emulator.qtest import Qtest
from onpanic.probe.observations.memory_map import mapped_regions, system_regions
from onpanic.probe.observations.pci import (
    FLAT_VIEW,
    IDENTITY,
    PciFunction,
    bar_candidates,
    bars,
    mapped_registers,
    pci_functions,
    pvpanic_function,
    stayed_mapped,
)

from .memory_maps import (
    AST2600,
    C3700,
    CLIPPER,
    FLAT_Q35,
    FULOONG,
    G3BEIGE,
    MALTA,
    PSERIES,
    R2D,
    SABRE,
    VIRT,
)

NOTIFIER = PciFunction(0, 3, 0, IDENTITY)
IDS = {"device": 0x0011, "vendor": 0x1B36}


class PlayedBus(Qtest):
    """A qtest server behind which one function has a configuration space; the rest of memory is zero.

    :param where: Returns the offset in that space that an address leads to, None if it leads elsewhere; it is
        called with the address and with all that was written before.
    :param swapped: Whether registers have the other byte order.
    """

    def __init__(self, where: Callable[[int, dict[int, int]], int | None], *, swapped: bool) -> None:
        super().__init__()
        self._where = where
        self._swapped = swapped
        self._memory: dict[int, int] = {}
        self.space = {0: IDENTITY}

    async def ask(self, line: str) -> str:
        verb, *words = line.split()
        if verb == "rtas":
            return self._rtas(words[0], int(words[2], 0), int(words[4], 0))
        address = int(words[0], 0)
        offset = self._where(address, self._memory)
        target, key = (self._memory, address) if offset is None else (self.space, offset)
        if verb in ("readl", "inl"):
            return hex(self._ordered(target.get(key, 0)))
        target[key] = self._ordered(int(words[1], 0))
        return ""

    def _rtas(self, name: str, arguments: int, results: int) -> str:
        config, _, _, _, value = (self._memory.get(arguments + 4 * n, 0) for n in range(5))
        offset = self._where(config, {})
        if name == "ibm,read-pci-config" and offset is not None:
            self._memory[results + 4] = self.space.get(offset, 0)
        elif offset is not None:
            self.space[offset] = value
        return "0"

    def _ordered(self, value: int) -> int:
        return int.from_bytes(value.to_bytes(4, "little"), "big") if self._swapped else value


def window(base: int) -> Callable[[int, dict[int, int]], int | None]:
    return lambda address, _: address - base if 0 <= address - base < 0x100 else None


def selected(data: int, index: int, expected: int) -> Callable[[int, dict[int, int]], int | None]:
    def where(address: int, memory: dict[int, int]) -> int | None:
        offset = memory.get(index, 0) - expected
        return offset if address == data and 0 <= offset < 0x100 else None

    return where


def bonito(address: int, memory: dict[int, int]) -> int | None:
    offset = (memory.get(0x1FE00118, 0) << 16 | address - 0x1FE80000) - (1 << 14)
    return offset if 0x1FE80000 <= address < 0x1FE90000 and 0 <= offset < 0x100 else None


def viewport(address: int, memory: dict[int, int]) -> int | None:
    enabled = memory.get(0x33800908, 0) == 1 << 31 and memory.get(0x33800904) == 4
    inside = 0 <= address - memory.get(0x3380090C, 0) < 0x100
    return address & 0xFF if enabled and inside and memory.get(0x33800918) == 0x18 << 16 else None


PORTS = (0xCFC, 0xCF8)


@pytest.mark.parametrize(
    ("mtree", "where"),
    [
        pytest.param("", selected(*PORTS, 0x80001800), id="x86"),
        pytest.param(VIRT, window(0x4010018000), id="virt"),
        pytest.param(CLIPPER, window(0x801FE001800), id="clipper"),
        pytest.param(G3BEIGE, selected(0xFEE00000, 0xFEC00000, 0x80001800), id="g3beige"),
        pytest.param(
            C3700, selected(0xFFFFFFFFFED32048, 0xFFFFFFFFFED32040, 0x80001800), id="C3700, second bus"
        ),
        pytest.param(MALTA, selected(0x14000CFC, 0x14000CF8, 0x80001800), id="malta"),
        pytest.param(R2D, selected(0xFE200220, 0xFE2001C0, 0x80001800), id="r2d"),
        pytest.param(FULOONG, bonito, id="fuloong2e"),
        pytest.param(SABRE, viewport, id="mcimx7d-sabre"),
        pytest.param(PSERIES, window(0x1800), id="pseries"),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
async def test_configuration_space_is_found(
    mtree: str, where: Callable[[int, dict[int, int]], int | None], swapped: bool
) -> None:
    """Whatever way a board has to configuration space, and in which byte order, one of those tried is it."""
    regions = system_regions(mtree)
    swapped = swapped and mtree not in ("", SABRE, PSERIES)  # their byte order is known
    with closing(PlayedBus(where, swapped=swapped)) as bus:
        found = [
            space
            for space in config_spaces(regions, bus, on_x86=not mtree)
            if await space.read(NOTIFIER, 0) == IDENTITY
        ]
        assert found
        await found[0].write(NOTIFIER, 0x10, 0xE0000000)
        assert bus.space == {0: IDENTITY, 0x10: 0xE0000000}
        assert await found[0].read(NOTIFIER, 0x10) == 0xE0000000


async def test_a_packet_is_sent_to_the_function() -> None:
    """The AST2600's registers describe a configuration request for the function, and its answer is read."""
    asked: list[str] = []

    class Server(Qtest):
        async def ask(self, line: str) -> str:
            asked.append(line)
            return hex(IDENTITY)

    with closing(Server()) as server:
        (space,) = config_spaces(system_regions(AST2600), server, on_x86=False)
        assert await space.read(NOTIFIER, 0x10) == IDENTITY
    assert asked == [
        "writel 0x1e770010 0x4000001",
        "writel 0x1e770014 0xf",
        "writel 0x1e770018 0x180010",
        "writel 0x1e770024 0x1",
        "readl 0x1e7700cc",
    ]


def test_no_way_to_configuration_space_without_a_region_for_it() -> None:
    """A machine without PCI is not accessed at all."""
    with closing(Qtest()) as qtest:
        assert list(config_spaces(system_regions(FLAT_Q35), qtest, on_x86=False)) == []


def test_regions_are_those_of_the_system() -> None:
    """Regions of other address spaces, disabled ones, and those with relative addresses are left out."""
    regions = {region.name: region for region in system_regions(VIRT)}
    assert "io" not in regions
    assert "bus master" not in regions
    assert "pcie-mmcfg-mmio" not in regions
    ecam = regions["pcie-ecam"]
    assert (ecam.start, ecam.end, ecam.target, ecam.offset) == (
        0x4010000000,
        0x401FFFFFFF,
        "pcie-mmcfg-mmio",
        0,
    )
    assert regions["mach-virt.ram"].target == ""
    assert regions["pcie-mmio-high"].offset == 0x8000000000


@pytest.mark.parametrize(
    ("mtree", "first"),
    [(VIRT, 0x10000000), (G3BEIGE, 0x80000000), (FULOONG, 0x01F00000), (C3700, 0xE0000000), ("", 0xE0000000)],
    ids=["virt", "g3beige", "fuloong2e", "C3700", "nothing"],
)
def test_the_first_candidate_is_in_a_window(mtree: str, first: int) -> None:
    """A window's own PCI address comes first; one that begins at zero is used in its middle."""
    assert bar_candidates(system_regions(mtree))[0] == first


@given(
    st.lists(
        st.builds(
            "    {:016x}-{:016x} (prio {}, {}): {}{}".format,
            st.integers(0, 2**64 - 1),
            st.integers(0, 2**64 - 1),
            st.integers(-9999, 9999),
            st.sampled_from(["i/o", "ram", "container", "romd"]),
            st.sampled_from(
                ["pvpanic", "pci-mmio", "alias a @pci.mem 0000000000000000-00000000000fffff", "pci"]
            ),
            st.sampled_from(["", " [disabled]", " KVM", " @0000000000000002"]),
        )
    )
)
def test_a_candidate_is_an_address_of_32_bits_that_a_bridge_can_pass(lines: list[str]) -> None:
    """Whatever a memory map shows, BAR 0 gets aligned addresses of 32 bits, each once."""
    text = "\n".join(["address-space: memory", *lines])
    found = bar_candidates(system_regions(text))
    assert all(0 < bar < 2**32 and bar % 2**20 == 0 for bar in found if bar != IDENTITY)
    assert len(found) == len(set(found))


@given(st.text())
def test_no_text_is_too_strange(text: str) -> None:
    """Answers of builds that print something else have no regions, and raise nothing."""
    assert system_regions(text) == []
    assert list(mapped_regions(text)) == []
    assert mapped_registers(text) == []


def test_the_register_is_where_the_cpu_reaches_it() -> None:
    """The ISA device's port, and what only SMM or other devices reach, are not addresses of the register."""
    assert mapped_registers(FLAT_Q35) == [0xE0000000]
    names = {region.name for region in mapped_regions(FLAT_Q35)}
    assert names == {"pc.ram", "pci", "pvpanic"}


def reply(command: str, value: Any, sent: int = 0, **arguments: Any) -> Reply:
    return Reply.of(command, arguments, {"return": value}, sent, sent + 1)


def device(slot: int, **members: Any) -> dict[str, Any]:
    return {"bus": 0, "slot": slot, "function": 0, "id": {"device": 1, "vendor": 2}, "regions": [], **members}


def bridge(slot: int, secondary: int, *devices: dict[str, Any]) -> dict[str, Any]:
    bus = {"number": 0, "secondary": secondary, "subordinate": secondary}
    return device(slot, pci_bridge={"bus": bus, **({"devices": list(devices)} if devices else {})})


def test_the_probe_s_own_device_comes_first() -> None:
    """A notifier of the user's command line is used only if the probe added none."""
    theirs, own = device(2, id=IDS, qdev_id="theirs"), device(3, id=IDS, qdev_id="onpanic")
    both = pci_functions(reply("query-pci", [{"bus": 0, "devices": [theirs, own]}]))
    found = pvpanic_function(both)
    assert found is not None
    assert found.slot == 3
    found = pvpanic_function(both[:1])
    assert found is not None
    assert (found.slot, found.identity) == (2, IDENTITY)
    assert pvpanic_function([]) is None


def test_a_device_behind_bridges_is_found_with_them() -> None:
    """The bridges above a device are known, and a bus that has no number yet."""
    inner = bridge(1, 2, device(3, bus=2, id=IDS, regions=[{"address": 0xFE000000}]))
    answer = reply("query-pci", [{"bus": 0, "devices": [bridge(4, 1, inner), bridge(5, 0)]}])
    functions = pci_functions(answer)
    found = pvpanic_function(functions)
    assert found is not None
    assert [above.slot for above in found.bridges] == [4, 1]
    assert [f.slot for f in functions if f.secondary == 0] == [5]
    assert bars(answer) == [0xFE000000]


def test_an_endless_row_of_bridges_is_not_followed() -> None:
    """An answer with bridges behind bridges without end takes no more than a bounded depth."""
    nested = device(0)
    for _ in range(300):
        nested = bridge(1, 1, nested)
    assert len(pci_functions(reply("query-pci", [{"bus": 0, "devices": [nested]}]))) < 50


def looked(*views: str | None) -> Conversation:
    """Return a conversation with a write after the first look: texts of looks, None for a reset."""
    entries = []
    for number, view in enumerate(views):
        line = {"command-line": FLAT_VIEW}
        command = (
            {"execute": "human-monitor-command", "arguments": line} if view else {"execute": "system_reset"}
        )
        entries.append(Entry("qmp", "send", {**command, "id": number}))
        entries.append(Entry("qmp", "recv", {"return": view or {}, "id": number}))
    entries[2:2] = [Entry("qtest", "send", "writeb 0xe0000000 0x1"), Entry("qtest", "recv", "OK")]
    return Conversation(entries)


@pytest.mark.parametrize(
    ("views", "stayed"),
    [
        ((FLAT_Q35, FLAT_Q35), True),
        ((FLAT_Q35, FLAT_Q35.replace("e0000000", "febf1000")), False),
        ((FLAT_Q35, None, FLAT_Q35), False),
        ((FLAT_Q35,), False),
        ((None,), True),
    ],
    ids=["there", "moved", "reset", "not looked at again", "never looked at"],
)
def test_a_write_may_have_been_lost(views: tuple[str | None, ...], stayed: bool) -> None:
    """Only a register that is seen again where it was is known to have been reached."""
    assert stayed_mapped(looked(*views), 0xE0000000, 2) is stayed
