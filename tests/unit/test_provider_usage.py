"""What providers report, as they report it, and what becomes of it in the ledger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansard.core.provider_usage import (
    Dialect,
    Estimate,
    ModelCall,
    chat_dialect,
    estimate,
    merge_stream,
    read_usage,
)
from hansard.core.usage import TOKENS_MAX, NewUsage, check_usage

CALL = ModelCall(event_id="call-1", provider="somebody", model="m-2", model_asked="m")
OTHERWISE = Estimate(77, 33)
COUNTS = (
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
)


def read(dialect: Dialect, raw: str | bytes | None, call: ModelCall = CALL) -> NewUsage:
    return read_usage(dialect, raw.encode() if isinstance(raw, str) else raw, call, OTHERWISE)


def counts(usage: NewUsage) -> dict[str, int]:
    return {name: getattr(usage, name) for name in COUNTS if getattr(usage, name)}


class Golden(msgspec.Struct):
    """A usage object as its provider writes it, and what it means."""

    what: str
    dialect: Dialect
    usage: msgspec.Raw
    counts: dict[str, int]


GOLDEN = msgspec.json.decode(
    (Path(__file__).parent / "data" / "provider_usage.json").read_bytes(), type=list[Golden]
)


@pytest.mark.parametrize("golden", GOLDEN, ids=[golden.what for golden in GOLDEN])
def test_provider_is_understood(golden: Golden) -> None:
    raw = bytes(golden.usage)
    usage = read(golden.dialect, raw)
    assert counts(usage) == golden.counts
    assert (usage.confidence, usage.cost_nanousd) == ("provider_usage", None)
    assert (usage.raw or "").encode() == raw
    assert (usage.event_id, usage.provider, usage.model) == ("call-1", "somebody", "m-2")
    assert (usage.model_asked, usage.service_tier) == ("m", "")
    assert check_usage(usage, "call-1") == usage


@pytest.mark.parametrize(
    ("told", "cost_nanousd"),
    [
        ('"cost":0.000123456789', 123457),
        ('"cost":1.5E-7', 150),
        ('"cost":0', 0),
        ('"cost":0.95,"is_byok":false,"cost_details":{"upstream_inference_cost":19}', 950_000_000),
        ('"cost":0.01,"is_byok":true,"cost_details":{"upstream_inference_cost":0.2}', 210_000_000),
        ('"cost":0.01,"is_byok":true,"cost_details":{"upstream_inference_cost":null}', None),
        ('"cost":null', None),
        ('"cost":-1', None),
        ('"cost":1e300', None),
        ('"cost":"0.5"', None),
    ],
)
def test_openrouter_cost_is_read_digit_by_digit(told: str, cost_nanousd: int | None) -> None:
    usage = read(
        Dialect.OPENROUTER,
        '{"prompt_tokens":194,"completion_tokens":2,"total_tokens":196,'
        '"server_tool_use":{"web_search_requests":3},' + told + "}",
    )
    assert usage.cost_nanousd == cost_nanousd
    assert usage.confidence == ("provider_usage" if cost_nanousd is None else "provider_cost")
    assert (usage.input_tokens, usage.output_tokens, usage.web_searches) == (194, 2, 3)


def test_cost_that_no_float_can_hold_is_exact() -> None:
    raw = '{"prompt_tokens":1,"completion_tokens":1,"cost":654321.1234567885}'
    assert read(Dialect.OPENROUTER, raw).cost_nanousd == 654321_123456789


def test_anthropic_stream_takes_the_last_count_and_sums_nothing() -> None:
    start = (
        b'{"input_tokens":25,"cache_creation_input_tokens":10,"cache_read_input_tokens":5,'
        b'"output_tokens":1,"service_tier":"priority"}'
    )
    deltas = [
        b'{"output_tokens":15,"input_tokens":null}',
        b'{"output_tokens":40,"server_tool_use":{"web_search_requests":2}}',
    ]
    usage = read(Dialect.ANTHROPIC, merge_stream([start, *deltas]))
    assert counts(usage) == {
        "input_tokens": 40,
        "cached_tokens": 5,
        "cache_write_tokens": 10,
        "output_tokens": 40,
    }
    assert (usage.service_tier, usage.web_searches) == ("priority", 2)


def test_broken_stream_report_is_estimated() -> None:
    usage = read(Dialect.ANTHROPIC, merge_stream([b'{"input_tokens":25}', b"{"]))
    assert (usage.confidence, usage.input_tokens, usage.output_tokens) == ("estimated", 77, 33)


def test_audio_is_told_apart() -> None:
    chat = read(
        Dialect.OPENAI_CHAT,
        '{"prompt_tokens":100,"completion_tokens":50,'
        '"prompt_tokens_details":{"audio_tokens":80},'
        '"completion_tokens_details":{"audio_tokens":40}}',
    )
    assert (chat.input_audio_tokens, chat.output_audio_tokens) == (80, 40)
    gemini = read(
        Dialect.GEMINI,
        '{"promptTokenCount":100,"cachedContentTokenCount":60,"candidatesTokenCount":9,'
        '"promptTokensDetails":[{"modality":"TEXT","tokenCount":20},'
        '{"modality":"AUDIO","tokenCount":80}],'
        '"cacheTokensDetails":[{"modality":"AUDIO","tokenCount":60}],'
        '"candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":9}]}',
    )
    assert (gemini.input_audio_tokens, gemini.cached_audio_tokens) == (80, 60)
    assert gemini.output_audio_tokens == 9


@pytest.mark.parametrize(
    ("dialect", "raw", "told", "tier"),
    [
        (Dialect.OPENAI_CHAT, '{"prompt_tokens":1,"completion_tokens":1}', "default", ""),
        (Dialect.OPENAI_CHAT, '{"prompt_tokens":1,"completion_tokens":1}', "flex", "flex"),
        (Dialect.OPENAI_CHAT, '{"prompt_tokens":1,"completion_tokens":1}', "\0", ""),
        (
            Dialect.ANTHROPIC,
            '{"input_tokens":1,"output_tokens":1,"service_tier":"batch"}',
            "",
            "batch",
        ),
        (Dialect.GEMINI, '{"promptTokenCount":1,"trafficType":"ON_DEMAND_FLEX"}', "", "flex"),
        (Dialect.GEMINI, '{"promptTokenCount":1,"trafficType":"ON_DEMAND"}', "", ""),
    ],
)
def test_tier_is_that_of_the_answer(dialect: Dialect, raw: str, told: str, tier: str) -> None:
    usage = read(dialect, raw, ModelCall(event_id="e", service_tier=told))
    assert (usage.service_tier, usage.confidence) == (tier, "provider_usage")


LIES = [
    None,
    "",
    "null",
    "[]",
    "{}",
    '{"prompt_tokens":1}',
    '{"total_tokens":12}',
    '{"prompt_tokens":-1,"completion_tokens":1}',
    '{"prompt_tokens":1.5,"completion_tokens":1}',
    '{"prompt_tokens":"1","completion_tokens":1}',
    '{"prompt_tokens":true,"completion_tokens":1}',
    '{"prompt_tokens":1,"completion_tokens":1' + "0" * 13 + "}",
    '{"prompt_tokens":1,"completion_tokens":1e99}',
    '{"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":11}}',
    '{"prompt_tokens":1,"completion_tokens":1,"completion_tokens_details":{"reasoning_tokens":2}}',
    '{"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":"many"}',
    '{"prompt_tokens":10,"completion_tokens":1,"x":' + "[" * 5_000 + "]" * 5_000 + "}",
    b'{"prompt_tokens":1,"completion_tokens":1,"x":"\xff"}',
    '{"prompt_tokens":1,"completion_tokens":1',
]


@pytest.mark.parametrize("raw", LIES, ids=range(len(LIES)))
def test_unbelievable_usage_is_estimated(raw: str | bytes | None) -> None:
    usage = read(Dialect.OPENAI_CHAT, raw)
    assert (usage.confidence, usage.input_tokens, usage.output_tokens) == ("estimated", 77, 33)
    assert usage.cost_nanousd is None
    assert check_usage(usage, "call-1") == usage


def test_explicit_zero_is_a_count() -> None:
    usage = read(Dialect.OPENAI_CHAT, '{"prompt_tokens":0,"completion_tokens":0}')
    assert (usage.confidence, usage.input_tokens, usage.output_tokens) == ("provider_usage", 0, 0)


def test_lie_is_kept_for_whoever_asks_later() -> None:
    raw = '{"prompt_tokens":-1,"completion_tokens":1}'
    assert read(Dialect.OPENAI_CHAT, raw).raw == raw
    assert read(Dialect.OPENAI_CHAT, raw[:-1]).raw is None


def test_object_too_large_to_keep_still_counts() -> None:
    raw = '{"prompt_tokens":1,"completion_tokens":2,"x":"' + "x" * 20_000 + '"}'
    usage = read(Dialect.OPENAI_CHAT, raw)
    assert (usage.output_tokens, usage.confidence, usage.raw) == (2, "provider_usage", None)


def test_names_that_cannot_be_stored_are_left_out() -> None:
    call = ModelCall(event_id="e", provider="p\0", model="m" * 300, model_asked="\ud800")
    usage = read(Dialect.OPENAI_CHAT, '{"prompt_tokens":1,"completion_tokens":2}', call)
    assert (usage.provider, usage.model, usage.model_asked) == ("", "", "")
    assert usage.confidence == "provider_usage"


def test_dialect_of_a_chat_endpoint() -> None:
    assert chat_dialect("openrouter") is Dialect.OPENROUTER
    assert chat_dialect("google") is Dialect.GEMINI_CHAT
    assert chat_dialect("") is Dialect.OPENAI_CHAT


def test_estimate_rounds_up() -> None:
    assert estimate(sent_bytes=5, received_bytes=0) == (2, 0)
    assert estimate(sent_bytes=0, received_bytes=9, received_chunks=2) == (0, 3)


NUMBERS = st.one_of(
    st.integers(-5, 50),
    st.integers(0, 3 * TOKENS_MAX),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(max_size=3),
)
NAMES = st.sampled_from(
    [
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "cached_tokens",
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "promptTokenCount",
        "candidatesTokenCount",
        "thoughtsTokenCount",
        "cachedContentTokenCount",
        "inputTokens",
        "outputTokens",
        "cacheReadInputTokens",
        "cost",
        "is_byok",
    ]
)
DETAILS = st.dictionaries(
    st.sampled_from(["cached_tokens", "cache_write_tokens", "audio_tokens", "reasoning_tokens"]),
    NUMBERS,
)
OBJECTS = st.builds(
    lambda counts, sent, made: counts | sent | made,
    st.dictionaries(NAMES, NUMBERS),
    st.just({}) | st.builds(lambda d: {"prompt_tokens_details": d}, DETAILS),
    st.just({}) | st.builds(lambda d: {"completion_tokens_details": d}, DETAILS),
)


@given(dialect=st.sampled_from(Dialect), reported=OBJECTS)
def test_whatever_is_reported_gives_a_sound_entry(
    dialect: Dialect, reported: dict[str, Any]
) -> None:
    usage = read(dialect, json.dumps(reported))
    assert check_usage(usage, "call-1") == usage
    assert usage.confidence in {"provider_usage", "provider_cost", "estimated"}


@given(dialect=st.sampled_from(Dialect), raw=st.binary(max_size=200))
def test_any_bytes_give_a_sound_entry(dialect: Dialect, raw: bytes) -> None:
    assert check_usage(read(dialect, raw), "call-1").confidence == "estimated"


@given(
    visible=st.integers(0, 10**6),
    reasoning=st.integers(0, 10**6),
    uncached=st.integers(0, 10**6),
    cached=st.integers(0, 10**6),
    written=st.integers(0, 10**6),
)
def test_dialects_agree_on_the_same_call(
    *, visible: int, reasoning: int, uncached: int, cached: int, written: int
) -> None:
    """One call, told in every dialect that can tell it, gives the same counts."""
    sent, made = uncached + cached + written, visible + reasoning
    told: dict[Dialect, dict[str, Any]] = {
        Dialect.OPENAI_CHAT: {
            "prompt_tokens": sent,
            "completion_tokens": made,
            "total_tokens": sent + made,
            "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        },
        Dialect.OPENAI_RESPONSES: {
            "input_tokens": sent,
            "output_tokens": made,
            "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
            "output_tokens_details": {"reasoning_tokens": reasoning},
        },
        Dialect.ANTHROPIC: {
            "input_tokens": uncached,
            "output_tokens": made,
            "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": written,
            "output_tokens_details": {"thinking_tokens": reasoning},
        },
    }
    entries = [counts(read(dialect, json.dumps(each))) for dialect, each in told.items()]
    assert entries[0] == entries[1] == entries[2]
    assert entries[0].get("input_tokens", 0) == sent
    assert entries[0].get("output_tokens", 0) == made
