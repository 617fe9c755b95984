"""Whether a machine type can have the vmcoreinfo device: by its fw_cfg, and by a running machine."""

from typing import Any

import pytest

from onpanic.probe import Fact
from onpanic.probe.conversation import Conversation, Entry
from onpanic.probe.facts import MACHINE_QUESTIONS
from onpanic.probe.testing import PlayedEmulator

from .played_probe import probed

QUESTION = MACHINE_QUESTIONS["vmcoreinfo-attachable"]
PLAYED = PlayedEmulator(machines=("pc-i440fx-7.2=pc", "none"))
MISSING = {"class": "DeviceNotFound", "desc": "Device '/machine/fw_cfg' not found"}


def fact_of(like: PlayedEmulator) -> Fact:
    return probed(like, "pc", notifier="isa").machine("pc").facts[QUESTION.name]


@pytest.mark.parametrize(
    ("changes", "answer", "says"),
    [
        ({}, "yes", "its fw_cfg has DMA"),
        ({"vmcoreinfo": False}, "no", "no type vmcoreinfo"),
        ({"without_fw_cfg": ("pc-i440fx-7.2",)}, "no", "no fw_cfg"),
        ({"without_dma": ("pc-i440fx-7.2",)}, "no", "no DMA"),
        ({"late_fw_cfg": ("pc-i440fx-7.2",)}, "no", "made after all devices"),
        ({"lacks": ("qom-get",)}, "unknown", "does not answer"),
        ({"lacks": ("qom-list-types", "device-list-properties")}, "unknown", "whether it has the type"),
        ({"unstartable": {"pc-i440fx-7.2": "no"}}, "unknown", "does not start"),
    ],
)
def test_fw_cfg_says_it(changes: dict[str, Any], answer: str, says: str) -> None:
    found = fact_of(PLAYED.but(**changes))
    assert found.answer == answer
    assert says in found.detail


@pytest.mark.parametrize("changes", [{}, {"without_dma": ("pc-i440fx-7.2",)}, {"vmcoreinfo": False}])
def test_it_decides_nothing(changes: dict[str, Any]) -> None:
    """What a policy becomes of it is up to the user; a guest panics with and without the device."""
    record = probed(PLAYED.but(**changes), "pc", notifier="isa")
    assert set(record.machine("pc").on_panic.refused) == {"crash"}


@pytest.mark.parametrize(
    ("replies", "answer"),
    [
        ({"dma_enabled": {"return": True}, "hotplugged": {"return": False}}, "yes"),
        ({"dma_enabled": {"return": True}, "hotplugged": {"return": True}}, "no"),
        ({"dma_enabled": {"return": False}}, "no"),
        ({"dma_enabled": {"error": MISSING}}, "no"),
        ({"dma_enabled": {"return": True}}, "unknown"),
        ({"dma_enabled": {"return": "true"}, "hotplugged": {"return": False}}, "unknown"),
        ({"dma_enabled": {"return": 1}, "hotplugged": {"return": False}}, "unknown"),
        ({"dma_enabled": {"return": True}, "hotplugged": {"return": None}}, "unknown"),
        ({"dma_enabled": {"error": {"class": "GenericError", "desc": "no"}}}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_only_a_boolean_is_an_answer(replies: dict[str, dict[str, Any]], answer: str) -> None:
    questions = [
        ("device-list-properties", {"typename": "vmcoreinfo"}, {"return": []}),
        *(("qom-get", {"path": "/machine/fw_cfg", "property": n}, r) for n, r in replies.items()),
    ]
    assert QUESTION.answered_by([conversation(*questions)]).answer == answer


@pytest.mark.parametrize(("folder", "status"), [("peripheral", "running"), ("peripheral-anon", "paused")])
def test_a_running_machine_lists_it(folder: str, status: str) -> None:
    listing = [{"name": "device[0]", "type": "child<vmcoreinfo>"}]
    found = conversation(
        ("query-status", {}, {"return": {"status": status, "running": status == "running"}}),
        ("qom-list", {"path": f"/machine/{folder}"}, {"return": listing}),
    )
    fact = QUESTION.answered_by([found])
    assert (fact.answer, fact.detail) == ("yes", "the running machine has a vmcoreinfo")


def conversation(*questions: tuple[str, dict[str, str], dict[str, Any]]) -> Conversation:
    """Return a conversation with a running machine, from commands, arguments and answers."""
    found = Conversation()
    for number, (command, arguments, answer) in enumerate(questions):
        found.append(Entry("qmp", "send", {"execute": command, "arguments": arguments, "id": number}, 0.0))
        found.append(Entry("qmp", "recv", {**answer, "id": number}, 0.0))
    return found
