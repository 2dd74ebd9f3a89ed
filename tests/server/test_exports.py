"""Export and import over HTTP."""

from __future__ import annotations

import gzip
import json

import httpx
import pytest

from hansard.formats.registry import FORMATS
from tests.samples import call, dialogue

Api = httpx.AsyncClient
WRITABLE = [name for name, format in FORMATS.items() if format.can_write]
READABLE = [name for name, format in FORMATS.items() if format.can_read and format.can_write]


async def make(api: Api, session_id: str = "s") -> None:
    await api.post("/v1/sessions", json={"session_id": session_id, "messages": dialogue(2)})
    usage = [{**call("c", 10), "output_tokens": 2, "cost_usd": "0.5"}]
    turn = {"turn_id": "t", "messages": dialogue(2), "usage": usage}
    (await api.post(f"/v1/sessions/{session_id}/turns", json=turn)).raise_for_status()


async def export(api: Api, format: str = "native") -> httpx.Response:
    answer = await api.get("/v1/sessions/s/export", params={"format": format})
    return answer.raise_for_status()


async def load(api: Api, document: bytes, query: str = "", **headers: str) -> httpx.Response:
    return await api.post(f"/v1/sessions/import{query}", content=document, headers=headers)


@pytest.mark.parametrize("format", WRITABLE)
async def test_document_names_its_type_and_a_file(api: Api, format: str) -> None:
    await make(api)
    answer = await export(api, format)
    assert answer.headers["content-type"] == FORMATS[format].media_type
    disposition = f'attachment; filename="s{FORMATS[format].suffix}"'
    assert answer.headers["content-disposition"] == disposition
    assert (await api.head(f"/v1/sessions/s/export?format={format}")).status_code == 200


@pytest.mark.parametrize("format", READABLE)
async def test_document_is_imported_into_a_fresh_session(api: Api, format: str) -> None:
    await make(api)
    document = (await export(api, format)).content
    answer = await load(api, document, f"?format={format}")
    report = answer.json()
    assert answer.status_code == 201
    (line,) = report["sessions"]
    assert (report["format"], report["dry_run"], line["created"]) == (format, False, True)
    assert line["session_id"] != "s"
    if line["source_session_id"] is not None:
        assert report["id_map"] == {"s": line["session_id"]}
    copy = (await api.get(f"/v1/sessions/{line['session_id']}")).json()
    assert copy["messages"] == (await api.get("/v1/sessions/s")).json()["messages"]


async def test_same_document_twice_adds_nothing(api: Api) -> None:
    await make(api)
    document = (await export(api)).content
    first = (await load(api, document)).json()
    answer = await load(api, document)
    assert answer.status_code == 201
    assert answer.json()["sessions"][0]["created"] is False
    assert answer.json()["id_map"] == first["id_map"]
    assert len((await api.get("/v1/sessions")).json()["sessions"]) == 2


async def test_dry_run_keeps_nothing(api: Api) -> None:
    await make(api)
    answer = await load(api, (await export(api)).content, "?dry_run=true")
    assert answer.json()["dry_run"] is True
    assert len((await api.get("/v1/sessions")).json()["sessions"]) == 1


@pytest.mark.parametrize("content_type", ["application/gzip", "application/octet-stream", None])
async def test_document_may_be_packed(api: Api, content_type: str | None) -> None:
    await make(api)
    document = gzip.compress((await export(api, "native-stream")).content)
    headers = {} if content_type is None else {"content-type": content_type}
    assert (await load(api, document, "?format=native-stream", **headers)).status_code == 201


async def test_damaged_document_is_refused_and_nothing_written(api: Api) -> None:
    await make(api)
    document = (await export(api)).content
    newer = {**json.loads(document), "schema_version": 99}
    for damaged in (
        document.replace(b"message 0", b"message x"),
        document[: len(document) // 2],
        json.dumps(newer).encode(),
        b"",
        b"[]",
        b"\x1f\x8b broken",
    ):
        answer = await load(api, damaged)
        assert answer.status_code == 422, damaged
    assert len((await api.get("/v1/sessions")).json()["sessions"]) == 1


async def test_export_of_nobody_is_404_before_anything_is_sent(api: Api) -> None:
    answer = await api.get("/v1/sessions/nobody/export")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "session_not_found")


async def test_packed_document_may_not_be_larger_than_a_plain_one(api: Api) -> None:
    bomb = gzip.compress(b" " * (64 * 1024**2 + 1))
    answer = await load(api, bomb, **{"content-type": "application/gzip"})
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "body_too_large"
    cut = await load(api, bomb[:100], **{"content-type": "application/gzip"})
    assert (cut.status_code, cut.json()["error"]["code"]) == (422, "damaged_gzip")
