"""What a request may cost at most, and how it is limited."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hansard.core.errors import InvalidInput
from hansard.core.messages import text_of
from hansard.core.usage import TOKENS_MAX
from hansard.runtime.agents.chat_requests import (
    IMAGE_TOKENS_BOUND,
    output_limit,
    plan_call,
    with_output_limit,
    with_usage,
)


def plan_bound(*parts: object) -> int:
    body = {"model": "m", "messages": [{"role": "user", "content": list(parts)}]}
    return plan_call(body, len(json.dumps(body)), "").input_tokens_bound


def test_text_is_bounded_by_its_bytes() -> None:
    short, long = (
        plan_bound({"type": "text", "text": ""}),
        plan_bound({"type": "text", "text": "x" * 400}),
    )
    assert long - short == 200


def test_image_counts_as_one_however_it_is_sent() -> None:
    inline = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10**6}}
    linked = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    assert plan_bound(inline) == plan_bound(linked)
    assert IMAGE_TOKENS_BOUND < plan_bound(linked) < IMAGE_TOKENS_BOUND + 100


def test_image_of_a_model_that_counts_it_dear_is_bounded_so() -> None:
    content = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    body = {"model": "a", "models": ["openai/gpt-4o-mini"], "messages": [{"content": content}]}
    assert plan_call(body, 100, "").input_tokens_bound > 48_169


@pytest.mark.parametrize(
    ("body", "models"),
    [
        ({"model": "a", "models": ["b", "a", "c"]}, ("a", "b", "c")),
        ({"models": ["b", "c"]}, ("b", "c")),
        ({"model": "a", "models": "b"}, ("a",)),
        ({"model": "a", "models": [{"b": 1}]}, ("a", "")),
    ],
)
def test_every_model_that_may_answer_is_planned(
    body: dict[str, Any], models: tuple[str, ...]
) -> None:
    plan = plan_call(body, 1, "")
    assert (plan.model, *plan.fallback_models) == models
    assert plan.is_priced_by_tokens


@pytest.mark.parametrize(
    "body",
    [
        {"plugins": [{"id": "web"}]},
        {"web_search_options": {}},
        {"tools": [{"type": "function"}, {"type": "openrouter:web_search"}]},
        {"tools": [{"type": ["function"]}]},
        {"models": ["openai/gpt-4o:online"]},
        {"models": [str(number) for number in range(16)]},
    ],
)
def test_call_that_tokens_do_not_price_is_planned_so(body: dict[str, Any]) -> None:
    assert not plan_call({"model": "m", **body}, 1, "").is_priced_by_tokens


@pytest.mark.parametrize("tools", [None, 3, [3], [{}], [{"type": "function"}, {"type": "custom"}]])
def test_tools_of_the_caller_are_priced_by_tokens(tools: object) -> None:
    assert plan_call({"tools": tools, "plugins": None}, 1, "").is_priced_by_tokens


def test_sound_counts_less_than_its_bytes() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "A" * 64_000, "format": "wav"}}
    assert 1_000 < plan_bound(sound) < 1_200


@pytest.mark.parametrize("body", [{}, {"messages": 3}, {"messages": [3]}, {"model": 4}])
def test_odd_request_has_a_plan(body: dict[str, Any]) -> None:
    plan = plan_call(body, 10, "")
    assert (plan.model, plan.output_tokens, plan.input_tokens_bound) == ("", None, 6)


@pytest.mark.parametrize(
    ("body", "planned"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "n": 3}, 15),
        ({"max_tokens": None, "n": 3}, None),
    ],
)
def test_limit_of_the_request_is_planned(body: dict[str, Any], planned: int | None) -> None:
    assert plan_call(body, 1, "").output_tokens == planned


def test_choices_share_the_most_that_a_call_can_be() -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        assert plan_call({name: TOKENS_MAX // 8, "n": 8}, 1, "").output_tokens == TOKENS_MAX
        with pytest.raises(InvalidInput, match=f"{name} must be a whole number from 1 to"):
            plan_call({name: TOKENS_MAX // 8 + 1, "n": 8}, 1, "")


@pytest.mark.parametrize(
    ("tier", "planned"), [("flex", "flex"), ("auto", None), (None, None), (3, None)]
)
def test_tier_that_the_provider_may_choose_is_not_planned(tier: object, planned: object) -> None:
    assert plan_call({"service_tier": tier}, 1, "").service_tier == planned


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "n"])
@pytest.mark.parametrize("limit", ["5", True, -1, 0, 5.0, 2**63])
def test_limit_that_is_none_is_refused(name: str, limit: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        plan_call({name: limit}, 1, "")
    assert refused.value.details["field"] == name


@pytest.mark.parametrize(
    ("body", "provider", "limits"),
    [
        ({}, "", {"max_tokens": 10}),
        ({}, "openai", {"max_completion_tokens": 10}),
        ({"max_tokens": None}, "", {"max_tokens": 10}),
        ({"max_tokens": 4}, "openai", {"max_tokens": 4}),
        ({"max_tokens": 40, "n": 3}, "", {"max_tokens": 3}),
        ({"n": 10}, "", {"max_tokens": 1}),
    ],
)
def test_grant_is_written_into_the_request(
    body: dict[str, Any], provider: str, limits: dict[str, int]
) -> None:
    limited = with_output_limit(body, 10, provider)
    assert {name: limited[name] for name in limited if name.startswith("max")} == limits


def test_smaller_limit_wins() -> None:
    assert output_limit({"max_tokens": 5}, 10) == 5
    assert output_limit({"max_tokens": 50}, 10) == 10
    assert output_limit({}, None) is None


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, 3])
def test_usage_is_asked_for_on_our_behalf(options: object) -> None:
    body = with_usage({"stream_options": options})
    assert body["stream_options"]["include_usage"] is True
    assert with_usage(body) is body


def test_text_of_a_message() -> None:
    assert text_of("a") == "a"
    assert text_of([{"type": "text", "text": "a"}, {"type": "image_url"}, 3]) == "a"
    assert text_of(None) == ""
