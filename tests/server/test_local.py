"""Who may call a service that asks nobody for credentials: this machine, and no web page."""

from __future__ import annotations

import httpx
import pytest

Api = httpx.AsyncClient


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:8080"])
async def test_names_of_this_machine_are_served(api: Api, host: str) -> None:
    assert (await api.get("/v1/sessions", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "attacker.example"},
        {"host": "127.0.0.1.attacker.example:8080"},
        {"host": "["},
        {"origin": "https://attacker.example"},
        {"origin": "null"},
    ],
)
async def test_pages_of_elsewhere_are_refused(api: Api, headers: dict[str, str]) -> None:
    answer = await api.post("/v1/sessions", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert (await api.get("/v1/sessions")).json()["sessions"] == []


async def test_health_may_be_asked_by_any_name(api: Api) -> None:
    assert (await api.get("/livez", headers={"host": "probe.example"})).status_code == 200
