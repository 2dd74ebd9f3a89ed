"""Health and metrics."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from hansard.server.edge import Edge
from tests.samples import dialogue

Api = httpx.AsyncClient


async def samples(api: Api) -> dict[str, float]:
    """What the metrics say, by name and labels."""
    answer = await api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_service_that_lives_says_so(api: Api) -> None:
    for path, status in (
        ("/livez", "ok"),
        ("/healthz", "ok"),
        ("/health", "ok"),
        ("/readyz", "ready"),
    ):
        answer = await api.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": status})
        assert (await api.head(path)).status_code == 200


async def test_service_without_its_database_is_not_ready(api: Api, app: Edge) -> None:
    await app.context.record.runner.close()
    answer = await api.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert (await api.get("/livez")).status_code == 200


async def test_draining_service_is_not_ready(api: Api, app: Edge) -> None:
    app.context.drain()
    answer = await api.get("/readyz")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "draining")


async def test_requests_are_counted_by_route(api: Api) -> None:
    await api.post("/v1/sessions", json={"session_id": "a"})
    await api.get("/v1/sessions/a")
    await api.get("/v1/sessions/b")
    await api.get("/v1/sessions/c")
    await api.get("/nowhere/1")
    await api.get("/nowhere/2")
    await api.request("BREW", "/v1/sessions")
    found = await samples(api)

    def requests(method: str, route: str, status: int) -> float:
        labels = sorted({"method": method, "route": route, "status": str(status)}.items())
        return found[f"hansard_requests_total{labels}"]

    assert requests("POST", "/v1/sessions", 201) == 1
    assert requests("GET", "/v1/sessions/{session_id}", 200) == 1
    assert requests("GET", "/v1/sessions/{session_id}", 404) == 2
    assert requests("GET", "other", 404) == 2
    assert requests("other", "other", 405) == 1


async def test_durations_fall_into_buckets(api: Api) -> None:
    for _ in range(3):
        await api.get("/livez")
    found = await samples(api)
    name = "hansard_request_duration_seconds"
    labels = {"method": "GET", "route": "/livez"}
    assert found[f"{name}_count{sorted(labels.items())}"] == 3
    assert found[f"{name}_bucket{sorted({**labels, 'le': '+Inf'}.items())}"] == 3
    assert found[f"{name}_sum{sorted(labels.items())}"] > 0
    buckets = [value for key, value in found.items() if "_bucket" in key and "/livez" in key]
    assert buckets == sorted(buckets)


async def test_store_is_counted(api: Api) -> None:
    await api.post("/v1/sessions", json={"session_id": "s"})
    for _ in range(2):
        await api.post("/v1/sessions/s/messages", json={"messages": dialogue(1)})
    stale = {"messages": dialogue(1), "expected_seq": 0}
    assert (await api.post("/v1/sessions/s/messages", json=stale)).status_code == 409
    found = await samples(api)
    assert found["hansard_appends_total[]"] == 3
    assert 1 <= found["hansard_batches_total[]"] <= 3
    assert found["hansard_conflicts_total[]"] == 1
    assert found["hansard_retries_total[]"] == 0
    assert found["hansard_streams[]"] == 0
