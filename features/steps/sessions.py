"""Making, getting, listing, deleting, forking and reverting sessions."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from behave import given, register_type, then, when

from features.conversations import conversation, exchange
from features.environment import open_record
from tests.places import Place

if TYPE_CHECKING:
    from behave.runner import Context

register_type(
    Quoted=json.loads,
    Names=lambda text: [name.strip(' "') for name in text.split(",")],
)


def ids(context: Context, **query: Any) -> list[str]:
    return [session.id for session in context.call(context.record.list(**query)).items]


@when("an agent creates {count:d} sessions")
def create_many(context: Context, count: int) -> None:
    context.ids = [context.call(context.record.create()).id for _ in range(count)]


@then("the {count:d} sessions have different ids that sort in the order of their making")
def ids_sort(context: Context, count: int) -> None:
    assert len(set(context.ids)) == count
    times = [context.call(context.record.get(id)).created_at_us for id in sorted(context.ids)]
    assert times == sorted(times)


@when("an agent creates a session with")
def create_with(context: Context) -> None:
    fields = {row["field"]: row["value"] for row in context.table}
    context.call(context.record.create(**fields))


@given('a session "{session_id}" with this conversation')
@when('an agent creates session "{session_id}" with this conversation')
def create_with_conversation(context: Context, session_id: str) -> None:
    context.call(context.record.create(session_id=session_id, messages=conversation(context)))


@given('an empty session "{session_id}"')
def create_empty(context: Context, session_id: str) -> None:
    context.call(context.record.create(session_id=session_id))


@given('session "{session_id}" of agent "{agent}"')
def create_of_agent(context: Context, session_id: str, agent: str) -> None:
    context.call(context.record.create(session_id=session_id, agent=agent))


@given('session "{session_id}" with title "{title}"')
def create_with_title(context: Context, session_id: str, title: str) -> None:
    context.call(context.record.create(session_id=session_id, title=title))


@when("an agent tries to create session {session_id:Quoted}")
def try_to_create(context: Context, session_id: str) -> None:
    context.attempt(context.record.create(session_id=session_id))


@when('an agent gets session "{session_id}"')
def get(context: Context, session_id: str) -> None:
    context.session = context.call(context.record.get(session_id))


@when('an agent tries to get session "{session_id}"')
def try_to_get(context: Context, session_id: str) -> None:
    context.attempt(context.record.get(session_id))


@then("it sees {count:d} messages, and that the next one will be number {number:d}")
def sees(context: Context, count: int, number: int) -> None:
    assert context.session.message_count == count == number
    assert not hasattr(context.session, "messages")


@then('session "{session_id}" has {field:w} "{value}"')
def has_field(context: Context, session_id: str, field: str, value: str) -> None:
    assert getattr(context.call(context.record.get(session_id)), field) == value


@then('session "{session_id}" verifies')
def verifies(context: Context, session_id: str) -> None:
    found = context.call(context.record.verify(session_id))
    assert found.ok, found


@then('session "{session_id}" does not exist')
def does_not_exist(context: Context, session_id: str) -> None:
    assert not context.call(context.record.exists(session_id))


@when("the record is closed and opened again")
def reopen(context: Context) -> None:
    context.call(context.record.__aexit__(None, None, None))
    context.record = open_record(context)


@given("sessions were made one after another: {names:Names}")
def create_in_turn(context: Context, names: list[str]) -> None:
    for name in names:
        context.call(context.record.create(session_id=name))


@given("{count:d} sessions")
def create_numbered(context: Context, count: int) -> None:
    context.ids = [f"session-{number}" for number in range(count)]
    for session_id in context.ids:
        context.call(context.record.create(session_id=session_id))


@given('session "{session_id}" is archived')
def archive(context: Context, session_id: str) -> None:
    context.call(context.record.update(session_id, archived=True))


@when("somebody lists the sessions")
def list_all(context: Context) -> None:
    context.listed = ids(context)


@when('somebody lists the sessions of agent "{agent}"')
def list_of_agent(context: Context, agent: str) -> None:
    context.listed = ids(context, agent=agent)


@when('somebody searches the sessions for "{text}"')
def search(context: Context, text: str) -> None:
    context.listed = ids(context, search=text)


@when("somebody lists the sessions that are not archived")
def list_active(context: Context) -> None:
    context.listed = ids(context, archived=False)


@when("somebody tries to list {limit:d} sessions")
def try_to_list(context: Context, limit: int) -> None:
    async def ask() -> None:
        await context.record.list(limit=limit)

    context.attempt(ask())


@then("the list is {names:Names}")
def list_is(context: Context, names: list[str]) -> None:
    assert context.listed == names, context.listed


@when("somebody pages through the sessions {size:d} at a time")
def page_through(context: Context, size: int) -> None:
    context.pages = [context.call(context.record.list(limit=size))]
    while cursor := context.pages[-1].next_cursor:
        context.pages.append(context.call(context.record.list(limit=size, cursor=cursor)))


@when(
    "somebody pages through the sessions {size:d} at a time, and another session is made meanwhile"
)
def page_through_while_one_is_made(context: Context, size: int) -> None:
    first = context.call(context.record.list(limit=size))
    context.call(context.record.create(session_id="latecomer"))
    second = context.call(context.record.list(limit=size, cursor=first.next_cursor))
    context.pages = [first, second]


@then("the pages have {first:d}, {second:d} and {third:d} sessions")
def page_sizes(context: Context, first: int, second: int, third: int) -> None:
    assert [len(page.items) for page in context.pages] == [first, second, third]


@then("all {count:d} sessions were seen, each once")
def seen_once(context: Context, count: int) -> None:
    seen = Counter(session.id for page in context.pages for session in page.items)
    assert seen == Counter(context.ids)
    assert len(seen) == count


@then("the record holds {number} session")
@then("the record holds {number} sessions")
def holds(context: Context, number: str) -> None:
    assert len(ids(context)) == (0 if number == "no" else int(number))


@when('session "{session_id}" is deleted')
def delete(context: Context, session_id: str) -> None:
    context.call(context.record.delete(session_id))


@when('somebody tries to delete session "{session_id}"')
def try_to_delete(context: Context, session_id: str) -> None:
    context.attempt(context.record.delete(session_id))


@then('no table holds a row of session "{session_id}"')
def no_row(context: Context, session_id: str) -> None:
    place = Place(kind=context.engine, url=context.url, database_url=context.url)
    for table, rows in place.dump().items():
        assert not any(session_id in row for row in rows), table


@when('session "{session_id}" is forked after {count:d} messages')
def fork(context: Context, session_id: str, count: int) -> None:
    context.fork = context.call(context.record.fork(session_id, count)).id


@when('somebody tries to fork session "{session_id}" after {count:d} messages')
def try_to_fork(context: Context, session_id: str, count: int) -> None:
    context.attempt(context.record.fork(session_id, count))


@when("the fork goes on with {count:d} message")
def fork_goes_on(context: Context, count: int) -> None:
    context.call(context.record.append_messages(context.fork, exchange(count, "elsewhere")))


@then('the fork has {count:d} messages and names "{parent}" as its parent')
def fork_has(context: Context, count: int, parent: str) -> None:
    found = context.call(context.record.get(context.fork))
    assert (found.message_count, found.parent_session_id) == (count, parent)


@then("the fork verifies")
def fork_verifies(context: Context) -> None:
    verifies(context, context.fork)


@when('session "{session_id}" is reverted to {count:d} messages')
def revert(context: Context, session_id: str, count: int) -> None:
    context.call(context.record.revert(session_id, count))


@given('tenant "{tenant}" has a session "{session_id}" with {count:d} messages')
@when('tenant "{tenant}" has a session "{session_id}" with {count:d} messages')
def tenant_has(context: Context, tenant: str, session_id: str, count: int) -> None:
    record = open_record(context, tenant=tenant)
    context.call(record.create(session_id=session_id, messages=exchange(count)))


@when('tenant "{tenant}" tries to get session "{session_id}"')
def tenant_tries(context: Context, tenant: str, session_id: str) -> None:
    context.attempt(open_record(context, tenant=tenant).get(session_id))


@then('tenant "{tenant}" still sees {count:d} messages in session "{session_id}"')
def tenant_sees(context: Context, tenant: str, count: int, session_id: str) -> None:
    session = context.call(open_record(context, tenant=tenant).get(session_id))
    assert session.message_count == count


@given('owner "{owner}" of tenant "{tenant}" has a session "{session_id}" with 1 message')
def owner_has(context: Context, owner: str, tenant: str, session_id: str) -> None:
    record = open_record(context, tenant=tenant, owner=owner)
    context.call(record.create(session_id=session_id, messages=exchange(1)))


@when('owner "{owner}" of tenant "{tenant}" tries to get session "{session_id}"')
def owner_tries(context: Context, owner: str, tenant: str, session_id: str) -> None:
    context.attempt(open_record(context, tenant=tenant, owner=owner).get(session_id))


@then('owner "{owner}" of tenant "{tenant}" lists no session')
def owner_lists_nothing(context: Context, owner: str, tenant: str) -> None:
    page = context.call(open_record(context, tenant=tenant, owner=owner).list())
    assert not page.items
