"""What a chat request may cost at most, and how it is told to stay below.

Only bounds are guessed here, for a hold; what is billed is what the provider reports.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeGuard

from hansard.core.errors import InvalidInput
from hansard.core.usage import TOKENS_MAX
from hansard.runtime.agents.protocol import CallPlan

BYTES_PER_TOKEN_BOUND: Final = 2
"""Text has four bytes to a token, dense text three; two is a bound that usual text keeps."""

IMAGE_TOKENS_BOUND: Final = 10_000  # providers scale images down, to between 85 and some 6,000
DEAR_IMAGE_TOKENS_BOUND: Final = 50_000  # 2,833 and 5,667 for each of up to eight tiles
_DEAR_IMAGES: Final = "4o-mini"  # in the name of a model that counts them so
AUDIO_BYTES_PER_TOKEN: Final = 64  # 10 to 25 tokens a second, of 5,000 bytes in base 64 or more
CHOICES_MAX: Final = 128  # of OpenAI's API
MODELS_MAX: Final = 16  # in one request, of which the dearest is looked for

_LIMITS: Final = ("max_completion_tokens", "max_tokens")
_KNOW_NEW_LIMIT: Final = frozenset({"openai", "azure"})
_SERVICES: Final = ("plugins", "web_search_options")
"""Fields that ask for what is billed beside tokens, as some tools do."""
_CALLERS_TOOLS: Final = ("function", "custom")
_SEARCHING: Final = ":online"  # by which OpenRouter is asked for it in the name of a model


def plan_call(body: dict[str, Any], size_bytes: int, provider: str) -> CallPlan:
    """Say what a request, so large as JSON, asks for at most.

    Raises:
        InvalidInput: ``invalid_limit``, if it sets a bound that is none, or all its choices
            together may be more than a call can be.
    """
    _check_count(body, "n", CHOICES_MAX)
    for name in _LIMITS:
        _check_count(body, name, TOKENS_MAX // _choices(body))
    models = _models(body)
    image_tokens = (
        DEAR_IMAGE_TOKENS_BOUND if any(map(_counts_images_dear, models)) else IMAGE_TOKENS_BOUND
    )
    text_bytes, media_tokens = size_bytes, 0
    for inline_bytes, tokens in _media(body, image_tokens):
        text_bytes -= inline_bytes
        media_tokens += tokens
    limits = [body[name] for name in _LIMITS if _is_count(body.get(name))]
    tier = body.get("service_tier")
    return CallPlan(
        provider=provider,
        model=models[0],
        input_tokens_bound=text_bytes // BYTES_PER_TOKEN_BOUND + media_tokens + 1,
        output_tokens=max(limits) * _choices(body) if limits else None,
        choices=_choices(body),
        service_tier=tier if isinstance(tier, str) and tier != "auto" else None,
        fallback_models=models[1:MODELS_MAX],
        is_priced_by_tokens=len(models) <= MODELS_MAX and not _asks_for_services(body, models),
    )


def with_output_limit(body: dict[str, Any], output_tokens: int, provider: str) -> dict[str, Any]:
    """Lower the request's limits to what all choices together may write, or set one.

    ``max_tokens`` is what every server knows; OpenAI's newer models know only the other.
    """
    each = output_tokens // _choices(body)
    told = {name: min(body[name], each) for name in _LIMITS if _is_count(body.get(name))}
    if not told:
        told = {_LIMITS[0] if provider in _KNOW_NEW_LIMIT else _LIMITS[1]: each}
    return {**body, **told}


def with_usage(body: dict[str, Any]) -> dict[str, Any]:
    """Ask a stream for its usage; return what is asked as it is if the client does so itself."""
    options = body.get("stream_options")
    options = options if isinstance(options, dict) else {}
    if options.get("include_usage") is True:
        return body
    return {**body, "stream_options": {**options, "include_usage": True}}


def without_usage(body: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Take back what ``with_usage`` added to what was asked."""
    kept = {name: value for name, value in body.items() if name != "stream_options"}
    if "stream_options" in asked:
        kept["stream_options"] = asked["stream_options"]
    return kept


def output_limit(body: dict[str, Any], granted: int | None) -> int | None:
    """Return what one choice may write: the request's limit or the grant, whichever is less."""
    limits = [body[name] for name in _LIMITS if _is_count(body.get(name))]
    if granted is not None:
        limits.append(granted // _choices(body))
    return min(limits, default=None)


def check_single_choice(body: dict[str, Any]) -> None:
    """Refuse ``n`` above 1, which only a model's own server can do.

    Raises:
        InvalidInput: ``unsupported_choices``.
    """
    if _choices(body) > 1:
        raise InvalidInput("this agent gives one choice", code="unsupported_choices", field="n")


def _models(body: dict[str, Any]) -> tuple[str, ...]:
    """Name the models that may answer, the one that is asked first; empty if it has no name."""
    listed = body.get("models")
    asked = [] if body.get("model") is None else [body["model"]]
    asked += listed if isinstance(listed, list) else []
    names = dict.fromkeys(name if isinstance(name, str) else "" for name in asked)
    return tuple(names) or ("",)


def _counts_images_dear(model: str) -> bool:
    return _DEAR_IMAGES in model


def _asks_for_services(body: dict[str, Any], models: Sequence[str]) -> bool:
    """Tell whether a provider may do, and bill, what no count of tokens bounds."""
    tools = body.get("tools")
    tools = tools if isinstance(tools, list) else []
    kinds = [tool.get("type", "function") for tool in tools if isinstance(tool, dict)]
    return (
        any(body.get(name) is not None for name in _SERVICES)
        or not all(kind in _CALLERS_TOOLS for kind in kinds)
        or any(model.endswith(_SEARCHING) for model in models)
    )


def _choices(body: dict[str, Any]) -> int:
    count = body.get("n")
    return count if _is_count(count) else 1


def _check_count(body: dict[str, Any], name: str, most: int) -> None:
    value = body.get(name)
    if value is not None and not (_is_count(value) and value <= most):
        raise InvalidInput(
            f"{name} must be a whole number from 1 to {most}", code="invalid_limit", field=name
        )


def _is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and value > 0


def _media(body: dict[str, Any], image_tokens: int) -> Iterator[tuple[int, int]]:
    """Give, for each image and recording, its bytes in the body and its tokens at most."""
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            match part:
                case {"type": "image_url", "image_url": {"url": str(url)}}:
                    yield len(url), image_tokens
                case {"type": "input_audio", "input_audio": {"data": str(data)}}:
                    yield len(data), len(data) // AUDIO_BYTES_PER_TOKEN
                case _:
                    pass
