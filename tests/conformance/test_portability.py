"""Portability: a session leaves one place as a document and arrives whole in another.

What each format holds is held to in the unit tests of the formats.
"""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest

import hansard
from hansard import Corrupt, HansardError, InvalidInput, SessionService
from tests.places import Place
from tests.samples import bodies, call, collect, compete, dialogue

LOSSLESS = ("native", "native-stream")
READABLE = (*LOSSLESS, "cleveragents-1.0", "openai-chat")


async def make(record: SessionService) -> None:
    await record.create(
        session_id="s",
        messages=[{"role": "system", "content": "é 😀", "n": [1.0, 2**60]}],
        title="T",
        agent="a",
        model="m",
        system_prompt="p",
        metadata={"b": 1, "a": None},
        cost_data={"input_tokens": 7},
    )
    await record.append_turn("s", dialogue(2), usage=[call("c", 5, model="m")], turn_id="t1")
    await record.append_turn("s", dialogue(3), usage=[call("d", 9)], status="failed")
    await record.update_token_usage("s", event_id="e", output_tokens=4, cost_nanousd=10**7)
    await record.update("s", archived=True)


async def export(record: SessionService, session_id: str, format: str) -> bytes:
    return b"".join(await collect(record.export_session(session_id, format)))


async def contents(record: SessionService, session_id: str) -> dict[str, Any]:
    """All that a lossless document carries."""
    session = await record.get(session_id)
    fields = ("agent", "title", "model", "system_prompt", "metadata", "cost_data", "archived")
    usage = await record.usage(session_id)
    return {
        **{name: getattr(session, name) for name in (*fields, "digest", "usage", "turn_count")},
        "messages": [
            (json.dumps(message.body), message.role, message.turn_id, message.created_at_us)
            for message in await collect(record.messages(session_id))
        ],
        "turns": [
            (turn.turn_id, turn.status, turn.first_seq, turn.last_seq, turn.usage)
            for turn in (await record.list_turns(session_id)).items
        ],
        "models": usage.models,
        "created_at_us": session.created_at_us,
    }


@pytest.mark.parametrize("format", LOSSLESS)
async def test_session_arrives_whole(record: SessionService, record_url: str, format: str) -> None:
    await make(record)
    document = await export(record, "s", format)
    async with hansard.open(record_url) as other:
        report = await other.import_session(document, format)
        (imported,) = report.sessions
        assert (imported.source_session_id, imported.created) == ("s", True)
        assert report.id_map == {"s": imported.session_id}
        assert await contents(other, imported.session_id) == await contents(record, "s")
        assert (await other.verify(imported.session_id)).ok


@pytest.mark.parametrize("format", READABLE)
async def test_messages_survive_every_readable_format(record: SessionService, format: str) -> None:
    await record.create(session_id="s", messages=dialogue(5))
    report = await record.import_session(await export(record, "s", format), format)
    (imported,) = report.sessions
    assert imported.session_id != "s"
    assert await bodies(record, imported.session_id) == dialogue(5)


@pytest.mark.parametrize("format", READABLE)
async def test_importing_twice_adds_nothing(
    record: SessionService, place: Place, format: str
) -> None:
    await make(record)
    document = await export(record, "s", format)
    first = await record.import_session(document, format)
    before = place.dump()
    again = await record.import_session(document, format)
    assert [item.created for item in again.sessions] == [False]
    assert again.id_map == first.id_map
    assert place.dump() == before


@pytest.mark.parametrize("format", LOSSLESS)
async def test_concurrent_imports_of_one_document_make_one_session(
    record: SessionService, place: Place, format: str
) -> None:
    await make(record)
    document = await export(record, "s", format)
    async with hansard.open(place.url) as other:
        reports, errors = await compete(
            [(record, other)[n % 2].import_session(document, format) for n in range(10)]
        )
    assert not errors
    assert len({report.sessions[0].session_id for report in reports}) == 1
    assert len((await record.list()).items) == 2


@pytest.mark.parametrize("format", READABLE)
async def test_dry_run_tells_and_keeps_nothing(
    record: SessionService, place: Place, format: str
) -> None:
    await make(record)
    document = await export(record, "s", format)
    before = place.dump()
    report = await record.import_session(document, format, dry_run=True)
    assert report.dry_run
    assert [(item.created, item.messages) for item in report.sessions] == [(True, 6)]
    assert place.dump() == before


@pytest.mark.parametrize("format", LOSSLESS)
async def test_damaged_document_is_refused_and_changes_nothing(
    record: SessionService, place: Place, format: str
) -> None:
    await make(record)
    document = await export(record, "s", format)
    before = place.dump()
    chance = random.Random(format)
    for _ in range(30):
        at = chance.randrange(len(document))
        flipped = bytes([document[at] ^ chance.choice((1, 2, 4, 8, 16, 32))])
        damaged = chance.choice(
            [
                document[:at],
                document[:at] + flipped + document[at + 1 :],
                document[:at] + document[at + 9 :],
            ]
        )
        if damaged.strip() == document.strip():
            continue
        with pytest.raises((InvalidInput, Corrupt)):
            await record.import_session(damaged, format)
    assert place.dump() == before


@pytest.mark.parametrize("format", LOSSLESS)
async def test_forged_content_is_corrupt(record: SessionService, place: Place, format: str) -> None:
    await make(record)
    document = await export(record, "s", format)
    before = place.dump()
    with pytest.raises(Corrupt):
        await record.import_session(document.replace(b"message 1", b"massage 1"), format)
    assert place.dump() == before


async def test_newer_document_is_refused(record: SessionService, place: Place) -> None:
    await make(record)
    document = json.loads(await export(record, "s", "native"))
    document["schema_version"] = 99
    before = place.dump()
    with pytest.raises(InvalidInput) as caught:
        await record.import_session(json.dumps(document).encode())
    assert "version" in str(caught.value)
    assert place.dump() == before


async def test_file_is_read_like_bytes(record: SessionService, tmp_path: Path) -> None:
    await make(record)
    file = tmp_path / "session.json"
    file.write_bytes(await export(record, "s", "native"))
    (imported,) = (await record.import_session(file)).sessions
    assert await contents(record, imported.session_id) == await contents(record, "s")


async def test_export_is_one_snapshot(record: SessionService, place: Place) -> None:
    await record.create(session_id="s")

    async def write() -> None:
        for n in range(30):
            await record.append_turn("s", dialogue(3), usage=[call(f"c{n}", 1)])

    async with hansard.open(place.url) as other, asyncio.TaskGroup() as group:
        writing = group.create_task(write())
        while not writing.done():
            document = json.loads(await export(other, "s", "native"))
            messages, usage = document["messages"], document["usage"]
            assert len(messages) == 3 * len(usage) == 3 * len(document["turns"])


async def test_lineage_is_told(record: SessionService) -> None:
    await make(record)
    fork = await record.fork("s", 2)
    report = await record.import_session(await export(record, fork.id, "native"))
    session = await record.get(report.id_map[fork.id])
    assert (session.message_count, session.forked_at_seq) == (2, 2)


async def test_export_of_what_is_deleted_meanwhile_is_whole_or_not_found(
    record: SessionService,
) -> None:
    await record.create(session_id="s", messages=dialogue(300))
    whole = json.loads(await export(record, "s", "native"))["messages"]
    exports = [export(record, "s", "native") for _ in range(5)]
    deleting = asyncio.ensure_future(record.delete("s"))
    documents, errors = await compete(exports)
    await deleting
    assert all(isinstance(error, HansardError) for error in errors)
    for document in documents:
        assert json.loads(document)["messages"] == whole
