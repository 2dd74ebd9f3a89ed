"""Usage reports over HTTP: JSON, CSV, and a bill in the columns of FOCUS."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator

import httpx
import pytest

import hansard
from tests.places import client_at, serve
from tests.samples import call, user


@pytest.fixture
async def client(sqlite_url: str) -> AsyncIterator[httpx.AsyncClient]:
    with serve(sqlite_url) as url:
        async with hansard.open(url) as record:
            usage = [call("c", 1_000, provider="openai", model="gpt-4o", output_tokens=500)]
            await record.append_turn("s", [user("hi")], usage=usage, create=True)
            unknown = [call("u", 5, provider="openai", model="=gpt-nobody")]
            await record.append_turn("s", [user("ho")], usage=unknown)
        async with client_at(url) as client:
            yield client


async def test_report_is_told_as_json(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/v1/usage?group_by=model")).json()
    assert answer["group_by"] == ["model"]
    assert [bucket["key"] for bucket in answer["buckets"]] == [
        {"model": "=gpt-nobody"},
        {"model": "gpt-4o"},
    ]
    assert answer["totals"]["cost_usd"] == "0.0075"
    assert answer["totals"]["unpriced_calls"] == 1


async def test_report_is_told_as_csv_without_formulas(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/usage/export?group_by=model")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["model"], row["cost_usd"]) for row in rows] == [
        ("'=gpt-nobody", "0"),
        ("gpt-4o", "0.0075"),
    ]


async def test_report_is_told_as_a_bill(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/usage/export?format=focus")
    priced = list(csv.DictReader(io.StringIO(answer.text)))[-1]
    assert priced["SkuId"] == "openai/gpt-4o"
    assert priced["ProviderName"] == "openai"
    assert (priced["BilledCost"], priced["ConsumedQuantity"]) == ("0.0075", "1500")
    assert (priced["ContractedCost"], priced["PricingQuantity"]) == ("0.0075", "1500")
    assert (priced["PricingUnit"], priced["InvoiceIssuerName"]) == ("Tokens", "openai")
    assert (priced["ChargeClass"], priced["ServiceCategory"]) == ("", "AI and Machine Learning")
    assert priced["ChargePeriodStart"] < priced["ChargePeriodEnd"]


@pytest.mark.parametrize(
    "query",
    [
        "since=2026-11-22T00:00:00Z&until=2026-11-21T00:00:00Z",
        "since=yesterday",
        "group_by=weather",
        "group_by=",
        "group_by=day,day",
    ],
)
async def test_bad_query_is_refused(client: httpx.AsyncClient, query: str) -> None:
    assert (await client.get(f"/v1/usage?{query}")).status_code == 422


async def test_unknown_table_is_refused(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/usage/export?format=xml")).status_code == 422


async def test_session_usage_also_speaks_the_older_names(client: httpx.AsyncClient) -> None:
    usage = (await client.get("/v1/sessions/s/usage")).json()
    assert (usage["input_tokens"], usage["output_tokens"], usage["cached_tokens"]) == (1005, 500, 0)
    assert (usage["turn_count"], usage["cost_usd"]) == (2, "0.0075")


async def test_session_usage_tells_what_its_model_costs(client: httpx.AsyncClient) -> None:
    await client.post(
        "/v1/sessions/s/usage",
        json={"event_id": "again", "provider": "openai", "model": "gpt-4o", "input_tokens": 1},
    )
    answer = await client.get("/v1/sessions/s/usage")
    assert answer.json()["model"] == "gpt-4o"
    assert answer.json()["pricing"] == {
        "input_per_1k": 0.0025,
        "output_per_1k": 0.01,
        "cached_input_per_1k": 0.00125,
        "per_request": 0,
    }


async def test_empty_range_is_empty(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/usage?since=2020-01-01T00:00:00Z&until=2020-01-01T00:00:00Z")
    assert answer.status_code == 200
    assert answer.json()["buckets"] == []
