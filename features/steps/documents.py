"""Documents: out of the record, and into it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import rfc8785
from behave import given, then, when

from features.steps.messages import bodies

if TYPE_CHECKING:
    from behave.runner import Context

    from hansard import SessionService


async def written(record: SessionService, session_id: str, format: str) -> bytes:
    return b"".join([piece async for piece in record.export_session(session_id, format)])


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@given('session "{session_id}" was exported as "{format}"')
@when('session "{session_id}" is exported as "{format}"')
def export(context: Context, session_id: str, format: str) -> None:
    context.format = format
    context.document = context.call(written(context.record, session_id, format))


@when('somebody tries to export session "{session_id}" as "{format}"')
def try_to_export(context: Context, session_id: str, format: str) -> None:
    context.attempt(written(context.record, session_id, format))


@then('the document holds "{text}"')
def document_holds(context: Context, text: str) -> None:
    assert text in context.document.decode()


@then("anybody can recompute the checksum that the document names")
def checksum_holds(context: Context) -> None:
    document = json.loads(context.document)
    integrity = document.pop("integrity")
    assert (integrity["algorithm"], integrity["canonicalization"]) == ("sha256", "rfc8785")
    assert integrity["checksum"] == f"sha256:{sha256(rfc8785.dumps(document))}"


@then("its first line is the header and its last the trailer")
def has_frame(context: Context) -> None:
    context.lines = [json.loads(line) for line in context.document.splitlines()]
    assert (context.lines[0]["type"], context.lines[-1]["type"]) == ("header", "trailer")


@then("anybody can recompute the running hash that the trailer names")
def running_hash_holds(context: Context) -> None:
    *records, trailer = context.lines
    running = bytes(32)
    for record in records:
        running = hashlib.sha256(running + rfc8785.dumps(record)).digest()
    assert running.hex() in json.dumps(trailer), trailer


@then("its checksum is the SHA-256 of the document as Python dumps it with sorted keys")
def legacy_checksum_holds(context: Context) -> None:
    document: dict[str, Any] = json.loads(context.document)
    checksum = document.pop("checksum")
    assert checksum == sha256(json.dumps(document, sort_keys=True).encode())


@given("somebody changed {old} to {new} in the document")
def tamper(context: Context, old: str, new: str) -> None:
    assert context.document.count(old[1:-1].encode()) == 1
    context.document = context.document.replace(old[1:-1].encode(), new[1:-1].encode())


@given('this document in the format "{format}"')
def given_document(context: Context, format: str) -> None:
    context.format = format
    context.document = context.text.encode()


@when("the document is imported")
def import_(context: Context) -> None:
    context.report = context.call(context.record.import_session(context.document, context.format))


@when("the document is imported as a dry run")
def import_dry(context: Context) -> None:
    looked = context.record.import_session(context.document, context.format, dry_run=True)
    context.report = context.call(looked)


@when("somebody tries to import the document")
def try_to_import(context: Context) -> None:
    context.attempt(context.record.import_session(context.document, context.format))


@then('a new session holds the same conversation as "{session_id}"')
def same_conversation(context: Context, session_id: str) -> None:
    (item,) = context.report.sessions
    context.new_id = item.session_id
    assert item.created
    assert context.new_id != session_id
    assert bodies(context, context.new_id) == bodies(context, session_id)


@then('the new session has the digest of "{session_id}"')
def same_digest(context: Context, session_id: str) -> None:
    new, old = (context.call(context.record.verify(id)) for id in (context.new_id, session_id))
    assert new.ok
    assert new.digest == old.digest


@then("the new session has used {input:d} input and {output:d} output tokens")
def new_has_used(context: Context, input: int, output: int) -> None:
    totals = context.call(context.record.usage(context.new_id)).totals
    assert (totals.input_tokens, totals.output_tokens) == (input, output)


@then("the report says that it was there already")
def was_there(context: Context) -> None:
    assert [item.created for item in context.report.sessions] == [False]


@then("the report counts {count:d} messages")
def report_counts(context: Context, count: int) -> None:
    assert sum(item.messages for item in context.report.sessions) == count


@then("the report names {count:d} new sessions")
def report_names(context: Context, count: int) -> None:
    assert sum(item.created for item in context.report.sessions) == count
