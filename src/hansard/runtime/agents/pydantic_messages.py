"""Messages of OpenAI's shape for pydantic-ai, and back."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic_ai.messages import (
    BinaryContent,
    ImageUrl,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    RetryPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)

from hansard.core.errors import InvalidInput
from hansard.core.messages import text_of

SYSTEM_ROLES = frozenset({"system", "developer"})


def read_instructions(messages: Sequence[dict[str, Any]]) -> list[str]:
    """Return what the client tells the agent, which adds to what the agent was told before."""
    return [text_of(each.get("content")) for each in messages if each.get("role") in SYSTEM_ROLES]


def read_messages(messages: Sequence[dict[str, Any]]) -> list[ModelMessage]:
    """Return the history; instructions are left out.

    Raises:
        InvalidInput: ``unsupported_content``, if a part is neither text, image nor sound.
    """
    history: list[ModelMessage] = []
    pending: list[ModelRequestPart] = []
    tool_names: dict[str, str] = {}
    for message in messages:
        match message.get("role"):
            case "assistant":
                parts = list(_response_parts(message))
                tool_names |= {
                    part.tool_call_id: part.tool_name
                    for part in parts
                    if isinstance(part, ToolCallPart)
                }
                if pending:
                    history.append(ModelRequest(parts=pending))
                    pending = []
                if parts:
                    history.append(ModelResponse(parts=parts))
            case "tool":
                call_id = str(message.get("tool_call_id"))
                pending.append(
                    ToolReturnPart(
                        tool_name=tool_names.get(call_id, ""),
                        content=text_of(message.get("content")),
                        tool_call_id=call_id,
                    )
                )
            case "user":
                pending.append(UserPromptPart(content=_user_content(message.get("content"))))
            case _:
                pass
    if pending:
        history.append(ModelRequest(parts=pending))
    return history


def write_messages(messages: Sequence[ModelMessage]) -> list[dict[str, Any]]:
    """Return what models said and tools returned, and what was said to a run under way."""
    written: list[dict[str, Any]] = []
    for message in messages:
        if isinstance(message, ModelResponse):
            written += [_assistant(message)] if message.parts else []
        else:
            written += filter(None, map(_asked, message.parts))
    return written


def _asked(part: ModelRequestPart) -> dict[str, Any] | None:
    match part:
        case ToolReturnPart(tool_call_id=call_id):
            content = part.model_response_str()
            return {"role": "tool", "tool_call_id": call_id, "content": content}
        case RetryPromptPart(tool_name=str(), tool_call_id=call_id):
            return {"role": "tool", "tool_call_id": call_id, "content": part.model_response()}
        case UserPromptPart(content=str(content)):
            return {"role": "user", "content": content}
        case _:
            return None


def _assistant(response: ModelResponse) -> dict[str, Any]:
    texts = [part.content for part in response.parts if isinstance(part, TextPart)]
    thoughts = [part.content for part in response.parts if isinstance(part, ThinkingPart)]
    calls = [
        {
            "id": part.tool_call_id,
            "type": "function",
            "function": {"name": part.tool_name, "arguments": part.args_as_json_str()},
        }
        for part in response.parts
        if isinstance(part, ToolCallPart)
    ]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts else None}
    if any(thoughts):
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return message


def _response_parts(message: dict[str, Any]) -> Iterator[ModelResponsePart]:
    if text := text_of(message.get("content")):
        yield TextPart(content=text)
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        match call:
            case {"id": str(id), "function": {"name": str(name), "arguments": str(arguments)}}:
                yield ToolCallPart(tool_name=name, args=arguments, tool_call_id=id)
            case _:
                raise _unsupported("a tool call")


def _user_content(content: Any) -> str | list[UserContent]:
    return [_user_part(part) for part in content] if isinstance(content, list) else str(content)


def _user_part(part: Any) -> UserContent:
    match part:
        case {"type": "text", "text": str(text)}:
            return text
        case {"type": "image_url", "image_url": {"url": str(url)}}:
            if url.lower().startswith(("http://", "https://")):
                return ImageUrl(url=url)
            if not url.startswith("data:"):
                raise _unsupported("an image at such a URL")  # s3: a provider reads as us
            head, _, data = url.removeprefix("data:").partition(",")
            return BinaryContent(data=_decode(data), media_type=head.removesuffix(";base64"))
        case {"type": "input_audio", "input_audio": {"data": str(data), "format": str(kind)}}:
            return BinaryContent(data=_decode(data), media_type=f"audio/{kind}")
        case _:
            raise _unsupported("a part of a message")


def _decode(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise _unsupported("what is not base 64") from exc


def _unsupported(what: str) -> InvalidInput:
    return InvalidInput(
        f"this agent cannot read {what}", code="unsupported_content", field="messages"
    )
