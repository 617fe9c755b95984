"""Emulators that speak QMP and talk nonsense in it: no exception but ours, no fact that is wrong."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import pytest

from onpanic.probe import CapabilityRecord, EmulatorError, probe

from .conftest import EMULATOR

pytestmark = pytest.mark.processes

Altered = Callable[[dict[str, Any]], list[str]]
Command = Callable[..., subprocess.CompletedProcess[str]]
Wrong = Callable[[CapabilityRecord], list[str]]

OUT_OF_PLACE = ["null", "42", '"x"', "{}", "[null]", "[[]]", "[{}]", '[{"name": []}]', '[{"name": {}}]']
REFUSED = '{"error": {"class": "CommandNotFound", "desc": "no"}, "id": $ID}'


def event(name: str, **data: Any) -> str:
    stamp = {"seconds": 0, "microseconds": 0}
    return json.dumps({"event": name, "data": data, "timestamp": stamp}) + "\r\n"


def asked(command: list[str], **options: Any) -> CapabilityRecord | None:
    """Return the record; None where the emulator could not be asked, and that is an `EmulatorError`."""
    try:
        return probe(command, timeout=10, **options)
    except EmulatorError:
        return None


@pytest.mark.parametrize(
    "place",
    [
        "query-machines",
        "qom-list-types",
        "query-commands",
        "query-status",
        "qom-list /machine/peripheral",
        "i",
    ],
)
def test_answers_of_the_wrong_shape(place: str, altered: Altered, wrong: Wrong) -> None:
    """An answer that cannot be read counts as none."""
    commands = [altered({place: {"return": value}}) for value in OUT_OF_PLACE]
    with ThreadPoolExecutor(3) as pool:
        records = list(pool.map(asked, commands))
    for value, record in zip(OUT_OF_PLACE, records, strict=True):
        assert record is not None
        record.to_json()
        assert (value, wrong(record)) == (value, [])


@pytest.mark.parametrize("status", ["NaN", "[]", "{}", "7", "null"])
def test_a_run_state_that_is_no_word_is_not_known(status: str, altered: Altered, wrong: Wrong) -> None:
    record = asked(altered({"query-status#2": {"return": f'{{"status": {status}}}'}}))
    assert record is not None
    assert wrong(record) == []


@pytest.mark.parametrize("port", ["true", "-5", "65536", "1" + "0" * 400, '"x"', "1.5", "null"])
def test_a_port_that_is_none_is_not_believed(port: str, altered: Altered, wrong: Wrong) -> None:
    record = asked(altered({"qom-get /machine/peripheral/onpanic": {"return": port}}))
    assert record is not None
    assert wrong(record) == []


@pytest.mark.parametrize(
    "change",
    [
        {"query-status": {"whole": "\r\n".join(['{"return": {"status": "prelaunch"}, "id": $ID}'] * 3)}},
        {"query-machines": {"before": '{"return": [], "id": "somebody else\'s"}\r\n'}},
        {"cont": {"before": '{"return": {}}\r\n'}},
        {"query-status#2": {"before": '{"return": {"status": "running"}, "id": 5}\r\n'}},
    ],
    ids=["three times", "to another id", "without an id", "to a number"],
)
def test_unsolicited_replies_answer_nothing(change: dict[str, Any], altered: Altered, wrong: Wrong) -> None:
    record = asked(altered(change))
    assert record is not None
    assert wrong(record) == []


@pytest.mark.parametrize(
    ("place", "end"),
    [
        ("query-status#2", {"signal": signal.SIGABRT}),
        *product(["cont#2", "query-status#3"], [{"signal": signal.SIGABRT}, {"exit": 0}, {"exit": 1}]),
    ],
    ids=str,
)
def test_a_crash_after_a_panic_proves_nothing(
    place: str, end: dict[str, int], altered: Altered, wrong: Wrong
) -> None:
    """An emulator that crashes, or ends when the panicked guest is continued, leaves facts unknown."""
    record = asked(altered({place: end}))
    assert record is not None
    assert wrong(record) == []
    assert record.problems


@pytest.mark.parametrize("status", [0, 1])
def test_an_emulator_that_ends_after_a_panic_is_not_one_that_pauses(status: int, altered: Altered) -> None:
    """It reports, whatever the event says of the action; the guest is gone, and all else is still known."""
    record = asked(altered({"query-status#2": {"exit": status}}))
    assert record is not None
    facts = record.facts | record.machines[0].facts
    assert {name: fact.answer for name, fact in facts.items() if name in EMULATOR} == EMULATOR
    assert facts["panic-reported"].answer == "yes"
    assert facts["panic-stops-guest"].answer == "no"
    assert facts["panic-action"].answer == ("exit" if status else "poweroff")
    assert record.accepts("restart").code == "panic-ends-emulator"


def test_a_panic_before_it_was_made_proves_nothing(altered: Altered, wrong: Wrong) -> None:
    for noise in (event("GUEST_PANICKED", action="pause"), event("GUEST_PANICKED") + event("STOP")):
        record = asked(altered({"i": {"before": noise}, "o": {"whole": REFUSED}}))
        assert record is not None
        assert record.machines[0].facts["panic-reported"].answer != "yes"
        assert wrong(record) == []


def test_liars_are_caught(altered: Altered) -> None:
    """A device that is listed and dead, a cont that is accepted and does nothing."""
    dead = {"mask": None, "acts": "silent"}
    for like in (dead, dead | {"builtin": ["pc-i440fx-7.2"]}):
        (machine,) = probe(altered({"like": like})).machines
        assert machine.facts["builtin-pvpanic"].answer == "no"
        isa = machine.notifier_named("isa")
        assert isa is not None
        assert isa.facts["panic-reported"].answer == "no"
        assert "pause" in isa.on_panic.refused
    (machine,) = probe(altered({"cont#2": {"return": "{}"}})).machines
    assert machine.facts["cont-after-panic"].answer == "no"


GREETING = '{"QMP": {"version": {"qemu": {"major": "%s", "minor": 2}, "package": "%s"}, "capabilities": []}}'
TEXTS = {
    "about the machine": {
        "start": {"whole": f"{GREETING}\r\n"},
        "query-machines": {"return": '[{"name": "%s", "alias": "%s", "is-default": true}]'},
        "qom-get /machine": {"return": '"%s-machine"'},
        "qom-list /machine/unattached": {"return": '[{"name": "%s", "type": "child<pvpanic>"}]'},
        "cont#2": {"whole": '{"error": {"class": "GenericError", "desc": "%s"}, "id": $ID}'},
    },
    "about the target": {"query-target": {"return": '{"arch": "%s"}'}},
}


@pytest.mark.parametrize(
    "text", ["\\u001b[34m", "\\ud800", "\\n\\u0000\\u202e"], ids=["escape", "half", "control"]
)
@pytest.mark.parametrize("place", TEXTS)
def test_foreign_texts_are_printed_as_plain_text(
    place: str, text: str, altered: Altered, onpanic: Command
) -> None:
    changes = {
        where: {what: said.replace("%s", text) for what, said in change.items()}
        for where, change in TEXTS[place].items()
    }
    for form in ("text", "json"):
        done = onpanic("probe", "--format", form, "--", *altered(changes))
        assert done.returncode in (0, 2)
        assert done.stdout
        assert all(line.startswith("onpanic: ") for line in done.stderr.splitlines())
        assert [c for c in done.stdout + done.stderr if c < " " and c != "\n"] == []
        assert form == "json" or "\u202e" not in done.stdout


@pytest.mark.parametrize(
    "changes",
    [
        {"query-machines": {"return": '[{"name": "\\u00b2"}, {"name": "b"}]'}},
        {"query-machines": {"return": f'[{{"name": "{"1" * 5000}"}}, {{"name": "b"}}]'}},
        {"query-machines": {"return": '[{"name": "\\ud800"}, {"name": "a\\u0000b"}, {"name": ""}]'}},
        {"query-machines": {"return": f'[{{"name": "{"x" * 200_000}"}}]'}},
        {"i": {"return": f'"= 0x{"9" * 5000}"'}},
        {"query-machines": {"whole": "[" * 900 + "]" * 900}},
        {"query-machines": {"whole": '{"x": ' + "[" * 900 + "]" * 900 + ', "id": $ID}'}},
        {"query-status": {"whole": '{"return": {}, "id": [5]}'}},
        {"query-status": {"return": "1" * 5000}},
        {"cont": {"before": '{"event": 7}\r\n{"event": ["x"]}\r\n{"event": "STOP", "data": 3}\r\n'}},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_values_beyond_measure(changes: dict[str, Any], altered: Altered, wrong: Wrong) -> None:
    record = asked(altered(changes), all_machines=True)
    if record:
        record.to_json()
        assert wrong(record) == []


BUSES = [
    *('[{"devices": null}]', '[{"devices": 7}]', '[{"devices": [null]}]', '[{"devices": {"a": 1}}]'),
    *('[{"devices": [{"regions": null}]}]', '[{"devices": [{"regions": [null]}]}]', "[{}]"),
]


@pytest.mark.parametrize("buses", BUSES)
def test_pci_answers_of_the_wrong_shape(buses: str, altered: Altered, wrong: Wrong) -> None:
    changes = {
        "like": {"target": "aarch64"},
        "info": {"return": '"no tree"'},
        "query-pci": {"return": buses},
        "qtest": "OK 0x3\n",
    }
    record = asked(altered(changes), notifier="pvpanic")
    assert record is not None
    assert wrong(record) == []


def test_pci_answers_of_the_wrong_shape_while_firmware_runs(altered: Altered) -> None:
    """There it is asked again and again, until the register has its place."""
    changes: dict[str, Any] = {f"query-pci#{n}": {"return": buses} for n, buses in enumerate(BUSES, 1)}
    changes |= {"like": {"pci": "by-firmware"}, "qtest": "OK 0x3\n"}
    record = asked(altered(changes), notifier="pvpanic")
    assert record is not None
    assert "0xfebff000" in record.machines[0].facts["panic-reported"].detail


@pytest.mark.parametrize("reply", ["OK\n", "OK junk\n", f"OK {'9' * 5000}\n", "FAIL\n", "\n"])
def test_qtest_answers_of_the_wrong_shape(reply: str, altered: Altered, wrong: Wrong) -> None:
    changes = {"like": {"pci": "by-firmware"}, "qtest": reply}
    record = asked(altered(changes), notifier="pvpanic")
    assert record is not None
    assert wrong(record) == []
    assert record.problems


@pytest.mark.parametrize(
    "changes",
    [
        {"qom-list": {"whole": REFUSED}, "info": {"return": json.dumps("\n" * 400_000 + "dev: x")}},
        {"qom-list": {"whole": REFUSED}, "info": {"return": json.dumps('dev: pvpanic, id "x"\n' * 30_000)}},
        {
            "qom-list /machine/peripheral": {
                "return": json.dumps([{"name": str(i), "type": "child<pvpanic>"} for i in range(18_000)])
            }
        },
    ],
    ids=["empty lines", "many in a tree", "many devices"],
)
def test_much_of_it_is_read_in_time(changes: dict[str, Any], altered: Altered) -> None:
    """Reading is not part of the emulator's deadline: it must not take long, whatever was said."""
    command = [sys.executable, "-m", "onpanic", "probe", "-q", "--timeout", "5", "--", *altered(changes)]
    done = subprocess.run(command, capture_output=True, timeout=20, check=False)
    assert done.returncode in (0, 2)


def test_a_recording_of_anything_can_be_written(altered: Altered, tmp_path: Any, onpanic: Command) -> None:
    for number, value in enumerate(('"\\ud800"', "9" * 400, "[" * 900 + "]" * 900, "NaN")):
        file = tmp_path / f"{number}.jsonl"
        command = altered({"query-machines": {"return": value}})
        assert onpanic("probe", "-q", "--save-recording", str(file), "--", *command).returncode == 0
        assert onpanic("probe", "-q", "--recording", str(file)).returncode == 0
