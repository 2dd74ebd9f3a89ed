"""Sessions over HTTP: statuses, bodies and headers, as the API's description says."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.samples import assistant, dialogue, user

Api = httpx.AsyncClient


async def make(api: Api, session_id: str = "s", **fields: Any) -> httpx.Response:
    return await api.post("/v1/sessions", json={"session_id": session_id, **fields})


async def test_create_answers_201_with_id_location_and_version(api: Api) -> None:
    answer = await make(api, title="T", messages=dialogue(2))
    assert answer.status_code == 201
    assert answer.json() == {"session_id": "s"}
    assert answer.headers["location"] == "/v1/sessions/s"
    version = (await api.get("/v1/sessions/s")).json()["version"]
    assert answer.headers["etag"] == f'"{version}"'


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"session_id":null}'])
async def test_create_needs_no_body(api: Api, content: bytes | None) -> None:
    headers = {"content-type": "application/json"} if content else {}
    answer = await api.post("/v1/sessions", content=content, headers=headers)
    assert answer.status_code == 201
    assert answer.json()["session_id"].startswith("sess_")


async def test_create_with_a_taken_id_answers_409(api: Api) -> None:
    await make(api)
    answer = await make(api)
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "session_exists"
    assert answer.json()["detail"] == answer.json()["error"]["message"]


async def test_session_answers_with_every_field(api: Api) -> None:
    given: dict[str, Any] = {
        "title": "T",
        "agent": "local/a",
        "model": "m",
        "system_prompt": "p",
        "metadata": {"k": [1.5, None]},
        "cost_data": {"big": 10**30},
    }
    await make(api, **given, messages=dialogue(2))
    body = (await api.get("/v1/sessions/s")).json()
    assert (given | {"metadata": body["metadata"]}).items() <= body.items()
    assert body["own_metadata"] == given["metadata"]
    assert body["messages"] == dialogue(2)
    assert body["message_count"] == 2
    assert body["turn_count"] == 0
    assert body["archived"] is False
    assert body["parent_session_id"] is None
    assert body["usage"] == {
        "calls": 0,
        "input_tokens": 0,
        "cached_tokens": 0,
        "cache_write_tokens": 0,
        "output_tokens": 0,
        "reasoning_tokens": 0,
        "cost_usd": "0",
        "unpriced_calls": 0,
    }


async def test_messages_go_out_as_they_came_in(api: Api) -> None:
    text = '{"role":"user","z":1,"a":{"é":1.0,"b":[]},"content":"\\u00e9\\/"}'
    await api.post(
        "/v1/sessions",
        content=f'{{"session_id":"s","messages":[{text}]}}',
        headers={"content-type": "application/json"},
    )
    answer = await api.get("/v1/sessions/s")
    assert '"messages":[{"role":"user","z":1,"a":{"é":1.0,"b":[]},"content":"é/"}]' in answer.text


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ("all", 4),
        ("none", None),
        ("tail:2", 2),
        ("tail:1", 2),
        ("tail:9", 4),
        ("turns:1", 4),
        ("tokens:9999999", 4),
        ("tokens:20", 2),
        ("tokens:9", 0),
    ],
)
async def test_view_gives_part_of_the_history(api: Api, view: str, expected: int | None) -> None:
    history = [*dialogue(2), assistant("call"), {"role": "tool", "content": "answer"}]
    await make(api, messages=history)
    body = (await api.get("/v1/sessions/s", params={"messages": view})).json()
    if expected is None:
        assert "messages" not in body
    else:
        assert body["messages"] == history[len(history) - expected :]


async def test_head_answers_with_version_and_without_body(api: Api) -> None:
    await make(api)
    answer = await api.head("/v1/sessions/s")
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (200, b"", '"1"')
    assert (await api.head("/v1/sessions/nobody")).status_code == 404


async def test_put_saves_the_difference_and_keeps_cost_data(api: Api) -> None:
    await make(api, cost_data={"turn_count": 3}, messages=dialogue(2))
    answer = await api.put("/v1/sessions/s", json={"messages": [*dialogue(2), user("more")]})
    assert answer.status_code == 200
    assert answer.json() == {
        "session_id": "s",
        "saved": True,
        "version": 3,
        "message_count": 3,
        "appended": 1,
        "replaced": 0,
    }
    assert answer.headers["etag"] == '"3"'
    assert (await api.get("/v1/sessions/s/cost_data")).json()["cost_data"] == {"turn_count": 3}


async def test_put_makes_an_unknown_session_of_any_objects(api: Api) -> None:
    messages = [{"no": "role"}, {}, {"role": 7}]
    assert (await api.put("/v1/sessions/event:a.b", json={"messages": messages})).is_success
    assert (await api.get("/v1/sessions/event:a.b")).json()["messages"] == messages


async def test_put_without_messages_empties(api: Api) -> None:
    await make(api, messages=dialogue(2))
    assert (await api.put("/v1/sessions/s", json={})).json()["replaced"] == 2
    assert (await api.get("/v1/sessions/s")).json()["messages"] == []


async def test_patch_merges_cost_data_and_names_what_changed(api: Api) -> None:
    await make(api, messages=dialogue(1), cost_data={"a": 1, "b": {"x": 1}})
    answer = await api.patch(
        "/v1/sessions/s", json={"cost_data": {"b": None, "c": 2}, "title": "T"}
    )
    body = answer.json()
    assert answer.status_code == 200
    assert body["cost_data"] == {"a": 1, "b": None, "c": 2}
    assert body["messages"] == dialogue(1)
    assert sorted(body["changes"]) == ["cost_data", "title"]
    assert answer.headers["etag"] == f'"{body["version"]}"'


async def test_patch_with_prefer_minimal_leaves_the_history_out(api: Api) -> None:
    await make(api, messages=dialogue(1))
    answer = await api.patch(
        "/v1/sessions/s", json={"archived": True}, headers={"Prefer": "wait=1, Return=Minimal; x"}
    )
    assert "messages" not in answer.json()
    assert answer.json()["archived"] is True
    assert answer.headers["preference-applied"] == "return=minimal"


@pytest.mark.parametrize("body", [{}, {"cost_data": None}, {"cost_data": {}}])
async def test_patch_of_nothing_only_asks_for_existence(api: Api, body: dict[str, Any]) -> None:
    await make(api)
    answer = await api.patch("/v1/sessions/s", json=body)
    assert (answer.status_code, answer.json()["changes"]) == (200, {})
    assert answer.headers["etag"] == '"1"'
    assert (await api.patch("/v1/sessions/nobody", json=body)).status_code == 404


async def test_patch_can_clear_title_and_metadata(api: Api) -> None:
    await make(api, title="T", metadata={"a": 1})
    body = (await api.patch("/v1/sessions/s", json={"title": None, "metadata": None})).json()
    assert (body["title"], body["metadata"]) == (None, {})


async def test_delete_answers_once(api: Api) -> None:
    await make(api)
    answer = await api.delete("/v1/sessions/s")
    assert (answer.status_code, answer.json()) == (200, {"deleted": True})
    assert (await api.delete("/v1/sessions/s")).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_if_match_guards_against_a_newer_version(api: Api, method: str) -> None:
    await make(api)
    body = {"messages": dialogue(1)} if method == "PUT" else {"title": "T"}

    async def send(tag: str) -> httpx.Response:
        return await api.request(method, "/v1/sessions/s", json=body, headers={"If-Match": tag})

    stale = await send('"7"')
    assert (stale.status_code, stale.json()["error"]["code"]) == (412, "version_mismatch")
    assert (await api.get("/v1/sessions/s")).json()["version"] == 1
    assert (await send('"1"')).status_code == 200
    assert (await send('"1"')).status_code == 412


@pytest.mark.parametrize(
    ("tag", "status"),
    [
        ("*", 200),
        ('"9", "1"', 200),
        ('"9", "8"', 412),
        ('W/"1"', 412),
        ('"other"', 412),
        ("1", 422),
        ('"1" "2"', 422),
        ("", 422),
    ],
)
async def test_if_match_reads_lists_and_refuses_weak_tags(api: Api, tag: str, status: int) -> None:
    await make(api)
    answer = await api.put(
        "/v1/sessions/s", json={"messages": dialogue(1)}, headers={"If-Match": tag}
    )
    assert answer.status_code == status


async def test_if_match_any_does_not_make_a_session(api: Api) -> None:
    answer = await api.put("/v1/sessions/s", json={}, headers={"If-Match": "*"})
    assert answer.status_code == 412
    assert (await api.get("/v1/sessions/s")).status_code == 404


async def test_precondition_that_would_be_ignored_is_refused(api: Api) -> None:
    await make(api)
    answer = await api.delete("/v1/sessions/s", headers={"If-Match": '"1"'})
    assert answer.json()["error"]["code"] == "precondition_unsupported"
    answer = await api.put("/v1/sessions/s", json={}, headers={"If-None-Match": "*"})
    assert answer.json()["error"]["code"] == "precondition_unsupported"


async def test_one_of_many_conditional_writers_wins(api: Api) -> None:
    await make(api)
    answers = await asyncio.gather(
        *(
            api.put("/v1/sessions/s", json={"messages": dialogue(n)}, headers={"If-Match": '"1"'})
            for n in range(1, 9)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7


async def test_list_pages_through_summaries(api: Api) -> None:
    for n in range(5):
        await make(api, f"s{n}", agent="a" if n % 2 else "b", messages=dialogue(1))
    seen, cursor = [], None
    while True:
        params = {"limit": "2", "sort": "created_at"} | ({"cursor": cursor} if cursor else {})
        page = (await api.get("/v1/sessions", params=params)).json()
        seen += [item["session_id"] for item in page["sessions"]]
        assert all("messages" not in item for item in page["sessions"])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ["s0", "s1", "s2", "s3", "s4"]


async def test_list_filters(api: Api) -> None:
    await make(api, "a", agent="x", title="Rebooking")
    await make(api, "b", agent="y")
    await api.patch("/v1/sessions/b", json={"archived": True})
    created_at = (await api.get("/v1/sessions/b")).json()["created_at"]
    for params, expected in (
        ({"agent": "x"}, ["a"]),
        ({"search": "rebook"}, ["a"]),
        ({"archived": "true"}, ["b"]),
        ({"archived": "0"}, ["a"]),
        ({"created_after": created_at}, ["b"]),
        ({"created_before": created_at}, ["a"]),
        ({"owner": "nobody"}, []),
    ):
        page = (await api.get("/v1/sessions", params=params)).json()
        assert [item["session_id"] for item in page["sessions"]] == expected, params


async def test_fork_and_revert(api: Api) -> None:
    await make(api, messages=dialogue(4))
    answer = await api.post("/v1/sessions/s/fork", json={"from_message_index": 2})
    fork = answer.json()
    assert answer.status_code == 201
    assert (fork["parent_session_id"], fork["message_count"]) == ("s", 2)
    assert answer.headers["location"] == f"/v1/sessions/{fork['session_id']}"
    whole = await api.post("/v1/sessions/s/fork")
    assert whole.json()["message_count"] == 4
    answer = await api.post("/v1/sessions/s/revert", json={"to_message_index": 1})
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await api.get("/v1/sessions/s")).json()["message_count"] == 1


@pytest.mark.parametrize(
    ("action", "body"),
    [("fork", {"from_message_index": 3}), ("revert", {"to_message_index": 3})],
)
async def test_index_past_the_end_answers_400(api: Api, action: str, body: dict[str, int]) -> None:
    await make(api, messages=dialogue(2))
    answer = await api.post(f"/v1/sessions/s/{action}", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "index_out_of_range")


async def test_verify_recomputes_the_chain(api: Api) -> None:
    await make(api, messages=dialogue(2))
    body = (await api.get("/v1/sessions/s/verify")).json()
    assert body["ok"] is True
    assert body["messages"] == 2
    assert body["digest"] == (await api.get("/v1/sessions/s")).json()["digest"]


async def test_a_session_may_be_called_import(api: Api) -> None:
    await make(api, "import", messages=dialogue(1))
    assert (await api.get("/v1/sessions/import")).json()["message_count"] == 1
    assert (await api.put("/v1/sessions/import", json={})).status_code == 200
    answer = await api.post("/v1/sessions/import?format=openai-chat", content=b"[]")
    assert answer.status_code != 405
    assert (await api.delete("/v1/sessions/import")).status_code == 200
