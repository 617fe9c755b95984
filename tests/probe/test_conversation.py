"""A conversation is built once and grows: entry by entry it says the same as all at once."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpanic.probe.conversation import Conversation, Entry
from onpanic.probe.conversation.recording import load
from onpanic.probe.emulator.notifier_models import NOTIFIER_MODELS
from onpanic.probe.facts import QUESTIONS
from onpanic.probe.observations.devices import devices

RECORDINGS = sorted((Path(__file__).parent.parent / "recordings").glob("*.jsonl"))
CONVERSATIONS = [c for path in RECORDINGS for c in load(path).conversations]


def shown(conversation: Conversation) -> object:
    """Return everything that can be read from a conversation."""
    return (
        list(conversation.replies),
        conversation.accesses,
        [conversation.events(name) for name in ("GUEST_PANICKED", "STOP", "RESUME")],
        conversation.greeting,
        conversation.failed,
        devices(conversation),
        [question.answered_by([conversation], model) for question in QUESTIONS for model in NOTIFIER_MODELS],
    )


@given(st.sampled_from(CONVERSATIONS), st.data())
def test_a_conversation_that_grows_says_what_it_said_as_a_whole(
    whole: Conversation, data: st.DataObject
) -> None:
    """What was read before it had grown does not change what is read afterwards."""
    cut = data.draw(st.integers(0, len(whole.entries)))
    grown = Conversation(whole.entries[:cut])
    shown(grown)
    for entry in whole.entries[cut:]:
        grown.append(entry)
    assert shown(grown) == shown(whole)


@given(st.sampled_from(CONVERSATIONS), st.data())
def test_a_beginning_is_what_had_been_said_by_then(whole: Conversation, data: st.DataObject) -> None:
    """A beginning shares the replies of the whole, and shows no answer that came later."""
    cut = data.draw(st.integers(0, len(whole.entries)))
    assert shown(whole.beginning(cut)) == shown(Conversation(whole.entries[:cut]))


def test_a_reply_is_validated_once() -> None:
    """A beginning has the very replies of the whole, so that they are not validated again."""
    whole = CONVERSATIONS[0]
    same = zip(whole.beginning(len(whole.entries)).replies, whole.replies, strict=True)
    assert all(one is other for one, other in same)


def test_answers_belong_to_commands_by_their_ids() -> None:
    """Commands that are sent together may be answered in another order."""
    conversation = Conversation(
        [
            Entry("qmp", "send", {"execute": "query-target", "id": 1}),
            Entry("qmp", "send", {"execute": "query-status", "id": 2}),
            Entry("qmp", "recv", {"return": {"status": "running", "running": True}, "id": 2}),
            Entry("qmp", "recv", {"return": {"arch": "x86_64"}, "id": 1}),
        ]
    )
    assert [(r.command, r.received) for r in conversation.replies] == [
        ("query-target", 3),
        ("query-status", 2),
    ]
    assert conversation.reply_at(0).member("arch") == "x86_64"


@pytest.mark.parametrize("answer", [{"return": 42}, {"error": "no"}, {"error": {}, "return": {}}])
def test_an_answer_of_another_type_counts_as_none(answer: dict[str, object]) -> None:
    """It is marked, and nothing is read from it."""
    conversation = Conversation(
        [Entry("qmp", "send", {"execute": "query-target"}), Entry("qmp", "recv", answer)]
    )
    (reply,) = conversation.replies
    assert not reply.ok
    assert reply.malformed
    assert conversation.malformed is reply
