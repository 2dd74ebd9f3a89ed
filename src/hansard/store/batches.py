"""Batches: appends, admissions and steps of threads that share one transaction.

    lock the sessions, then threads -> look up turns and usage by id -> lock holds, then windows
    of budgets -> decide in memory -> write each table once

Each item of a batch gets its own outcome; one that is refused leaves no trace, and the others
go on. Sessions that another transaction has locked are passed over, unless it is told to
wait, so nobody waits for another session's lock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from hansard.core.budgets import Admission, Subjects
from hansard.core.digest import GENESIS
from hansard.core.errors import HansardError
from hansard.core.turns import TurnReceipt
from hansard.core.usage import NO_USAGE
from hansard.store import budgets, recording, sessions, thread_logs, usage
from hansard.store.budgets import Accounts, AdmissionJob
from hansard.store.database import Row, Tx
from hansard.store.jobs import DEFERRED, Gathered, Outcome
from hansard.store.recording import Found, Recording
from hansard.store.sessions import Head
from hansard.store.thread_logs import Logs, StepJob
from hansard.store.turns import Append

Item = Append | AdmissionJob | StepJob


def batch(tx: Tx, items: Sequence[Item], *, sure: bool, wait: bool) -> Gathered:
    """Run appends, admissions and steps.

    Args:
        tx: The transaction of all.
        items: What to add.
        sure: Look all ids up; otherwise those made of the id of a new turn are taken as new.
        wait: Wait for locks; otherwise what is about sessions or threads that are absent or locked
            elsewhere is deferred. On SQLite there is nothing to wait for.
    """
    return _Batch(tx, items, sure=sure, wait=wait or tx.dialect == "sqlite").run()


class _Batch:
    """One batch: what was found, and what is to be written."""

    def __init__(self, tx: Tx, items: Sequence[Item], *, sure: bool, wait: bool) -> None:
        self.tx = tx
        self.items = items
        self.wait = wait
        appends = [item for item in items if isinstance(item, Append)]
        admissions = [item for item in items if isinstance(item, AdmissionJob)]
        costing: list[Item] = [*appends, *admissions]
        if wait:
            for append in appends:
                if append.create is not None and not append.turn.expected_seq:
                    sessions.insert(tx, append.actor, append.create)
        found = tx.look_up(
            (sessions.lock_query(wait=wait), sorted({append.key for append in appends})),
            (thread_logs.lock_query(wait=wait), _thread_keys(items)),
            ("turn_find", recording.turn_keys(appends)),
            ("usage_find", recording.usage_keys(appends, sure=sure)),
            ("cost_data_find", [append.key for append in appends if append.tells_cost_data]),
            ("hold_find", _hold_keys(appends, admissions)),
            ("budget_share", [()] if costing else []),
            ("budget_find", _tenants(costing)),
            ("hold_owner_of_session", _session_keys(admissions)),
        )
        heads, logs, known_turns, known_usage, cost_data, holds, _, limits, owners = found
        self.heads = sessions.heads_of(heads)
        self.logs = Logs(logs)
        self.owners = {(row[0], row[1]): (row[2], row[3]) for row in owners}
        known = Found(
            recording.turns_of(known_turns),
            usage.entries_of(known_usage),
            {(row[0], row[1]): row[2] for row in cost_data},
        )
        self.accounts = Accounts(tx, budgets.budgets_of(limits), budgets.holds_of(holds))
        self.recording = Recording(known, self.accounts, lane=tx.lane)

    def run(self) -> Gathered:
        self._lock_windows()
        outcomes = [self._outcome(item) for item in self.items]
        self.tx.many(self.accounts.new_holds())  # one of them may have ended since
        self.tx.many(*self.recording.writes(), *self.logs.writes(), *self.accounts.writes())
        self.tx.many(self.logs.contexts())
        return Gathered(outcomes, self._tally(outcomes), self.recording.used)

    def _tally(self, outcomes: Sequence[Outcome]) -> Counter[str]:
        """What to count: admissions by what became of them, and overruns."""
        tally = Counter({"hold_overruns": self.accounts.overruns})
        for item, outcome in zip(self.items, outcomes, strict=True):
            if isinstance(item, AdmissionJob):
                tally[_result_of(item, outcome)] += 1
        return tally

    def _lock_windows(self) -> None:
        for item in self.items:
            for account, at_us in self._places(item):
                self.accounts.expect(item.actor.tenant_id, account, at_us)
        self.accounts.lock()

    def _places(self, item: Item) -> Iterable[tuple[Subjects, int]]:
        """On whose accounts an item goes, and when it counts there."""
        if isinstance(item, AdmissionJob):
            return [(self._subjects(item), item.at_us)]
        if isinstance(item, StepJob):
            return ()
        head = self._head(item)
        return recording.places_of(item, head, self.accounts) if head is not None else ()

    def _subjects(self, job: AdmissionJob) -> Subjects:
        owner, agent = self._account(job)
        return Subjects(owner or "", agent or "", job.hold.session_id or "", job.actor.key_id or "")

    def _account(self, job: AdmissionJob) -> tuple[str | None, str | None]:
        """Owner and agent: of the session, or as they will be if it is yet to be made.

        The agent that makes the call is told with it, whatever the session says.
        """
        key = (job.actor.tenant_id, job.hold.session_id or "")
        owner, agent = self.owners.get(key, (job.actor.owner, None))
        return owner, job.hold.agent or agent

    def _head(self, append: Append) -> Head | None:
        return self.heads.get(append.key) if append.has_session else _no_session(append)

    def _outcome(self, item: Item) -> Outcome:
        try:
            if isinstance(item, AdmissionJob):
                return Outcome(self._admit(item))
            if not self.wait and self._is_locked_elsewhere(item):
                return DEFERRED
            if isinstance(item, StepJob):
                return Outcome(self.logs.add(item.key, item.step))
            return Outcome(self._record(item, self._head(item)))
        except HansardError as error:
            return Outcome(error=error)

    def _is_locked_elsewhere(self, item: Append | StepJob) -> bool:
        """Tell whether a session or a thread is not there, which may be for that reason."""
        if isinstance(item, Append) and self._head(item) is None:
            return True
        return item.step is not None and item.key not in self.logs

    def _admit(self, job: AdmissionJob) -> Admission:
        owner, _ = self._account(job)
        if not job.actor.may_see(owner):
            raise sessions.not_found(job.hold.session_id or "")
        return self.accounts.admit(job, self._subjects(job))

    def _record(self, append: Append, head: Head | None) -> TurnReceipt:
        if head is None or not append.actor.may_see(head.owner):
            raise sessions.not_found(append.key[1])
        if append.step is None:
            return self.recording.record(append, head)
        self.logs.check(append.key, append.step)
        receipt = self.recording.record(append, head)
        self.logs.add(append.key, append.step)
        return receipt


def _no_session(append: Append) -> Head:
    """The head for calls of no session, or of one that is gone; it is not kept."""
    return Head(*append.key, append.actor.owner, None, 0, 0, 0, NO_USAGE, GENESIS, 0)


def _result_of(job: AdmissionJob, outcome: Outcome) -> str:
    """The counter of an admission: by the code of its refusal, or whether it got all it wanted."""
    if isinstance(outcome.error, HansardError):
        return f"admissions.{outcome.error.code}"
    got_all = outcome.value.output_tokens == job.hold.output_tokens
    return "admissions.admitted" if got_all else "admissions.clamped"


def _thread_keys(items: Sequence[Item]) -> list[Row]:
    return sorted(
        {
            item.key
            for item in items
            if isinstance(item, StepJob) or (isinstance(item, Append) and item.step is not None)
        }
    )


def _tenants(items: Sequence[Item]) -> list[Row]:
    return [(tenant_id,) for tenant_id in sorted({item.actor.tenant_id for item in items})]


def _hold_keys(appends: Sequence[Append], admissions: Sequence[AdmissionJob]) -> list[Row]:
    """Holds that end, those that are taken, and those of calls that somebody may take for his."""
    named = {
        (append.key[0], call_id)
        for append in appends
        for call_id in (*append.holds, *append.turn.named_events)
    }
    return sorted(named | {(job.actor.tenant_id, job.hold.call_id) for job in admissions})


def _session_keys(admissions: Sequence[AdmissionJob]) -> list[Row]:
    named = [(job.actor.tenant_id, job.hold.session_id) for job in admissions]
    return sorted({key for key in named if key[1] is not None})
