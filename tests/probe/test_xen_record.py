"""The record of a Xen host, from what its toolstack says."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from onpanic.cli import main
from onpanic.probe import CapabilityRecord
from onpanic.probe.facts.xen_questions import ON_CRASH_FACTS, ON_CRASH_WORDS
from onpanic.probe.record.capability_record import Probed
from onpanic.probe.record.screen import Style, screen
from onpanic.probe.xen.ask_xl import guest_types_of
from onpanic.probe.xen.record_of_xen import record_of_xen
from onpanic.probe.xen.xen_conversation import CONTROL_WORD, XenAnswer, XenConversation

YES = XenAnswer(accepted=True)
UNKNOWN_WORD = XenAnswer(accepted=False, said="Unknown on_crash action")
ALL = dict.fromkeys(("", *ON_CRASH_WORDS), YES) | {CONTROL_WORD: UNKNOWN_WORD}
X86 = "xen-3.0-x86_64 hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64"


def record(words: Mapping[str, XenAnswer] = ALL, capabilities: str = X86) -> CapabilityRecord:
    conversation = XenConversation(
        toolstack="xl",
        version="4.17.7",
        target="x86_64",
        guest_types=guest_types_of(capabilities),
        types_from=f"Xen's capabilities: {capabilities}",
        words=words,
    )
    return record_of_xen(conversation, Probed("2026-11-27T12:00:00Z", "onpanic", 0.5))


@pytest.mark.parametrize("word", ON_CRASH_WORDS)
def test_accepted_words(word: str) -> None:
    """A crash action that the toolstack accepts is accepted, by its own name or with a coredump."""
    action = word.removeprefix("coredump-")
    assert record().facts[ON_CRASH_FACTS[word]].answer == "yes"
    assert record().accepts("crash", on_crash=action, on_crash_coredump=action != word, machine="pvh")


def test_refused_word() -> None:
    """A crash action that the toolstack refuses is refused, with the toolstack's words."""
    found = record(ALL | {"rename-restart": UNKNOWN_WORD})
    decision = found.accepts("crash", on_crash="rename-restart")
    assert decision.code == "crash-action-refused"
    assert "Unknown on_crash action" in decision.reason
    assert found.accepts("default", on_crash="preserve")
    assert found.accepts("crash")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (ALL | {CONTROL_WORD: YES}, "a crash action that does not exist"),
        (ALL | {"": XenAnswer(accepted=False, said="cannot init xl context")}, "cannot init xl context"),
        ({"": YES, CONTROL_WORD: UNKNOWN_WORD}, "did not answer"),
        ({"": YES}, "did not answer"),
        ({}, "did not answer"),
    ],
)
def test_unknown_words(words: Mapping[str, XenAnswer], said: str) -> None:
    """Nothing is concluded from a toolstack that accepts or refuses everything, or did not answer."""
    found = record(words)
    fact = found.facts["on-crash-restart"]
    assert fact.answer == "unknown"
    assert said in f"{fact.detail} {found.problems}"
    assert record(words).accepts("crash", on_crash="restart").code == "toolstack-inconclusive"


@pytest.mark.parametrize(
    ("capabilities", "answers"),
    [
        (X86, ["yes", "yes", "yes"]),
        ("xen-3.0-x86_64", ["yes", "no", "no"]),
        ("hvm-3.0-x86_64", ["no", "yes", "yes"]),
        ("xen-3.0-aarch64 xen-3.0-armv7l", ["unknown", "unknown", "unknown"]),
        ("", ["unknown", "unknown", "unknown"]),
    ],
)
def test_guest_types(capabilities: str, answers: list[str]) -> None:
    """Xen's capabilities say which guests run: PV, PVH, HVM; on Arm they do not."""
    found = record(capabilities=capabilities)
    assert [
        found.machine(name).facts["guest-type-supported"].answer for name in ("pv", "pvh", "hvm")
    ] == answers
    codes = {"yes": "", "no": "xen-guest-type-missing", "unknown": "toolstack-inconclusive"}
    expected = [codes[answer] for answer in answers]
    assert [found.accepts("crash", machine=name).code for name in ("xenpv", "xenpvh", "xenfv")] == expected


def test_decision_in_the_record() -> None:
    """Only default and crash are accepted on Xen, without a coredump of <on_panic>'s own."""
    decision = record().machine().on_panic
    assert list(decision.accepted) == ["default", "crash"]
    assert {one.code for one in decision.refused.values()} == {"xen-only-crash"}
    assert not any(one.coredump for one in decision.accepted.values())


def test_json() -> None:
    """The record is read as it was written, and says that it is Xen's."""
    found = CapabilityRecord.from_json(record().to_json())
    assert found == record()
    assert found.hypervisor == "xen"
    assert msgspec.json.decode(record().to_json())["emulator"]["hypervisor"] == "xen"


def test_screen() -> None:
    """The screen names the toolstack and the Xen, and no emulator."""
    text = screen(record(capabilities="xen-3.0-x86_64"), Style())
    assert text.startswith("xl: Xen 4.17.7, x86_64\n")
    assert "xenpv (pv, default): a crash ends in what <on_crash> says" in text
    assert "2 machine types (xenpvh xenfv): this Xen runs no such guests" in text
    assert "emulator" not in text


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--machine", "q35"], "it has xenpv, xenpvh, xenfv", "name one of these"),
        (["--notifier", "isa"], "--notifier has no meaning on Xen", "leave it out"),
    ],
)
def test_what_only_qemu_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str, hint: str
) -> None:
    """A machine type of QEMU's, or a notifier, does not go with the record of a Xen host."""
    path = tmp_path / "xen.json"
    path.write_bytes(record().to_json())
    assert main(["accept", "crash", "--record", str(path), *words]) == 2
    printed = capsys.readouterr()
    assert (printed.out, message in printed.err, hint in printed.err) == ("", True, True)
