"""The usage objects of providers, each read by its own rules.

    dialect       input counts                               output counts
    ------------  -----------------------------------------  ---------------------------------
    openai_chat   prompt: cached and cache writes inside     completion: reasoning inside,
                                                             or beside it, as the total shows
    gemini_chat   likewise                                   thoughts are in the total alone
    openrouter    likewise, and what was billed              as openai_chat
    responses     input: cached and cache writes inside      output: reasoning inside
    anthropic     input: cache reads and writes beside it    output: thinking inside
    gemini        prompt: cached inside; tool use beside it  candidates: thoughts beside them
    bedrock       input: cache reads and writes beside it    output

Unknown fields are passed over. A count that is no whole number from 0 on makes the whole
object unreadable; whether parts fit their wholes is checked by whoever takes the counts.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Raw, Struct

from hansard.core.errors import InvalidInput
from hansard.core.money import parse_usd
from hansard.core.usage import TOKENS_MAX

Count = Annotated[int, Meta(ge=0, le=TOKENS_MAX)]

_NULL: Final = Raw(b"null")
_AUDIO: Final = "AUDIO"


class Reported(Struct):
    """A usage object; ``counts`` gives fields of ``NewUsage``. This one says nothing."""

    def counts(self) -> dict[str, int]:
        return {}

    def tier(self) -> str | None:
        return None

    def cost_nanousd(self) -> int | None:
        return None


class _Parts(Struct):
    """Parts of a whole, by the names that they have in OpenAI's dialects."""

    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    cache_creation_tokens: Count | None = None  # LiteLLM's word for it
    audio_tokens: Count | None = None
    reasoning_tokens: Count | None = None


_NO_PARTS: Final = _Parts()


class OpenAIChat(Reported):
    """``usage`` of ``chat.completions``, with the fields that other servers of it add."""

    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count | None = None
    prompt_tokens_details: _Parts | None = None
    completion_tokens_details: _Parts | None = None
    cached_tokens: Count | None = None  # Moonshot
    prompt_cache_hit_tokens: Count | None = None  # DeepSeek
    cache_creation_input_tokens: Count | None = None  # LiteLLM, inside prompt_tokens

    def counts(self) -> dict[str, int]:
        sent = self.prompt_tokens_details or _NO_PARTS
        made = self.completion_tokens_details or _NO_PARTS
        reasoning = made.reasoning_tokens or 0
        output = self.completion_tokens
        if reasoning and self.total_tokens == self.prompt_tokens + output + reasoning:
            output += reasoning  # xAI counts it beside: docs.x.ai, "Consumption and rate limits"
        return {
            "input_tokens": self.prompt_tokens,
            "cached_tokens": _first(
                sent.cached_tokens, self.prompt_cache_hit_tokens, self.cached_tokens
            ),
            "cache_write_tokens": _first(
                sent.cache_write_tokens,
                sent.cache_creation_tokens,
                self.cache_creation_input_tokens,
            ),
            "input_audio_tokens": sent.audio_tokens or 0,
            "output_tokens": output,
            "reasoning_tokens": reasoning,
            "output_audio_tokens": made.audio_tokens or 0,
        }


class GeminiChat(OpenAIChat):
    """Google's own OpenAI-compatible endpoint: only the total says that the model thought."""

    def counts(self) -> dict[str, int]:
        counts = super().counts()
        shown = self.prompt_tokens + counts["output_tokens"]
        thoughts = max(0, (self.total_tokens or 0) - shown)
        counts["output_tokens"] += thoughts
        counts["reasoning_tokens"] += thoughts
        return counts


class _ServerTools(Struct):
    web_search_requests: Count | None = None


class _CostDetails(Struct):
    upstream_inference_cost: Raw = _NULL


class OpenRouter(OpenAIChat):
    """``cost`` is in credits, which are US dollars, and what was billed.

    With a key of one's own at the provider (``is_byok``) it is OpenRouter's fee alone, and the
    provider bills ``upstream_inference_cost``.
    """

    cost: Raw = _NULL
    is_byok: bool | None = None
    cost_details: _CostDetails | None = None
    server_tool_use: _ServerTools | None = None

    def counts(self) -> dict[str, int]:
        tools = self.server_tool_use or _ServerTools()
        return super().counts() | {"web_searches": tools.web_search_requests or 0}

    def cost_nanousd(self) -> int | None:
        cost = _dollars(self.cost)
        if not self.is_byok or cost is None:
            return cost
        upstream = _dollars((self.cost_details or _CostDetails()).upstream_inference_cost)
        return None if upstream is None else cost + upstream


class OpenAIResponses(Reported):
    """``usage`` of ``responses``."""

    input_tokens: Count
    output_tokens: Count
    input_tokens_details: _Parts | None = None
    output_tokens_details: _Parts | None = None

    def counts(self) -> dict[str, int]:
        sent = self.input_tokens_details or _NO_PARTS
        made = self.output_tokens_details or _NO_PARTS
        return {
            "input_tokens": self.input_tokens,
            "cached_tokens": sent.cached_tokens or 0,
            "cache_write_tokens": sent.cache_write_tokens or 0,
            "input_audio_tokens": sent.audio_tokens or 0,
            "output_tokens": self.output_tokens,
            "reasoning_tokens": made.reasoning_tokens or 0,
            "output_audio_tokens": made.audio_tokens or 0,
        }


class _CacheCreation(Struct):
    ephemeral_5m_input_tokens: Count | None = None
    ephemeral_1h_input_tokens: Count | None = None


class _Thinking(Struct):
    thinking_tokens: Count | None = None


class _AnthropicCounts(Reported, kw_only=True):
    input_tokens: Count
    output_tokens: Count
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_creation: _CacheCreation | None = None
    output_tokens_details: _Thinking | None = None

    def counts(self) -> dict[str, int]:
        split = self.cache_creation or _CacheCreation()
        hour = split.ephemeral_1h_input_tokens or 0
        written = _first(
            self.cache_creation_input_tokens, (split.ephemeral_5m_input_tokens or 0) + hour
        )
        read = self.cache_read_input_tokens or 0
        return {
            "input_tokens": self.input_tokens + read + written,
            "cached_tokens": read,
            "cache_write_tokens": written,
            "cache_write_1h_tokens": hour,
            "output_tokens": self.output_tokens,
            "reasoning_tokens": (self.output_tokens_details or _Thinking()).thinking_tokens or 0,
        }


class _AnthropicIteration(_AnthropicCounts, kw_only=True):
    type: str = ""


class Anthropic(_AnthropicCounts, kw_only=True):
    """``iterations`` of type ``compaction`` are billed and stand outside of the other counts.

    https://docs.claude.com/en/docs/build-with-claude/compaction
    """

    service_tier: str | None = None
    server_tool_use: _ServerTools | None = None
    iterations: list[_AnthropicIteration] | None = None

    def counts(self) -> dict[str, int]:
        counts = super().counts()
        for each in self.iterations or ():
            if each.type == "compaction":
                more = each.counts()
                counts = {name: count + more[name] for name, count in counts.items()}
        tools = self.server_tool_use or _ServerTools()
        return counts | {"web_searches": tools.web_search_requests or 0}

    def tier(self) -> str | None:
        return self.service_tier


class _ModalityCount(Struct, rename="camel"):
    modality: str = ""
    token_count: Count | None = None


class Gemini(Reported, rename="camel"):
    """``usageMetadata``: the total is prompt + tool use + candidates + thoughts."""

    prompt_token_count: Count
    candidates_token_count: Count | None = None
    thoughts_token_count: Count | None = None
    cached_content_token_count: Count | None = None
    tool_use_prompt_token_count: Count | None = None
    prompt_tokens_details: list[_ModalityCount] | None = None
    cache_tokens_details: list[_ModalityCount] | None = None
    candidates_tokens_details: list[_ModalityCount] | None = None
    traffic_type: str | None = None

    def counts(self) -> dict[str, int]:
        made = self.candidates_token_count or 0
        thoughts = self.thoughts_token_count or 0
        tools = self.tool_use_prompt_token_count or 0
        return {
            "input_tokens": self.prompt_token_count + tools,
            "cached_tokens": self.cached_content_token_count or 0,
            "input_audio_tokens": _audio(self.prompt_tokens_details),
            "cached_audio_tokens": _audio(self.cache_tokens_details),
            "output_tokens": made + thoughts,
            "reasoning_tokens": thoughts,
            "output_audio_tokens": _audio(self.candidates_tokens_details),
        }

    def tier(self) -> str | None:
        """``ON_DEMAND``, ``ON_DEMAND_FLEX``, ``PROVISIONED_THROUGHPUT`` and the like."""
        return self.traffic_type and self.traffic_type.lower().removeprefix("on_demand_")


class _CacheDetail(Struct, rename="camel"):
    ttl: str = ""
    input_tokens: Count = 0


class Bedrock(Reported, rename="camel"):
    """``usage`` of Converse, whose ``inputTokens`` excludes what was cached.

    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html
    """

    input_tokens: Count
    output_tokens: Count
    cache_read_input_tokens: Count | None = None
    cache_write_input_tokens: Count | None = None
    cache_details: list[_CacheDetail] | None = None

    def counts(self) -> dict[str, int]:
        details = self.cache_details or ()
        read = self.cache_read_input_tokens or 0
        written = _first(self.cache_write_input_tokens, sum(each.input_tokens for each in details))
        hour = sum(each.input_tokens for each in details if each.ttl == "1h")
        return {
            "input_tokens": self.input_tokens + read + written,
            "cached_tokens": read,
            "cache_write_tokens": written,
            "cache_write_1h_tokens": hour,
            "output_tokens": self.output_tokens,
        }


def _first(*counts: int | None) -> int:
    """The first that was told, also if it is zero."""
    return next((count for count in counts if count is not None), 0)


def _audio(details: list[_ModalityCount] | None) -> int:
    return sum(each.token_count or 0 for each in details or () if each.modality == _AUDIO)


def _dollars(number: Raw) -> int | None:
    """Read a JSON number digit by digit; one that is no price is as good as none."""
    try:
        cost = parse_usd(bytes(number).decode())
    except (InvalidInput, UnicodeDecodeError):
        return None
    return cost if cost >= 0 else None
