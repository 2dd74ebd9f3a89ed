"""What the server writes, the client reads back as it was."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from msgspec.structs import replace

import hansard.formats
from hansard.cli import payloads
from hansard.client import wire
from hansard.core.budgets import Budget, BudgetState, Hold
from hansard.core.documents import ImportedSession, ImportReport
from hansard.core.errors import (
    Conflict,
    Corrupt,
    HansardError,
    InvalidInput,
    LimitReached,
    NotFound,
    Unauthorized,
    Unavailable,
    UpstreamFailed,
)
from hansard.core.events import Event
from hansard.core.messages import StoredMessage
from hansard.core.paging import Page
from hansard.core.periods import FOREVER_US, Window
from hansard.core.reports import Bucket, ReportQuery, UsageReport
from hansard.core.sessions import Session, Verification
from hansard.core.turns import Turn, TurnReceipt
from hansard.core.usage import TOTAL_MAX, ModelUsage, SessionUsage, UsageTotals, unpriced
from hansard.formats.budgets import BudgetAnswer, HoldAnswer, HoldPage
from hansard.server import answers
from hansard.server.calls import to_json
from hansard.server.errors import failure
from hansard.server.reports import ReportAnswer
from hansard.server.usage import UsageAnswer

TOTALS = UsageTotals(1, 2, 3, 4, 5, 6, 7_000_000_001)
SESSION = Session(
    id="s",
    owner="bob",
    agent="agent",
    title="Ünï",
    model="m",
    system_prompt="be kind",
    metadata={"a": [1, None]},
    cost_data={"b": 1.5},
    archived=True,
    legal_hold=True,
    parent_session_id="p",
    forked_at_seq=3,
    message_count=4,
    turn_count=2,
    version=9,
    usage=TOTALS,
    digest="ab" * 32,
    created_at_us=1_700_000_000_000_001,
    updated_at_us=1_700_000_000_000_002,
)
MESSAGE = StoredMessage(
    seq=1,
    message_id="msg_1",
    turn_id=None,
    role=None,
    text='{"z":1,"a":"é"}',
    created_at_us=1_700_000_000_000_001,
    digest=b"\1" * 32,
)
TURN = Turn(
    turn_id="t",
    status="failed",
    first_seq=None,
    last_seq=None,
    version=3,
    usage=TOTALS,
    created_at_us=1_700_000_000_000_001,
)
RECEIPT = TurnReceipt(turn_id="t", first_seq=0, last_seq=1, version=2, usage=TOTALS, replayed=True)
USAGE = SessionUsage(
    session_id="s",
    turns=2,
    totals=TOTALS,
    models=(ModelUsage(provider="p", model="m", totals=TOTALS),),
)
BROKEN = Verification(ok=False, messages=2, digest="00" * 32, first_bad_seq=2)
REPORT = ImportReport(
    format="native",
    dry_run=True,
    sessions=(
        ImportedSession(
            source_session_id="old",
            session_id="new",
            created=True,
            messages=1,
            turns=2,
            usage_entries=3,
        ),
    ),
    losses=("a part",),
)
EVENT = Event(
    number=3,
    kind="turn.recorded",
    turn_id="t",
    first_seq=0,
    last_seq=1,
    message_count=2,
    created_at_us=1_700_000_000_000_001,
)
BUDGET = Budget(
    tenant_id="acme",
    budget_id="b",
    scope="owner",
    subject="*",
    period="day",
    time_zone="Europe/Berlin",
    unit="usd",
    limit_amount=TOTAL_MAX,
    mode="observe",
    warn_percents=(50, 100),
    counts_from_us=1_700_000_000_000_000,
    created_at_us=1_700_000_000_000_001,
    updated_at_us=1_700_000_000_000_002,
)
FOREVER = replace(
    BUDGET,
    period="total",
    unit="tokens",
    limit_amount=7,
    warn_percents=(),
    counts_from_us=FOREVER_US,
)
HOLD = Hold(
    call_id="c",
    session_id="s",
    turn_id="t",
    owner="bob",
    agent="airline",
    key_id="k",
    provider="p",
    model_asked="m",
    amount_nanousd=TOTAL_MAX,
    amount_tokens=TOTAL_MAX,
    budget_ids=("a", "b"),
    state="settled",
    is_overrun=True,
    created_at_us=1_700_000_000_000_001,
    expires_at_us=1_700_000_000_000_002,
    ended_at_us=1_700_000_000_000_003,
    is_counted=True,
)
NOBODYS = Hold(
    call_id="c",
    session_id=None,
    turn_id=None,
    owner=None,
    agent=None,
    key_id=None,
    provider="",
    model_asked="",
    amount_nanousd=None,
    amount_tokens=0,
    budget_ids=(),
    state="open",
    is_overrun=False,
    created_at_us=1_700_000_000_000_001,
    expires_at_us=1_700_000_000_000_002,
    ended_at_us=None,
    is_counted=False,
)

ERRORS = [
    InvalidInput("wrong", field="x"),
    InvalidInput("range", code="index_out_of_range", message_count=3),
    InvalidInput("type", code="unsupported_media_type"),
    InvalidInput("late", code="request_timeout"),
    Unauthorized("who?"),
    Unauthorized("no", code="forbidden"),
    NotFound("none", session_id="s"),
    Conflict("taken", code="session_exists"),
    Conflict("stale", code="version_mismatch", version=3),
    LimitReached("many"),
    LimitReached("large", code="body_too_large", limit=5),
    UpstreamFailed("upstream"),
    Unavailable("busy", code="busy"),
    Corrupt("broken", code="database_corrupt"),
    Corrupt("damaged", code="checksum_mismatch"),
    HansardError("nobody foresaw it"),
]


def test_session_comes_back() -> None:
    written = to_json(answers.SessionAnswer(**answers.session_fields(SESSION, None)))
    assert wire.read(written, wire.read_session) == SESSION


def test_command_line_writes_sessions_as_the_server_does() -> None:
    written = to_json(answers.SessionAnswer(**answers.session_fields(SESSION, None)))
    assert payloads.whole(SESSION) == json.loads(written)


def test_message_comes_back() -> None:
    page = answers.MessagePage([answers.MessageRow.of(MESSAGE)], "1")
    found = wire.read(to_json(page), wire.read_page("messages", wire.read_message))
    assert found.items == (MESSAGE.parsed(),)
    assert found.next_cursor == "1"
    assert payloads.message(MESSAGE.parsed()) == json.loads(to_json(page))["messages"][0]


def test_turn_comes_back() -> None:
    assert wire.read(to_json(answers.TurnRow.of(TURN)), wire.read_turn) == TURN


def test_turn_receipt_comes_back() -> None:
    written = to_json(answers.TurnAnswer.of(RECEIPT))
    found = wire.read(written, lambda value: wire.read_turn_receipt(value, replayed=True))
    assert found == RECEIPT


def test_usage_comes_back() -> None:
    written = to_json(UsageAnswer.of(USAGE, unpriced, 0))
    assert wire.read(written, wire.read_session_usage) == USAGE
    assert payloads.usage(USAGE).items() <= json.loads(written).items()


def test_report_of_more_than_a_column_holds_comes_back() -> None:
    query = ReportQuery(group_by=("model",))
    totals = UsageTotals(calls=1, input_tokens=2**70, cost_nanousd=2**80)
    report = UsageReport(
        tenant_id="acme", query=query, totals=totals, buckets=(Bucket(("m",), totals),)
    )
    written = to_json(ReportAnswer.of(report))
    assert wire.read(written, lambda value: wire.read_report(value, query)) == report


def test_verification_comes_back() -> None:
    written = to_json(answers.VerifyAnswer.of(BROKEN))
    assert wire.read(written, wire.read_verification) == BROKEN
    assert payloads.verification("s", BROKEN) == {"session_id": "s", **json.loads(written)}


def test_import_report_comes_back() -> None:
    written = to_json(answers.ImportAnswer.of(REPORT))
    assert wire.read(written, wire.read_import_report) == REPORT
    assert payloads.import_report("f", REPORT) == {"source": "f", **json.loads(written)}


def test_event_comes_back() -> None:
    assert wire.read(to_json(answers.EventData.of(EVENT)), wire.read_event) == EVENT


@pytest.mark.parametrize(
    ("budget", "window"),
    [
        (BUDGET, Window(1_700_000_000_000_000, 1_700_086_400_000_000)),
        (FOREVER, Window(FOREVER_US, None)),
    ],
    ids=["of a day", "for ever"],
)
def test_budget_comes_back(budget: Budget, window: Window) -> None:
    state = BudgetState(budget=budget, subject="bob", window=window, held=3, spent=TOTAL_MAX)
    states = Page((state,), "more")
    written = to_json(BudgetAnswer.of(budget, states))
    assert wire.read(written, wire.read_budget) == (budget, states)
    assert payloads.budget(budget, states) == json.loads(written)
    assert state.remaining < 0


@pytest.mark.parametrize(
    "change",
    [{"limit": 1}, {"created_at": "yesterday"}, {"states": None}, {"warn_percents": ["1"]}],
)
def test_budget_of_another_shape_is_refused(change: dict[str, object]) -> None:
    written = json.dumps(payloads.budget(BUDGET, Page((), None)) | change).encode()
    with pytest.raises(UpstreamFailed) as caught:
        wire.read(written, wire.read_budget)
    assert caught.value.code == "bad_answer"


@pytest.mark.parametrize("hold", [HOLD, NOBODYS], ids=["whole", "bare"])
def test_hold_comes_back(hold: Hold) -> None:
    written = to_json(HoldPage([HoldAnswer.of(hold)], "more"))
    assert wire.read(written, wire.read_holds) == Page((hold,), "more")
    assert payloads.hold(hold) == json.loads(written)["holds"][0]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{type(error).__name__}-{error.code}")
def test_error_comes_back_as_it_was_raised(error: HansardError) -> None:
    reply = failure(error)
    assert reply.status is not None
    found = wire.read_error(reply.status, bytes(reply.body))
    assert type(found) is type(error)
    assert (found.code, found.message, found.details) == (error.code, error.message, error.details)


def test_damaged_document_is_corrupt_though_the_server_blames_the_sender() -> None:
    reply = failure(InvalidInput("damaged", code="checksum_mismatch"))
    assert reply.status == 422
    assert isinstance(wire.read_error(422, bytes(reply.body)), Corrupt)


def test_every_code_of_a_damaged_document_is_known() -> None:
    folder = Path(hansard.formats.__file__).parent
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in folder.glob("*.py")]
    codes = {
        ast.literal_eval(keyword.value)
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id == "Corrupt"
        for keyword in node.keywords
        if keyword.arg == "code"
    }
    assert codes == wire.CORRUPT_CODES


@pytest.mark.parametrize("status", [502, 503, 504])
def test_gateway_without_the_server_is_unavailable(status: int) -> None:
    assert type(wire.read_error(status, b"<html>bad gateway</html>")) is Unavailable


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": 1}', b'{"error": {}}'])
def test_error_of_another_server_is_no_error_of_ours(body: bytes) -> None:
    error = wire.read_error(404, body)
    assert type(error) is UpstreamFailed
    assert error.details == {"status": 404}


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'{"created_at": 1}', b"\xff"])
def test_answer_of_another_shape_is_refused(body: bytes) -> None:
    with pytest.raises(UpstreamFailed) as caught:
        wire.read(body, wire.read_session)
    assert caught.value.code == "bad_answer"
