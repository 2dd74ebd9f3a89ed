"""The record works on every PostgreSQL at hand, with the server's own rules of durability."""

from __future__ import annotations

import json

import pytest

import hansard
from tests.postgres import Installation, PostgresCluster, list_installations
from tests.samples import bodies, call, collect, dialogue, take, together


@pytest.mark.parametrize("installation", list_installations(), ids=lambda found: str(found.major))
async def test_record_works_on_every_server_at_hand(installation: Installation) -> None:
    with PostgresCluster(installation, durable=True) as cluster:
        url = cluster.create_database()
        async with hansard.open(url) as record, hansard.open(url) as other:
            await record.create(session_id="s", messages=dialogue(2), metadata={"a": 1})
            await together(
                [
                    (record, other)[n % 2].append_turn("s", dialogue(2), usage=[call(f"c{n}", 10)])
                    for n in range(40)
                ]
            )
            await other.save_messages("s", [*await bodies(record, "s"), *dialogue(2)])
            await record.update("s", title="T", cost_data={"a": None})
            events = await take(record.events("s"), 44)
            assert [event.number for event in events] == list(range(1, 45))
            session = await record.get("s")
            assert (session.message_count, session.usage.input_tokens) == (84, 400)
            assert (await record.verify("s")).ok
            fork = await record.fork("s", 3)
            await record.revert("s", 1)
            document = b"".join(await collect(record.export_session(fork.id)))
            assert len(json.loads(document)["messages"]) == 3
            await other.import_session(document)
            assert len((await other.list(search="t")).items) == 3
            report = await record.purge(updated_before_us=session.updated_at_us + 10**12)
            assert report.sessions == 3
