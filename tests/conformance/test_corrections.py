"""Corrections: an entry is never changed; it is taken back, and another counts in its place."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from hansard import (
    Conflict,
    InvalidInput,
    NewUsage,
    NotFound,
    SessionService,
    Unauthorized,
    UsageTotals,
)
from hansard.compose import open_database
from hansard.core.actors import Actor
from hansard.core.ids import ID_MAX
from hansard.core.strict_json import canonicalize
from hansard.core.turns import check_usage_only
from hansard.store import usage as entries
from tests.ledgers import held_and_spent, settle
from tests.samples import call, compete, user


async def spend(record: SessionService) -> None:
    await record.append_turn(
        "s",
        [user("hi")],
        usage=[{"event_id": "c1", "model": "m", "input_tokens": 100}],
        create=True,
    )


async def test_corrected_call_counts_once_as_corrected(record: SessionService) -> None:
    await spend(record)
    totals = await record.update_token_usage(
        "s", event_id="c2", corrects="c1", model="m", input_tokens=70, cost_nanousd=5
    )
    assert totals == UsageTotals(calls=1, input_tokens=70, cost_nanousd=5)
    assert (await record.usage("s")).totals == totals
    assert (await record.usage_report(group_by=["model"])).totals == totals


async def test_correction_sent_again_changes_nothing(record: SessionService) -> None:
    await spend(record)
    for _ in range(2):
        totals = await record.update_token_usage(
            "s", event_id="c2", corrects="c1", model="m", input_tokens=70
        )
    assert totals.input_tokens == 70
    assert (await record.usage("s")).totals == totals


async def test_call_is_corrected_once_by_one_of_many(record: SessionService) -> None:
    await spend(record)
    done, errors = await compete(
        [
            record.update_token_usage("s", event_id=f"c{n}", corrects="c1", input_tokens=n)
            for n in range(2, 12)
        ]
    )
    assert len(done) == 1
    assert {error.code for error in errors} == {"usage_conflict"}
    assert (await record.usage("s")).totals.calls == 1


async def test_correction_can_be_corrected(record: SessionService) -> None:
    await spend(record)
    await record.update_token_usage("s", event_id="c2", corrects="c1", input_tokens=70)
    totals = await record.update_token_usage("s", event_id="c3", corrects="c2", input_tokens=60)
    assert (totals.calls, totals.input_tokens) == (1, 60)


async def test_unknown_call_cannot_be_corrected(record: SessionService) -> None:
    await spend(record)
    with pytest.raises(NotFound) as refused:
        await record.update_token_usage("s", event_id="c2", corrects="nothing")
    assert refused.value.code == "usage_not_found"
    assert (await record.usage("s")).totals.input_tokens == 100


async def test_what_takes_a_call_back_cannot_be_corrected(record: SessionService) -> None:
    await spend(record)
    await record.update_token_usage("s", event_id="c2", corrects="c1", input_tokens=70)
    with pytest.raises(InvalidInput):
        await record.update_token_usage("s", event_id="c3", corrects="c1~")
    assert (await record.usage("s")).totals.calls == 1


async def test_call_is_not_its_owners_to_take_back(record_url: str) -> None:
    async with open_database(record_url) as record:
        alice = record.acting_as(Actor("t", "alice", sees_all=False, sets_budgets=False))
        await spend(alice)
        with pytest.raises(Unauthorized):
            await alice.update_token_usage("s", event_id="c2", corrects="c1")
        assert (await alice.usage("s")).totals.input_tokens == 100


async def test_other_content_under_the_id_of_a_correction_is_a_conflict(
    record: SessionService,
) -> None:
    await spend(record)
    await record.update_token_usage("s", event_id="c2", corrects="c1", input_tokens=70)
    with pytest.raises(Conflict):
        await record.update_token_usage("s", event_id="c2", corrects="c1", input_tokens=71)


async def test_one_call_does_not_correct_two(record: SessionService) -> None:
    await record.append_turn("s", [], usage=[call("y1", 5), call("y2", 5)], create=True)
    await record.update_token_usage("s", event_id="z", corrects="y1")
    with pytest.raises(Conflict) as caught:
        await record.update_token_usage("s", event_id="z", corrects="y2")
    assert caught.value.code == "usage_conflict"
    assert (await record.usage("s")).totals.input_tokens == 5


async def test_correction_stays_out_of_another_session_of_that_name(record_url: str) -> None:
    """Of one that was made after the call was found, and before its correction is recorded."""
    async with open_database(record_url) as record:
        await spend(record)
        account, entry = await record.runner.read(
            lambda tx: entries.get(tx, record.actor, "s", "c1")
        )
        correcting = check_usage_only({"event_id": "c2"}, clock=record.clock, corrects=entry)
        for remake in (record.create(session_id="s"), spend(record)):
            await record.delete("s")
            await remake
            with pytest.raises(NotFound) as caught:
                await record.runner.append(record.correction(account, correcting))
            assert caught.value.code == "usage_not_found"
        assert (await record.usage_report()).totals.input_tokens == 200


async def test_corrected_ledger_proves_itself(record_url: str) -> None:
    async with open_database(record_url) as record:
        await spend(record)
        await record.put_budget("b", scope="tenant", limit_amount=10**9, unit="tokens")
        await record.update_token_usage("s", event_id="c2", corrects="c1", input_tokens=70)
        _, page = await record.get_budget("b")
        (state,) = page.items
        assert state.spent == 70
        report = await record.verify_ledger()
    assert report.ok
    assert report.entries == 3


async def test_no_id_stands_in_the_way_of_a_correction(record: SessionService) -> None:
    longest = "c" * ID_MAX
    await record.append_turn("s", [], usage=[call(longest, 9), call("c1", 9)], create=True)
    await record.update_token_usage("s", event_id="c1.reversed", input_tokens=1)
    await record.update_token_usage("s", event_id="d", corrects=longest, input_tokens=2)
    totals = await record.update_token_usage("s", event_id="e", corrects="c1", input_tokens=4)
    assert (totals.calls, totals.input_tokens) == (3, 7)


async def test_call_of_a_deleted_session_is_corrected_under_the_name_that_it_has_now(
    record: SessionService,
) -> None:
    await spend(record)
    await record.delete("s")
    with pytest.raises(NotFound):
        await record.update_token_usage("s", event_id="c2", corrects="c1")
    (bucket,) = (await record.usage_report(group_by=["session"])).buckets
    (buried,) = bucket.key
    assert buried is not None
    for _ in range(2):
        await record.update_token_usage(buried, event_id="c2", corrects="c1", input_tokens=70)
    (bucket,) = (await record.usage_report(group_by=["session"])).buckets
    assert (bucket.key, bucket.totals.calls, bucket.totals.input_tokens) == ((buried,), 1, 70)
    with pytest.raises(Conflict):
        await record.update_token_usage(buried, event_id="c3", corrects="c1", input_tokens=70)


async def test_call_of_no_session_is_corrected_on_its_owners_account(record_url: str) -> None:
    async with open_database(record_url) as record:
        await record.put_budget("b", scope="owner", subject="*", limit_amount=10**9, unit="tokens")
        alice = record.acting_as(Actor(owner="alice", sees_all=False, key_id="k"))
        await settle(alice, "c1", input_tokens=100, agent="helper")
        bob = record.acting_as(Actor(owner="bob", sees_all=False))
        with pytest.raises(NotFound):
            await bob.update_token_usage("~", event_id="c2", corrects="c1")
        await record.update_token_usage("~", event_id="c2", corrects="c1", input_tokens=70)
        assert await held_and_spent(record, "alice") == (0, 70)
        (bucket,) = (await record.usage_report(group_by=["owner", "agent"])).buckets
        assert (bucket.key, bucket.totals.input_tokens) == (("alice", "helper"), 70)
        assert (await record.verify_ledger()).ok


async def test_only_what_is_said_afterwards_is_reconciled(record: SessionService) -> None:
    found = [NewUsage(event_id="c1", input_tokens=1, confidence="reconciled")]
    with pytest.raises(InvalidInput) as caught:
        await record.append_turn("s", [], usage=found, create=True)
    assert caught.value.code == "invalid_usage"


async def correct(record: SessionService) -> dict[str, Any]:
    """A document of a session whose one call was corrected."""
    await record.append_turn(
        "s", [user("hi")], usage=[call("c1", 100, cost_nanousd=700)], create=True
    )
    await record.update_token_usage("s", event_id="c2", corrects="c1", input_tokens=70)
    written = b"".join([piece async for piece in record.export_session("s")])
    document: dict[str, Any] = json.loads(written)
    return document


def seal(document: dict[str, Any]) -> bytes:
    """The document with the checksum that its contents have now."""
    content = {name: value for name, value in document.items() if name != "integrity"}
    checksum = f"sha256:{hashlib.sha256(canonicalize(content)).hexdigest()}"
    sealed = {**content, "integrity": {**document["integrity"], "checksum": checksum}}
    return json.dumps(sealed).encode()


async def test_corrections_travel(record: SessionService) -> None:
    """Also under the ids that they once had."""
    document = await correct(record)
    (reversal,) = [entry for entry in document["usage"] if entry["reverses"]]
    reversal["event_id"] = "c1.reversed"
    report = await record.import_session(seal(document))
    arrived = await record.usage(report.sessions[0].session_id)
    assert arrived.totals == (await record.usage("s")).totals
    again = b"".join([piece async for piece in record.export_session(arrived.session_id)])
    ids = {entry["event_id"] for entry in json.loads(again)["usage"]}
    assert ids == {"c1", "c1~", "c2"}


@pytest.mark.parametrize("change", ["absent", "other", "elsewhen", "of another"])
async def test_document_takes_back_only_what_it_brings(record: SessionService, change: str) -> None:
    document = await correct(record)
    usage = {entry["event_id"]: entry for entry in document["usage"]}
    match change:
        case "absent":
            del usage["c1"]
        case "other":
            usage["c1~"]["cost_usd"] = "-700"
        case "elsewhen":
            usage["c1"]["recorded_at"] = "1990-01-01T00:00:00.000000Z"
        case _:
            usage["c1"]["model"] = "another"
    document["usage"] = list(usage.values())
    with pytest.raises(InvalidInput):
        await record.import_session(seal(document))
    assert len((await record.list()).items) == 1
