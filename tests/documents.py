"""Documents for tests of the formats: one that has everything, and Hypothesis' own."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from msgspec import structs

from hansard.core.documents import Document, DocumentMessage, DocumentSession, DocumentTurn
from hansard.core.times import parse_us
from hansard.core.turns import STATUSES
from hansard.core.usage import (
    CONFIDENCES,
    TOKEN_FIELDS,
    UsageEntry,
    UsageTotals,
    take_back,
)
from hansard.formats import registry
from hansard.formats.files import Source
from tests import json_values

EXPORTED_AT_US = parse_us("2026-02-03T04:05:06.000007Z")

ids = st.from_regex(r"[A-Za-z0-9_\-:.]{1,20}", fullmatch=True)
times = st.integers(0, parse_us("9999-12-31T23:59:59.999999Z"))
_texts = st.none() | json_values.texts
_roles = st.sampled_from(["system", "developer", "user", "assistant", "tool", "other"])


def source(data: bytes) -> Source:
    return Source(io.BytesIO(data))


def written(name: str, document: Document) -> bytes:
    return b"".join(registry.write(name, document, EXPORTED_AT_US))


def reread(name: str, data: bytes) -> list[Document]:
    return [held(document) for document in registry.read(name, io.BytesIO(data))]


def held(document: Document) -> Document:
    """The document with its parts in memory."""
    return replace(
        document,
        messages=tuple(document.messages),
        turns=tuple(document.turns),
        usage=tuple(document.usage),
    )


def content(document: Document) -> tuple[Any, ...]:
    """What a document says, apart from where it was read."""
    document = held(document)
    return (document.session, document.messages, document.turns, document.usage)


def document_of(bodies: Iterable[dict[str, Any]], **session: Any) -> Document:
    """A document with these messages and nothing else that it need not have."""
    return Document(
        session=DocumentSession(**{"session_id": "s1", **session}),
        messages=tuple(DocumentMessage(body=body) for body in bodies),
        source_format="test",
        source_key="test",
    )


BODIES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Ünïcode 😀 \u2028 and\n```\nfences\n```"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "f", "arguments": '{"x": 1}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "0.5", "score": 0.5},
]

SESSION = DocumentSession(
    session_id="sess_1",
    agent="local/airline",
    title="Rebooking",
    model="m-1",
    system_prompt="Be brief.",
    owner="alice",
    metadata={"b": [1, 2.5], "a": {"é": None}},
    cost_data={"input_tokens": 3},
    archived=True,
    parent_session_id="sess_0",
    forked_at_seq=1,
    created_at_us=EXPORTED_AT_US - 9,
    updated_at_us=EXPORTED_AT_US - 1,
)


def full_document() -> Document:
    """A document with something in every field."""
    return Document(
        session=SESSION,
        messages=tuple(
            DocumentMessage(
                body=body,
                message_id=f"msg_{seq}",
                turn_id="turn_1" if seq else None,
                created_at_us=EXPORTED_AT_US - 5 + seq,
            )
            for seq, body in enumerate(BODIES)
        ),
        turns=(
            DocumentTurn(
                turn_id="turn_1",
                status="completed",
                first_seq=1,
                last_seq=3,
                created_at_us=EXPORTED_AT_US - 4,
                content_hash="0a" * 32,
                usage=UsageTotals(1, 30, 10, 5, 7, 2, 18_400_001),
            ),
            DocumentTurn(
                turn_id="turn_2",
                status="failed",
                first_seq=None,
                last_seq=None,
                created_at_us=EXPORTED_AT_US - 3,
            ),
        ),
        usage=(
            UsageEntry(
                event_id="turn_1.0",
                provider="openai",
                model="m-1",
                input_tokens=30,
                cached_tokens=10,
                cache_write_tokens=5,
                output_tokens=7,
                reasoning_tokens=2,
                cost_nanousd=18_400_001,
                model_asked="m",
                service_tier="flex",
                cache_write_1h_tokens=5,
                input_audio_tokens=4,
                cached_audio_tokens=3,
                output_audio_tokens=2,
                web_searches=1,
                confidence="provider_usage",
                raw='{"prompt_tokens": 30}',
                price_version="prices-1",
                turn_id="turn_1",
                recorded_at_us=EXPORTED_AT_US - 2,
            ),
        ),
        source_format="test",
        source_key="test",
    )


sessions = st.builds(
    DocumentSession,
    session_id=ids.map("s.".__add__),
    agent=_texts,
    title=_texts,
    model=_texts,
    system_prompt=_texts,
    owner=_texts,
    metadata=json_values.objects,
    cost_data=json_values.objects,
    archived=st.booleans(),
    parent_session_id=st.none() | ids.map("p.".__add__),
    forked_at_seq=st.none() | st.integers(0, 2**53 - 1),
    created_at_us=times,
    updated_at_us=times,
)

bodies = st.builds(
    lambda role, body, others: {**others, "role": role, "content": body},
    _roles,
    json_values.texts | json_values.anything,
    json_values.objects
    | st.fixed_dictionaries(
        {}, optional={"metadata": json_values.objects, "tool_call_id": json_values.texts}
    ),
)

messages = st.builds(
    DocumentMessage,
    body=bodies,
    message_id=st.none() | ids,
    turn_id=st.none() | ids,
    created_at_us=times,
)

_counts = st.integers(0, 10**6)

usage_entries = st.builds(
    lambda parts, **fields: UsageEntry(
        **fields,
        **dict(zip(TOKEN_FIELDS, parts, strict=True)),
    ),
    st.tuples(*[_counts] * len(TOKEN_FIELDS)).map(
        lambda counts: (
            counts[0] + counts[1] + counts[2],
            counts[1],
            counts[2],
            counts[3] + counts[4],
            counts[4],
        )
    ),
    provider=json_values.texts,
    model=json_values.texts,
    event_id=ids,
    cost_nanousd=st.none() | st.integers(0, 10**12),
    model_asked=json_values.texts,
    web_searches=_counts,
    confidence=st.sampled_from(CONFIDENCES[1:]),
    raw=st.none() | json_values.texts,
    price_version=st.none() | json_values.texts,
    turn_id=st.none() | ids,
    recorded_at_us=times,
)


def _taken_back(entry: UsageEntry) -> list[UsageEntry]:
    short = structs.replace(entry, event_id=entry.event_id[:100])
    return [short, take_back(short)]


_usages = st.lists(usage_entries, max_size=3) | usage_entries.map(_taken_back)


@st.composite
def _turns(draw: st.DrawFn, message_count: int) -> DocumentTurn:
    seqs: tuple[int | None, int | None] = (None, None)
    if message_count and draw(st.booleans()):
        first = draw(st.integers(0, message_count - 1))
        seqs = (first, draw(st.integers(first, message_count - 1)))
    return DocumentTurn(
        turn_id=draw(ids),
        status=draw(st.sampled_from(STATUSES)),
        first_seq=seqs[0],
        last_seq=seqs[1],
        created_at_us=draw(times),
        content_hash=draw(st.none() | st.binary(min_size=32, max_size=32).map(bytes.hex)),
        usage=draw(st.none() | st.builds(UsageTotals, *[_counts] * 8)),
    )


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Any document that a record could export."""
    said = draw(st.lists(messages, max_size=4).map(tuple))
    return Document(
        session=draw(sessions),
        messages=said,
        turns=draw(st.lists(_turns(len(said)), max_size=3).map(tuple)),
        usage=draw(_usages.map(tuple)),
        source_format="test",
        source_key="test",
    )
