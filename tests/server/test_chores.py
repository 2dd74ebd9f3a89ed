"""Chores go on, each by itself, until the server stops."""

from __future__ import annotations

import asyncio
import io
import json

from hansard.core.errors import Unavailable
from hansard.server.chores import Chore, doing
from hansard.server.logs import make_log
from hansard.settings import ServerSettings


async def test_chore_that_fails_is_done_again_and_disturbs_nobody() -> None:
    written = io.BytesIO()
    done: list[str] = []
    enough = asyncio.Event()

    async def fail() -> None:
        done.append("fail")
        if done.count("fail") == 1:
            raise Unavailable("not now", code="overloaded")
        raise ZeroDivisionError("secret")

    async def work() -> None:
        done.append("work")
        if done.count("fail") > 2:  # the second failure is in the log by then
            enough.set()

    chores = [Chore("bad", 0.0, fail), Chore("good", 0.0, work)]
    async with doing(chores, make_log(ServerSettings(), written)):
        await enough.wait()
    first, second = [json.loads(line) for line in written.getvalue().splitlines()][:2]
    assert (first["level"], first["chore"], first["code"]) == ("warning", "bad", "overloaded")
    assert (second["level"], second["code"]) == ("error", "ZeroDivisionError")
    assert second["at"][0].startswith("test_chores.py:")
    assert b"secret" not in written.getvalue()


async def test_chore_under_way_is_broken_off_at_the_end() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with doing([Chore("long", 0.0, wait)], make_log(ServerSettings(), io.BytesIO())):
        await began.wait()
    assert ended.is_set()
