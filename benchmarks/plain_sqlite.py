"""The rows of a turn by ``sqlite3`` alone: no checks, no look-ups, one commit each."""

from __future__ import annotations

import sqlite3
import time
from types import TracebackType
from typing import Any, Final, Self

from benchmarks.children import Sample
from benchmarks.turns import (
    COST_NANOUSD,
    DIGEST,
    HOUR_US,
    MESSAGES,
    MODEL,
    PRICE_VERSION,
    PROVIDER,
    RECEIPT,
    TENANT,
    TOKENS,
    session_id,
)
from hansard.core import strict_json
from hansard.store.sqlite import CACHE_KIB

PRAGMAS: Final = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    f"cache_size = -{CACHE_KIB}",
)

INSERT_MESSAGE: Final = """
INSERT INTO messages (
    tenant_id, session_id, seq, message_id, turn_id, role, body, digest, created_at_us
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""

INSERT_TURN: Final = """
INSERT INTO turns (
    tenant_id, session_id, turn_id, status, content_hash, first_seq, last_seq, receipt,
    created_at_us
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""

INSERT_USAGE: Final = """
INSERT INTO usage_entries (
    tenant_id, session_id, event_id, turn_id, kind, provider, model, model_asked, service_tier,
    input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
    cost_nanousd, price_version, confidence, recorded_at_us
) VALUES (?, ?, ?, ?, 'call', ?, ?, '', '', ?, ?, ?, ?, ?, ?, ?, 'provider_usage', ?)"""

ADD_SESSION_USAGE: Final = """
INSERT INTO session_usage AS m (
    tenant_id, session_id, hour_us, provider, model, owner, agent, lane, calls, input_tokens,
    cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd,
    unpriced_calls
) VALUES (?, ?, ?, ?, ?, '', '', 1, 1, ?, ?, ?, ?, ?, ?, 0)
ON CONFLICT (tenant_id, session_id, hour_us, provider, model, owner, agent, lane)
DO UPDATE SET
    calls = m.calls + excluded.calls,
    input_tokens = m.input_tokens + excluded.input_tokens,
    cached_tokens = m.cached_tokens + excluded.cached_tokens,
    cache_write_tokens = m.cache_write_tokens + excluded.cache_write_tokens,
    output_tokens = m.output_tokens + excluded.output_tokens,
    reasoning_tokens = m.reasoning_tokens + excluded.reasoning_tokens,
    cost_nanousd = m.cost_nanousd + excluded.cost_nanousd,
    unpriced_calls = m.unpriced_calls + excluded.unpriced_calls"""

ADD_HOURLY_USAGE: Final = """
INSERT INTO hourly_usage AS m (
    tenant_id, hour_us, provider, model, owner, agent, key_id, lane, calls, input_tokens,
    cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_nanousd,
    unpriced_calls
) VALUES (?, ?, ?, ?, '', '', '', ?, 1, ?, ?, ?, ?, ?, ?, 0)
ON CONFLICT (tenant_id, hour_us, provider, model, owner, agent, key_id, lane)
DO UPDATE SET
    calls = m.calls + excluded.calls,
    input_tokens = m.input_tokens + excluded.input_tokens,
    cached_tokens = m.cached_tokens + excluded.cached_tokens,
    cache_write_tokens = m.cache_write_tokens + excluded.cache_write_tokens,
    output_tokens = m.output_tokens + excluded.output_tokens,
    reasoning_tokens = m.reasoning_tokens + excluded.reasoning_tokens,
    cost_nanousd = m.cost_nanousd + excluded.cost_nanousd,
    unpriced_calls = m.unpriced_calls + excluded.unpriced_calls"""

INSERT_EVENT: Final = """
INSERT INTO events (
    tenant_id, session_id, number, kind, turn_id, first_seq, last_seq, message_count,
    created_at_us
) VALUES (?, ?, ?, 'turn.recorded', ?, ?, ?, ?, ?)"""

UPDATE_SESSION: Final = """
UPDATE sessions SET version = ?, message_count = ?, turn_count = turn_count + 1,
    calls = calls + 1, input_tokens = input_tokens + ?, cached_tokens = cached_tokens + ?,
    cache_write_tokens = cache_write_tokens + ?, output_tokens = output_tokens + ?,
    reasoning_tokens = reasoning_tokens + ?, cost_nanousd = cost_nanousd + ?, digest = ?,
    updated_at_us = ?
WHERE tenant_id = ? AND session_id = ?"""


class PlainSqlite:
    """One caller on a record's file that holds one session."""

    def __init__(self, *, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        for pragma in PRAGMAS:
            self._connection.execute(f"PRAGMA {pragma}")
        self._texts = [strict_json.dumps(message) for message in MESSAGES]
        self._version, self._count = self._connection.execute(
            "SELECT version, message_count FROM sessions"
        ).fetchone()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def measure(self, amount: float) -> Sample:
        """Append for so many seconds."""
        execute = self._connection.execute
        cpu, start = time.process_time(), time.perf_counter()
        done = 0
        while time.perf_counter() < start + amount:
            execute("BEGIN IMMEDIATE")
            self._append(execute)
            execute("COMMIT")
            done += 1
        return Sample(done, time.perf_counter() - start, time.process_time() - cpu)

    def _append(self, execute: Any) -> None:
        self._version += 1
        self._count += 2
        key = (TENANT, session_id(0))
        version, count = self._version, self._count
        first, last = count - 2, count - 1
        at_us = 1_790_000_000_000_000 + version
        turn_id = f"turn-0-{at_us}000"
        user, assistant = self._texts
        for seq, role, text in ((first, "user", user), (last, "assistant", assistant)):
            said = (*key, seq, f"msg_{seq:026}", turn_id, role, text, DIGEST, at_us)
            execute(INSERT_MESSAGE, said)
        turn = (*key, turn_id, "completed", DIGEST, first, last, RECEIPT, at_us)
        execute(INSERT_TURN, turn)
        self._add_usage(execute, key, turn_id, at_us)
        execute(INSERT_EVENT, (*key, version, turn_id, first, last, count, at_us))
        execute(UPDATE_SESSION, (version, count, *TOKENS, COST_NANOUSD, DIGEST, at_us, *key))

    def _add_usage(self, execute: Any, key: tuple[str, str], turn_id: str, at_us: int) -> None:
        made_by = (PROVIDER, MODEL)
        added = (*TOKENS, COST_NANOUSD)
        call = (*key, f"{turn_id}.0", turn_id, *made_by, *added, PRICE_VERSION, at_us)
        hour_us = at_us - at_us % HOUR_US
        execute(INSERT_USAGE, call)
        execute(ADD_SESSION_USAGE, (*key, hour_us, *made_by, *added))
        for lane in (1, ~1):
            execute(ADD_HOURLY_USAGE, (TENANT, hour_us, *made_by, lane, *added))
