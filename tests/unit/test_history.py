"""What a client sent, beside what is stored."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansard.core import strict_json
from hansard.core.digest import GENESIS, chain
from hansard.core.errors import InvalidInput
from hansard.core.history import Relation, continues, find_new, is_whole, plain
from hansard.core.history import relate as relate_stored

Body = dict[str, Any]

SYSTEM: Body = {"role": "system", "content": "Be brief."}
CALL: Body = {
    "id": "c1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Ulm", "days": 2}'},
}


def relate(held: list[Body], sent: list[Body], way: str = "auto") -> Relation:
    """Relate, and see that the end of what is stored says the same as all of it."""
    relation = relate_stored(held, sent, way)
    for size in range(len(held)):
        new_from = find_new(held[size:], len(held), sent)
        assert way == "new" or new_from in {None, relation.new_from}
    return relation


def user(text: str) -> Body:
    return {"role": "user", "content": text}


def says(text: str) -> Body:
    return {"role": "assistant", "content": text}


HELD = [SYSTEM, user("1"), says("one"), user("2"), says("two")]

OTHER_WORDS = [
    ({"role": "assistant", "content": "x"}, {"role": "assistant", "content": "x", "refusal": None}),
    (
        {"role": "assistant", "content": "x"},
        {"role": "assistant", "content": "x", "tool_calls": []},
    ),
    (
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    **CALL,
                    "index": 0,
                    "function": {"name": "weather", "arguments": '{"days":2,"city":"Ulm"}'},
                }
            ],
        },
    ),
    (user("x"), {"role": "user", "content": [{"type": "text", "text": "x"}]}),
    (
        user("x"),
        {
            "role": "user",
            "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}],
        },
    ),
    (says(" x\n"), says("x")),
    (user("x "), {"role": "user", "content": [{"type": "text", "text": "\tx"}]}),
    (
        {"role": "assistant", "content": "x", "annotations": [{"url": "u"}], "reasoning": "r"},
        {"role": "assistant", "content": "x"},
    ),
]

DIFFERENT = [
    (user("x"), user("y")),
    (user("x"), says("x")),
    (says("x"), {"role": "assistant", "content": None, "refusal": "x"}),
    (
        {"role": "tool", "tool_call_id": "a", "content": "x"},
        {"role": "tool", "tool_call_id": "b", "content": "x"},
    ),
    (
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "assistant", "tool_calls": [{**CALL, "id": "c2"}]},
    ),
    (user("x"), {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "file"}]}),
]


def test_first_messages_are_all_new() -> None:
    assert relate([], [SYSTEM, user("1")]) == Relation(keeps_history=True, new_from=0)


def test_client_that_keeps_the_history_adds_its_end() -> None:
    assert relate(HELD, [*HELD, user("3")]) == Relation(keeps_history=True, new_from=5)


def test_client_that_sends_what_is_new_has_the_history_before_it() -> None:
    assert relate(HELD, [user("3")]) == Relation(keeps_history=False, new_from=0)


def test_instructions_are_not_repeated() -> None:
    assert relate(HELD, [SYSTEM, user("3")]) == Relation(keeps_history=False, new_from=1)
    other = {"role": "system", "content": "Be long."}
    assert relate(HELD, [other, user("3")]) == Relation(keeps_history=False, new_from=0)


@pytest.mark.parametrize("asked", [[user("3")], [user("3"), user("4")]])
@pytest.mark.parametrize("before", [[], [SYSTEM]])
def test_question_without_an_answer_is_not_repeated(asked: list[Body], before: list[Body]) -> None:
    sent = [*before, *asked]
    assert relate([*HELD, *asked], sent) == Relation(keeps_history=False, new_from=len(sent))


def test_same_question_after_an_answer_is_new() -> None:
    held = [user("1"), says("one")]
    assert relate(held, [user("1")]) == Relation(keeps_history=False, new_from=0)


def test_history_without_its_beginning_is_recognised() -> None:
    sent = [*HELD[2:], user("3")]
    assert relate(HELD, sent) == Relation(keeps_history=True, new_from=3)
    assert relate(HELD, [SYSTEM, *HELD[3:], user("3")]) == Relation(keeps_history=True, new_from=3)


def test_history_that_went_another_way_is_recorded_from_there() -> None:
    edited = [SYSTEM, user("1"), says("one"), user("two?"), says("2"), user("3")]
    assert relate(HELD, edited) == Relation(keeps_history=True, new_from=3)
    assert relate(HELD, [SYSTEM, user("1"), says("one"), user("two?")]).new_from == 3
    assert relate(HELD, [SYSTEM, user("1"), says("one"), user("2"), user("3")]).new_from == 4


def test_what_was_edited_before_an_answer_is_not_new() -> None:
    other = {"role": "system", "content": "Today is Monday."}
    for before in ([other, *HELD[1:4]], [other], [SYSTEM, user("so far: 1"), user("2")], []):
        sent = [*before, says("two"), user("3")]
        assert relate(HELD, sent) == Relation(keeps_history=True, new_from=len(sent) - 1)
    assert relate(HELD[:2], [other, user("1")]) == Relation(keeps_history=True, new_from=2)
    assert relate([*HELD, user("3")], [other, *HELD[1:], user("3")]).new_from == 6
    assert relate([*HELD, user("3")], [other, *HELD[1:], user("4")]).new_from == 5


def test_way_from_the_middle_begins_where_it_parts_although_an_answer_came_twice() -> None:
    held = [user("1"), says("yes"), user("2"), says("yes"), says("no")]
    sent = [*held[:3], user("4")]
    assert relate(held, sent) == Relation(keeps_history=True, new_from=3)


def test_whole_history_is_not_cut_at_an_answer_that_comes_twice() -> None:
    repeated = [*HELD, user("3"), says("two"), user("4")]
    assert relate(HELD, repeated) == Relation(keeps_history=True, new_from=len(HELD))


def test_client_says_which_it_is() -> None:
    again = [SYSTEM, user("1")]
    assert relate(HELD, again, "full") == Relation(keeps_history=True, new_from=2)
    assert relate(HELD, [*HELD, user("3")], "new") == Relation(keeps_history=False, new_from=1)
    with pytest.raises(InvalidInput):
        relate(HELD, again, "some")


@pytest.mark.parametrize("turns", [1, 3])
def test_question_that_is_sent_again_after_its_answer_is_not_new(turns: int) -> None:
    held = [SYSTEM, *[each for turn in range(turns) for each in (user(f"{turn}"), says("so"))]]
    for asked in ([SYSTEM, held[-2]], [held[-2]]):
        again = Relation(keeps_history=False, new_from=len(asked), held=len(held) - 1)
        assert relate(held, asked, "retry") == again
        assert relate(held, asked).held is None
    assert relate(held, [user("other")], "retry") == relate(held, [user("other")])
    whole = [*held[:-1], user("more")]
    assert relate(held, whole, "retry") == relate(held, whole)


def test_whole_history_is_told_without_the_record() -> None:
    assert not is_whole([SYSTEM, user("1")])
    assert is_whole([user("1"), says("one"), user("2")])
    assert is_whole([user("1")], "full")
    assert not is_whole([user("1"), says("one"), user("2")], "new")


@pytest.mark.parametrize(("stored", "sent"), OTHER_WORDS)
def test_same_message_in_other_words(stored: Body, sent: Body) -> None:
    assert relate([user("0"), stored], [user("0"), sent, user("1")]).new_from == 2
    assert relate([user("0"), sent], [user("0"), stored, user("1")]).new_from == 2


@pytest.mark.parametrize(("stored", "sent"), DIFFERENT)
def test_other_message(stored: Body, sent: Body) -> None:
    assert relate([user("0"), stored], [user("0"), sent, user("1")], "full").new_from == 1


@pytest.mark.parametrize("odd", [5, "calls", {"a": 1}, [1, None]])
def test_message_of_odd_shape_is_compared_too(odd: Any) -> None:
    message = {"role": "assistant", "content": odd, "tool_calls": odd, "function_call": odd}
    assert relate([message], [message, user("1")]).new_from == 1


def digest_of(messages: list[Body]) -> str:
    digests = chain(GENESIS, map(strict_json.canonicalize, messages))
    return (digests[-1] if digests else GENESIS).hex()


def test_digest_tells_a_beginning() -> None:
    digest = digest_of(HELD)
    assert continues([*HELD, user("3")], len(HELD), digest)
    assert continues(HELD, len(HELD), digest)
    assert continues([user("1")], 0, digest_of([]))
    assert not continues(HELD[:-1], len(HELD), digest)
    assert not continues([*HELD[:-1], says("three")], len(HELD), digest)
    wordy = {**HELD[2], "refusal": None, "annotations": []}
    assert continues([*HELD[:2], wordy, *HELD[3:]], len(HELD), digest)
    assert plain(wordy) == HELD[2]


texts = st.sampled_from("abc")
messages = st.one_of(texts.map(user), texts.map(says), st.just(SYSTEM))
lists = st.lists(messages, max_size=8)


@given(lists, lists)
def test_digest_agrees_with_the_messages(held: list[Body], sent: list[Body]) -> None:
    begins = sent[: len(held)] == held
    assert continues(sent, len(held), digest_of(held)) == begins
    if begins:
        assert relate(held, sent) == Relation(keeps_history=True, new_from=len(held))


@given(st.data())
def test_whatever_a_client_edits_is_recorded_once(data: st.DataObject) -> None:
    """It may change all that stands before the last answer: only its question is new."""
    held: list[Body] = []
    before: list[Body] = []
    for number in range(6):
        asked = user(f"question {number}")
        relation = relate(held, [*before, asked])
        assert relation.keeps_history
        assert number == 0 or relation.new_from == len(before)
        answer = says(f"answer {number}")
        held += [*[*before, asked][relation.new_from :], answer]
        edits = st.lists(messages | st.sampled_from([SYSTEM, *held[:-2]]), max_size=4)
        before = [*data.draw(edits), answer]
    assert len(held) == 12


@given(lists, lists, st.sampled_from(["auto", "full", "new", "retry"]))
def test_nothing_that_is_new_is_lost(held: list[Body], sent: list[Body], way: str) -> None:
    """It is new unless it is stored, or stands before an answer that is."""
    relation = relate(held, sent, way)
    assert 0 <= relation.new_from <= len(sent)
    dropped = sent[: relation.new_from]
    answers = [
        place for place, each in enumerate(dropped) if each["role"] == "assistant" and each in held
    ]
    after = dropped[answers[-1] :] if answers else dropped
    talk = [each for each in after if relation.keeps_history is False or each != SYSTEM]
    assert all(message in held for message in talk)
