"""PostgreSQL behind the Connection seam: pipelined transactions that are retried whole.

BEGIN, the statements and COMMIT travel in a pipeline: only a statement whose rows are
needed costs a round trip. When the answer to COMMIT is lost, the server itself is asked
what became of the transaction (``pg_xact_status``), so nothing is written twice.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar, cast

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

from hansard.core.errors import Conflict, Corrupt, HansardError, InvalidInput, Unavailable
from hansard.core.strict_json import exact
from hansard.store.bulletin import Bulletin
from hansard.store.database import ForRows, Row, Tx
from hansard.store.jobs import Outcome
from hansard.store.queries import Dialect, Query, combine, load
from hansard.store.relay import relay

T = TypeVar("T")

READERS = 4
WRITERS = 2
LONERS = 6
LANES = 63  # of shared rows, beside 0: connections of several servers seldom meet in one
CONNECT_TIMEOUT_S = 5
RELAY_TIMEOUT_S = 5.0  # for an answer to LISTEN or NOTIFY, which say little and may be lost
LOCK_TIMEOUT_MS = 2_000  # of one try; tries go on until the deadline
STATEMENT_TIMEOUT_MS = 60_000
IDLE_TIMEOUT_MS = 10_000  # after which the locks of a client that vanished are let go
VERSION_MIN = 140_000
_PAUSE_MAX_S = 0.25
_WAIT_S = 0.1  # how often a wait for the server looks at the clock

# All queries look rows up by index. Plans are made once, maybe for tables that are still empty,
# so the joins that are only good for small tables are ruled out; and for any LIMIT, so also
# the workers that only many rows are worth starting for.
_SESSION: Final = {
    "lock_timeout": LOCK_TIMEOUT_MS,
    "statement_timeout": STATEMENT_TIMEOUT_MS,
    "idle_in_transaction_session_timeout": IDLE_TIMEOUT_MS,
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "max_parallel_workers_per_gather": 0,
    "plan_cache_mode": "force_generic_plan",
}

# Classes and codes after which nothing has happened and the whole may be run again.
_RETRY_CLASSES = ("08", "53", "57P")
_READ_ONLY = "25006"  # a standby, or a primary that is one no more
_RETRY_CODES = frozenset({"40001", "40P01", "55P03", "57014", _READ_ONLY, "25P03"})

# Classes that blame the data: a value, a constraint, a limit, a trigger that says no.
_REFUSED = ("22", "23", "44", "54", "P0")

# A server answers within its statement_timeout and a little more, or not at all.
_ANSWER_MARGIN_S = 1.0

# When the server's present life began: a crash ends it, also one that the postmaster survives.
_GREETING = """
    SELECT concat_ws(' ', extract(epoch FROM pg_postmaster_start_time()),
        (SELECT extract(epoch FROM stats_reset) FROM pg_stat_wal)),
        (SELECT setting::integer FROM pg_settings WHERE name = 'statement_timeout')
"""


# A standby says of what it has not heard of yet that it is aborted, or of the future.
_FATE = """
    SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_xact_status(%s::text::xid8) END
"""


class PostgresEngine:
    """One PostgreSQL database."""

    dialect: Dialect = "postgres"
    readers = READERS
    reads_max = 1  # each waits for the server; together they would wait for each other
    writers = WRITERS
    loners = LONERS

    def __init__(self, url: str, *, deadline_s: float) -> None:
        try:
            psycopg.conninfo.conninfo_to_dict(url)
        except psycopg.ProgrammingError as exc:
            raise InvalidInput("not a PostgreSQL URL", code="invalid_url") from exc
        self.url = url
        self.counters: Counter[str] = Counter()
        self.deadline_s = deadline_s

    def connect(self) -> PostgresConnection:
        """Make a connection; it connects when first used."""
        return PostgresConnection(self.url, self.deadline_s, self.counters)

    def listen(self, bulletin: Bulletin) -> Callable[[float], None]:
        """Pass announcements on in both directions."""
        return relay(self._connect_relay, bulletin)

    def _connect_relay(self) -> _Connection:
        connection = open_connection(self.url)
        connection.answer_timeout_s = RELAY_TIMEOUT_S
        return connection


class PostgresConnection:
    """Implements ``Connection``."""

    def __init__(self, url: str, deadline_s: float, counters: Counter[str]) -> None:
        self._url = url
        self._deadline_s = deadline_s
        self._counters = counters
        self._opened: _Connection | None = None

    def run(self, fn: Callable[[Tx], T], *, read_only: bool, deadline: float | None = None) -> T:
        """Run ``fn`` in a transaction, again if that can change the outcome."""
        deadline = deadline or time.monotonic() + self._deadline_s
        pause_s = 0.002
        while True:
            attempt = _Attempt()
            try:
                return self._run_once(fn, attempt, read_only=read_only)
            except psycopg.Error as error:
                if attempt.may_have_committed and self._is_committed(attempt, deadline, error):
                    return cast("T", attempt.result)
                if error.sqlstate == _READ_ONLY:
                    self.close()  # the primary is elsewhere, or will be
                if not self._is_retryable(error) or time.monotonic() > deadline:
                    raise _translate(error) from error
            self._counters["retries"] += 1
            time.sleep(random.uniform(0, pause_s))  # noqa: S311 - jitter
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)

    def run_each(self, fns: Sequence[Callable[[Tx], Any]], deadline: float) -> list[Outcome]:
        """Run functions, each in a transaction of its own."""
        raise AssertionError("PostgreSQL runs single functions on threads of their own")

    def script(self, fn: Callable[[psycopg.Connection[Row]], T]) -> T:
        """Run ``fn`` with the bare connection, for migrations and maintenance."""
        deadline = time.monotonic() + self._deadline_s
        while True:
            try:
                return fn(self._open())
            except psycopg.Error as error:
                if not self._is_retryable(error) or time.monotonic() > deadline:
                    raise _translate(error) from error
                self.close()
            time.sleep(random.uniform(0, _PAUSE_MAX_S))  # noqa: S311 - jitter

    def close(self) -> None:
        """Close the connection."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _run_once(self, fn: Callable[[Tx], T], attempt: _Attempt, *, read_only: bool) -> T:
        connection = self._open()
        attempt.life = connection.life
        try:
            with connection.pipeline() as pipeline:
                if read_only:
                    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                else:
                    connection.execute("BEGIN")
                    attempt.transaction = connection.execute("SELECT pg_current_xact_id()::text")
                attempt.result = fn(_PostgresTx(connection, pipeline))
                if not read_only:
                    attempt.read_id()
                attempt.may_have_committed = not read_only
                connection.execute("COMMIT")
        except BaseException:
            self._leave_transaction(connection)
            raise
        return cast("T", attempt.result)

    def _leave_transaction(self, connection: psycopg.Connection[Row]) -> None:
        """Make the connection fit for the next transaction, or drop it."""
        try:
            if connection.info.transaction_status != TransactionStatus.IDLE:
                connection.execute("ROLLBACK")
        except psycopg.Error:
            self._counters["lost_connections"] += 1
        if connection.broken or connection.closed:
            self.close()

    def _is_committed(self, attempt: _Attempt, deadline: float, error: psycopg.Error) -> bool:
        """Ask the server what became of a transaction whose COMMIT got no good answer."""
        while (fate := self._find_fate(attempt)) is None and time.monotonic() < deadline:
            time.sleep(random.uniform(0, _PAUSE_MAX_S))  # noqa: S311 - jitter
        if fate in {"committed", "aborted"}:
            return fate == "committed"
        raise Unavailable(
            "the database did not say whether it kept the change; send it again with the same ids",
            code="outcome_unknown",
        ) from error

    def _find_fate(self, attempt: _Attempt) -> str | None:
        """Ask what became of a transaction; None if that cannot be said yet.

        A crash forgets the ids of the transactions that it loses, and gives them to others:
        after one, "committed" may be said of another's, and an id of the future was ours.
        """
        try:
            connection = self._open()
            row = connection.execute(_FATE, (attempt.transaction_id,)).fetchone()
        except psycopg.errors.InvalidParameterValue:
            return "aborted"
        except psycopg.Error:
            self.close()
            return None
        fate = row[0] if row else None
        if fate not in {"committed", "aborted"}:
            self.close()  # a standby, or not over yet: whoever is primary then is asked again
            return None
        is_our_life = fate == "aborted" or connection.life == attempt.life
        return fate if is_our_life else "unknown"

    def _is_retryable(self, error: psycopg.Error) -> bool:
        state = error.sqlstate or ""
        if not state:  # no answer from the server: the connection was lost or never made
            return isinstance(error, psycopg.OperationalError)
        return state.startswith(_RETRY_CLASSES) or state in _RETRY_CODES

    def _open(self) -> _Connection:
        if self._opened is None:
            self._opened = open_connection(self._url)
        return self._opened


class _Attempt:
    """One try of a transaction: what it computed, and how to ask after it."""

    def __init__(self) -> None:
        self.result: Any = None
        self.transaction: psycopg.Cursor[Row] | None = None
        self.transaction_id = ""
        self.life = ""
        self.may_have_committed = False

    def read_id(self) -> None:
        row = self.transaction.fetchone() if self.transaction else None
        self.transaction_id = row[0] if row else ""


class _PostgresTx:
    dialect: Dialect = "postgres"

    def __init__(self, connection: _Connection, pipeline: psycopg.Pipeline) -> None:
        self._connection = connection
        self._pipeline = pipeline
        self._queries = load("postgres")
        self.lane = 1 + connection.info.backend_pid % LANES

    def rows(self, query: str, /, options: Sequence[str] = (), **params: object) -> list[Row]:
        found = self._queries[query]
        if found.options:
            found = found.with_options(options)
        cursor = self._execute(found, [params[name] for name in found.arguments])
        self._answer()
        return cursor.fetchall()

    def run(self, query: str, /, **params: object) -> None:
        found = self._queries[query]
        self._execute(found, [params[name] for name in found.arguments])

    def look_up(self, *lookups: ForRows) -> list[list[Row]]:
        cursors = [self._execute_for(lookup) if lookup[1] else None for lookup in lookups]
        self._answer()
        return [cursor.fetchall() if cursor else [] for cursor in cursors]

    def many(self, *writes: ForRows) -> None:
        if some := [write for write in writes if write[1]]:
            self._execute_for(*some)

    def _answer(self) -> None:
        """Wait for the answers; now the server counts how long a transaction stands idle."""
        self._pipeline.sync()

    def _execute_for(self, *writes: ForRows) -> psycopg.Cursor[Row]:
        """Execute queries for their rows as one statement, a column being one array."""
        query = combine(tuple(self._queries[name] for name, _ in writes))
        columns = [column for _, rows in writes for column in zip(*rows, strict=True)]
        return self._execute(query, list(map(_write_array, columns)))

    def _execute(self, query: Query, arguments: Sequence[object]) -> psycopg.Cursor[Row]:
        cursor = psycopg.RawCursor(self._connection)
        cursor.execute(query.by_number, arguments, binary=True)
        self._connection.flush()
        return cursor


class _Connection(psycopg.Connection[Row]):
    """A connection that gives up a server which has fallen silent.

    Attributes:
        life: Names the server's life, from its start to its next crash.
        answer_timeout_s: Longest wait for an answer; None is for ever.
    """

    life = ""
    answer_timeout_s: float | None = CONNECT_TIMEOUT_S

    def wait(self, gen: PQGen[T], interval: float = _WAIT_S, timeout: float | None = None) -> T:
        try:
            return super().wait(gen, interval, timeout or self.answer_timeout_s)
        except psycopg.errors.PipelineAborted:
            raise
        except psycopg.OperationalError as error:
            if error.sqlstate is None:  # lost, or silent for too long: not to be used again
                self.close()
            raise

    def flush(self) -> None:
        """Send all that a pipeline holds back.

        ``Pipeline.sync`` sends what the socket takes at once and then only listens, while a
        server that has not got its statement whole has nothing to say.
        """
        self.wait(generators.send(self.pgconn))


@contextmanager
def unhurried(connection: psycopg.Connection[Row]) -> Iterator[None]:
    """Wait for answers as long as they take, for what is no call of anybody's."""
    assert isinstance(connection, _Connection)
    usual_s, connection.answer_timeout_s = connection.answer_timeout_s, None
    try:
        yield
    finally:
        connection.answer_timeout_s = usual_s


def open_connection(url: str) -> _Connection:
    """Connect with the settings that every connection to a record has, or those of the URL."""
    given = psycopg.conninfo.conninfo_to_dict(url)
    ours = " ".join(f"-c {name}={value}" for name, value in _SESSION.items())
    parameters: dict[str, Any] = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives_idle": 10,
        "tcp_user_timeout": 10_000,
        "application_name": "hansard",
        **given,
        "options": f"{ours} {given.get('options') or ''}",
    }
    connection = _Connection.connect(autocommit=True, prepare_threshold=1, **parameters)
    try:
        row = connection.execute(_GREETING).fetchone()
    except BaseException:
        connection.close()
        raise
    assert row is not None
    connection.life, limit_ms = row
    connection.answer_timeout_s = limit_ms / 1000 + _ANSWER_MARGIN_S if limit_ms else None
    return connection


def _write_array(column: Collection[Any]) -> str:
    """Write a column of parameters as one PostgreSQL array; much faster than the driver."""
    kinds = set(map(type, column))
    if kinds == {int}:
        return "{" + ",".join(map(str, column)) + "}"
    if kinds == {str}:
        joined = '","'.join(column)
        if "\\" not in joined and joined.count('"') == 2 * (len(column) - 1):
            return '{"' + joined + '"}'
    return "{" + ",".join(map(_write_element, column)) + "}"


def _write_element(value: str | int | bytes | None) -> str:
    if isinstance(value, str):
        value = exact(value)
        if "\\" in value or '"' in value:
            value = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{value}"'
    if value is None:
        return "NULL"
    return f'"\\\\x{value.hex()}"' if isinstance(value, bytes) else str(int(value))


def _translate(error: psycopg.Error) -> HansardError:
    state = error.sqlstate or ""
    said = f"{' '.join(filter(None, ('PostgreSQL', state)))}: {error}"
    if isinstance(error, psycopg.DataError) or state.startswith(_REFUSED):
        return Conflict(f"the database refused a row ({state})", code="refused")
    if state.startswith(("XX", "58P")):
        ours: HansardError = Corrupt(f"PostgreSQL is damaged ({state})", code="database_corrupt")
    else:
        ours = Unavailable("the database does not answer", reason=state or "connection")
    ours.add_note(said)  # it may name hosts and files
    return ours
