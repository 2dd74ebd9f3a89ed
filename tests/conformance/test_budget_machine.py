"""Budgets under any sequence of events: the windows are always what the events say."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hansard import Conflict, InvalidInput, LimitReached, TurnReceipt
from hansard.compose import open_database
from hansard.core.actors import DEFAULT_TENANT, Actor
from hansard.core.budgets import Subjects
from hansard.core.usage import NO_USAGE, NewUsage, UsageTotals
from hansard.service.sessions import DatabaseSessions
from hansard.store import limits
from tests.budget_model import (
    HOUR_US,
    LENGTHS_US,
    PENDING,
    Model,
    ModelBudget,
    ModelEntry,
    ModelHold,
    WindowKey,
    start_of,
)
from tests.ledgers import Clock, settle
from tests.places import Place
from tests.samples import new_hold

T = TypeVar("T")

EXAMPLES = {"sqlite": 60, "postgres": 10}
STEPS = 40
PICO = 1_000  # of a nano-dollar: what an output token costs here

ACCOUNTS = (
    Subjects(owner="ann", agent="x", session="s1", key="k1"),
    Subjects(owner="ann", agent="y", session="s2", key="k2"),
    Subjects(owner="bob", agent="x", session="", key=""),
)
SCOPES = (
    ("tenant", ""),
    ("owner", "ann"),
    ("owner", "*"),
    ("agent", "x"),
    ("session", "*"),
    ("key", "k1"),
)

accounts = st.sampled_from(ACCOUNTS)
amounts = st.integers(0, 4)
costs = st.none() | amounts
budgets = st.fixed_dictionaries(
    {
        "budget_id": st.sampled_from(["a", "b", "c"]),
        "account": st.sampled_from(SCOPES),
        "period": st.sampled_from(["total", *LENGTHS_US]),
        "unit": st.sampled_from(["usd", "tokens"]),
        "limit_amount": st.integers(0, 12),
        "mode": st.sampled_from(["enforce", "enforce", "observe"]),
    }
)


class BudgetMachine(RuleBasedStateMachine):
    """A record, and a model that is told the same."""

    calls = Bundle("calls")
    taken = Bundle("taken")
    settled = Bundle("settled")

    place: ClassVar[Place]
    """Where its records live; of SQLite, each in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.clock = Clock()
        self.count = 0
        self.sessions = {"": 0}
        """Sessions that are there, and which of its name each is."""
        self._runner = asyncio.Runner()
        in_memory = self.place.kind == "sqlite"
        self.books = open_database("sqlite://" if in_memory else self.place.url)
        self.books.clock = self.clock
        self.run(self.books.__aenter__())

    def teardown(self) -> None:
        self.run(self.books.__aexit__(None, None, None))
        self._runner.close()
        if self.place.kind == "postgres":
            self.place.clear()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)

    def acting(self, account: Subjects) -> DatabaseSessions:
        return self.books.acting_as(Actor(owner=account.owner, key_id=account.key or None))

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    @initialize(budgets=st.lists(budgets, min_size=1, max_size=2))
    def begin(self, budgets: list[dict[str, Any]]) -> None:
        for budget in budgets:
            self.put_budget(budget)

    @rule(budget=budgets)
    def put_budget(self, budget: dict[str, Any]) -> None:
        scope, subject = budget["account"]
        about = {name: value for name, value in budget.items() if name != "account"}
        made = self.run(self.books.put_budget(scope=scope, subject=subject, **about))
        start_us = start_of(budget["period"], self.clock.now_us)
        self.model.put(
            ModelBudget(
                scope=scope,
                subject=subject,
                made=made.created_at_us,
                counts_from_us=start_us,
                **about,
            )
        )

    @precondition(lambda self: self.model.budgets)
    @rule(data=st.data())
    def delete_budget(self, data: st.DataObject) -> None:
        budget_id = data.draw(st.sampled_from(sorted(self.model.budgets)))
        self.run(self.books.delete_budget(budget_id))
        del self.model.budgets[budget_id]

    @rule(
        targets=(calls, taken),
        account=accounts,
        fixed=costs,
        output=amounts,
        least=st.none() | amounts,
        patience_us=st.sampled_from([0, 0, 48 * HOUR_US]),
    )
    def take_hold(
        self,
        account: Subjects,
        fixed: int | None,
        output: int,
        least: int | None,
        patience_us: int,
    ) -> Any:
        expires_at_us = self.clock.now_us + patience_us
        hold = new_hold(
            self.name("call"),
            fixed,
            session_id=account.session or None,
            agent=account.agent,
            fixed_tokens=fixed or 0,
            output_pico_per_token=PICO,
            output_tokens=output,
            least_output_tokens=least,
            expires_at_us=expires_at_us,
        )
        expected = self.model.grant(account, self.clock.now_us + 1, fixed, output, least)
        try:
            admission = self.run(self.acting(account).take_hold(hold))
        except LimitReached:
            assert expected is None, "a call was refused that fits"
            return multiple()
        assert admission.output_tokens == expected, "another length than what fits"
        amount = None if fixed is None else fixed + admission.output_tokens
        taken = ModelHold(hold.call_id, account, admission.at_us, expires_at_us, amount)
        self.model.take(taken, fixed, admission.output_tokens)
        return hold.call_id

    @rule(target=settled, call_id=consumes(calls), cost=costs, tokens=amounts)
    def settle(self, call_id: str, cost: int | None, tokens: int) -> Any:
        """Settle a call, whatever became of its hold; one that was resolved is counted already."""
        hold = self.model.holds[call_id]
        usage = (call_id, hold.account, cost, tokens, self.clock(), [call_id])
        if hold.entry is None:
            entry = ModelEntry(hold.account, hold.at_us, cost or 0, tokens)
            self.model.settle(hold, entry, is_priced=cost is not None)
        elif not hold.account.session:
            self.send(*usage)
            return multiple()
        return usage, *self.send(*usage)

    @rule(target=settled, account=accounts, cost=costs, tokens=amounts)
    def spend_without_a_hold(self, account: Subjects, cost: int | None, tokens: int) -> Any:
        at_us = self.clock()
        self.model.spend(ModelEntry(account, at_us, cost or 0, tokens), None)
        holds: list[str] = []
        usage = (self.name("call"), account, cost, tokens, at_us, holds)
        return usage, *self.send(*usage)

    @rule(known=settled)
    def settle_again(self, known: tuple[tuple[Any, ...], TurnReceipt, int]) -> None:
        """To a session that was deleted since, it is another turn, without the calls it held."""
        usage, told, which = known
        if self.sessions.get(usage[1].session) == which:
            assert self.send(*usage)[0] == replace(told, replayed=True)
        elif usage[-1]:
            before = self.used_in(usage[1].session)
            self.send(*usage)
            assert self.used_in(usage[1].session) == before

    def used_in(self, session_id: str) -> UsageTotals:
        if session_id not in self.sessions:
            return NO_USAGE
        return self.run(self.books.get(session_id)).usage

    def send(
        self,
        call_id: str,
        account: Subjects,
        cost: int | None,
        tokens: int,
        at_us: int,
        holds: list[str],
    ) -> tuple[TurnReceipt, int]:
        """Record a call; return what was told, and to which session of that name it went."""
        if account.session not in self.sessions:
            self.count += 1
            self.sessions[account.session] = self.count
        receipt = self.run(
            settle(
                self.acting(account),
                call_id,
                cost,
                session_id=account.session or None,
                holds=holds,
                at_us=at_us,
                agent=account.agent,
                model="m",
                input_tokens=tokens,
            )
        )
        return receipt, self.sessions[account.session]

    @rule(call_id=calls)
    def release(self, call_id: str) -> None:
        self.run(self.books.release_holds([call_id]))
        hold = self.model.holds[call_id]
        hold.state = "released" if hold.state in PENDING else hold.state

    @rule()
    def expire(self) -> None:
        late = [
            hold
            for hold in self.model.holds.values()
            if hold.state == "open" and hold.expires_at_us <= self.clock.now_us
        ]
        assert self.run(self.books.expire_holds()) == len(late)
        for hold in late:
            hold.state = "unknown"

    @rule(call_id=taken, cost=costs, tokens=amounts, is_known=st.booleans())
    def resolve(self, call_id: str, cost: int | None, tokens: int, is_known: bool) -> None:
        hold = self.model.holds[call_id]
        usage = NewUsage(event_id="-", model="m", cost_nanousd=cost, input_tokens=tokens)
        resolution = self.books.resolve_hold(call_id, usage if is_known else None)
        if hold.state != "unknown":
            with pytest.raises(Conflict):
                self.run(resolution)
        elif is_known and cost is None and hold.amount:
            with pytest.raises(InvalidInput):
                self.run(resolution)
        else:
            self.run(resolution)
            if is_known:
                self.model.settle(hold, self.found_out(hold, cost, tokens), is_priced=True)
            else:
                hold.state = "written_off"

    def found_out(self, hold: ModelHold, cost: int | None, tokens: int) -> ModelEntry:
        """A call as it was found out; one that was counted keeps its tokens if none are said."""
        if hold.entry is not None:
            return ModelEntry(
                hold.entry.account, hold.at_us, cost or 0, tokens or hold.entry.tokens
            )
        return ModelEntry(hold.account, hold.at_us, cost or 0, tokens)

    @precondition(lambda self: len(self.sessions) > 1)
    @rule(data=st.data())
    def delete_session(self, data: st.DataObject) -> None:
        session_id = data.draw(st.sampled_from(sorted(self.sessions.keys() - {""})))
        self.run(self.books.delete(session_id))
        del self.sessions[session_id]

    @rule(hours=st.sampled_from([1, 5, 24]))
    def wait(self, hours: int) -> None:
        self.clock.now_us += hours * HOUR_US

    @invariant()
    def windows_are_what_the_events_say(self) -> None:
        found: dict[WindowKey, tuple[int, int]] = self.run(
            self.books.runner.read(
                lambda tx: {
                    row[1:4]: row[4:6]
                    for budget in limits.list_all(tx, DEFAULT_TENANT)
                    for row in limits.list_windows(tx, budget)
                }
            )
        )
        assert {key: used for key, used in found.items() if any(used)} == self.model.windows()

    @invariant()
    def no_budget_is_overdrawn_without_an_excuse(self) -> None:
        assert self.model.overdrawn() == []

    @invariant()
    def ledger_proves_itself(self) -> None:
        assert self.run(self.books.verify_ledger()).drifts == ()


@pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)
def test_any_sequence_of_events_adds_up(place: Place) -> None:
    machine = type("Machine", (BudgetMachine,), {"place": place})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=EXAMPLES[place.kind], stateful_step_count=STEPS),
    )
