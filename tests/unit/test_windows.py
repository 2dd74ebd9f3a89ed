"""Cuts: how far back calls are looked for, and at what cost."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence

import pytest

from hansard.core.messages import StoredMessage
from hansard.core.windows import REACH, Cut, Window, is_safe_start
from tests.samples import Body, assistant, user


def stored(body: Body) -> StoredMessage:
    text = json.dumps(body, separators=(",", ":"))
    return StoredMessage(
        seq=0,
        message_id="m",
        turn_id=None,
        role=body.get("role"),
        text=text,
        created_at_us=0,
        digest=b"",
    )


def calls(*ids: str) -> StoredMessage:
    return stored(assistant([{"type": "tool_use", "id": id} for id in ids]))


def results(*ids: str) -> StoredMessage:
    return stored(user([{"type": "tool_result", "tool_use_id": id} for id in ids]))


OTHER = stored(user("hi"))


def cut_length(history: Sequence[StoredMessage]) -> int:
    """How many messages a window on the last one takes."""
    cut = Cut(Window(1))
    cut.show(reversed(history), first=True)
    return cut.length


def count_function_calls(run: Callable[[], object]) -> int:
    """Count the functions, built in or not, that are called meanwhile."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize(
    "body",
    [
        {"role": "tool", "tool_call_id": "c1", "content": "ok"},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1"}]},
        {"type": "function_call_output", "call_id": "c1", "output": "ok"},
    ],
)
def test_answer_of_a_tool_starts_no_window(body: Body) -> None:
    assert not is_safe_start(stored(body))


@pytest.mark.parametrize(
    "body",
    [
        {"role": "user", "content": 'what is a "tool_result"?'},
        {"role": "assistant", "tool_calls": [{"id": "c1"}], "content": None},
        {"type": "function_call", "call_id": "c1"},
        {},
    ],
)
def test_anything_else_starts_one(body: Body) -> None:
    assert is_safe_start(stored(body))


def test_cost_of_many_results_does_not_multiply_with_the_messages_before() -> None:
    ids = [f"c{n}" for n in range(20_000)]
    long = stored(user("x" * 100_000))
    history = [calls(*ids), *[long] * (REACH - 2), results(*ids)]
    per_id, per_message = 8, 50
    count = count_function_calls(lambda: cut_length(history))
    assert count <= per_id * len(ids) + per_message * len(history)


def test_cost_of_results_that_go_out_of_reach_does_not_multiply() -> None:
    ids = [f"c{n}" for n in range(20_000)]
    history = [*[OTHER] * (2 * REACH), *[results(*ids[n::100]) for n in range(100)]]
    per_id, per_message = 8, 50
    count = count_function_calls(lambda: cut_length(history))
    assert count <= per_id * len(ids) + per_message * len(history)


def test_all_of_many_calls_are_found() -> None:
    ids = [f"c{n}" for n in range(20_000)]
    assert cut_length([OTHER, calls(*ids), *[OTHER] * (REACH - 2), results(*ids)]) == REACH


@pytest.mark.parametrize("call", range(3))
def test_each_of_several_calls_is_needed(call: int) -> None:
    made = [calls(f"c{n}") if n == call else OTHER for n in range(3)]
    history = [*made, calls(*{"c0", "c1", "c2"} - {f"c{call}"}), results("c0", "c1", "c2")]
    assert cut_length(history) == 5 - call


def test_result_shown_again_renews_the_reach() -> None:
    between = [OTHER] * (REACH - 2)
    history = [OTHER, calls("c"), *between, results("c"), results("d"), *between, results("c")]
    assert cut_length(history) == len(history) - 1


def test_result_out_of_reach_is_given_up_before_later_ones() -> None:
    history = [OTHER, OTHER, results("near"), *[OTHER] * (REACH - 2), results("far")]
    assert cut_length([calls("near"), *history]) == len(history) + 1


def test_call_and_result_in_one_message_need_no_other() -> None:
    both = stored(assistant([{"id": "c"}, {"tool_use_id": "c"}]))
    assert cut_length([OTHER, both]) == 1


def test_tool_makes_no_calls() -> None:
    tool = stored({"role": "tool", "id": "c", "content": "ok"})
    assert cut_length([calls("c"), OTHER, tool, results("c")]) == 4


@pytest.mark.parametrize("kind", ["function_call", "function_call_output"])
def test_call_id_is_a_call_only_in_a_function_call(kind: str) -> None:
    named = stored(assistant([{"type": kind, "call_id": "c"}]))
    assert (cut_length([OTHER, OTHER, named, results("c")]) == 2) is (kind == "function_call")
