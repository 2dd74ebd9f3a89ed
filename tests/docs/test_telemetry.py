"""The page on telemetry names every metric and every attribute that there is, and no other."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from hansard.compose import open_database
from hansard.runtime.agents.scripted import Scripted
from hansard.runtime.telemetry import names
from hansard.server.app import create_app
from hansard.settings import ChatSettings
from tests.docs.pages import ROOT
from tests.server.applications import QUIET, client_of, started

PAGE = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")
_METRIC = re.compile(r"^\| `(\w+)(?:\{([\w,]+)\})?` \|", re.MULTILINE)
_ATTRIBUTE = re.compile(r"`((?:gen_ai|hansard|error)\.[\w.]+)`")


async def test_page_names_every_metric_with_its_labels(sqlite_url: str, tmp_path: Path) -> None:
    settings = replace(QUIET, chat=ChatSettings(spool=str(tmp_path / "spool")))
    app = create_app(open_database(sqlite_url), settings, agent=Scripted())
    async with started(app), client_of(app) as api:
        messages = [{"role": "user", "content": "Hi"}]
        await api.post("/v1/chat/completions", json={"messages": messages})
        text = (await api.get("/metrics")).text
    there = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels}
        there[name] = labels - {"le"}
    shown = {name: set(filter(None, labels.split(","))) for name, labels in _METRIC.findall(PAGE)}
    assert shown == there


def test_page_names_every_attribute() -> None:
    constants = [
        value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)
    ]
    assert set(_ATTRIBUTE.findall(PAGE)) == {value for value in constants if "." in value}
