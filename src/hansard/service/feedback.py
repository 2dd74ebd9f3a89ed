"""Feedback: given, found, counted, changed."""

from __future__ import annotations

from collections.abc import Sequence

from hansard.core.errors import InvalidInput
from hansard.core.feedback import (
    COUNTS_MAX,
    Feedback,
    FeedbackCount,
    FeedbackQuery,
    StatsQuery,
    check_changes,
    make_feedback,
)
from hansard.core.ids import check_id
from hansard.core.paging import Page
from hansard.service.bound import Bound
from hansard.store import feedback


class FeedbackService(Bound):
    """The feedback of a database, as far as its actor reaches."""

    async def add(
        self,
        *,
        rating: int,
        trace_id: str | None = None,
        session_id: str | None = None,
        comment: str | None = None,
        correction: str | None = None,
        model_id: str | None = None,
        latency_ms: float | None = None,
        turn_index: int | None = None,
        agent_type: str | None = None,
    ) -> Feedback:
        """Keep feedback, which is then the actor's own.

        Raises:
            InvalidInput: If any part cannot be recorded.
        """
        new = make_feedback(
            owner=self.actor.owner,
            rating=rating,
            trace_id=trace_id,
            session_id=session_id,
            comment=comment,
            correction=correction,
            model_id=model_id,
            latency_ms=latency_ms,
            turn_index=turn_index,
            agent_type=agent_type,
            at_us=self.clock(),
        )
        await self.runner.write(lambda tx: feedback.insert(tx, self.actor, new))
        return new

    async def get(self, feedback_id: str) -> Feedback:
        """Return one piece of feedback.

        Raises:
            NotFound: If it does not exist or is not within reach.
        """
        check_id(feedback_id, "feedback_id")
        return await self.runner.read(lambda tx: feedback.get(tx, self.actor, feedback_id))

    async def update(
        self,
        feedback_id: str,
        *,
        rating: int | None = None,
        comment: str | None = None,
        correction: str | None = None,
    ) -> Feedback:
        """Change what is given, and return the whole; None leaves a field as it is.

        Raises:
            NotFound: If it does not exist or is not within reach.
        """
        check_id(feedback_id, "feedback_id")
        changes = check_changes(rating=rating, comment=comment, correction=correction)
        return await self.runner.write(
            lambda tx: feedback.update(tx, self.actor, feedback_id, changes)
        )

    async def list(self, query: FeedbackQuery) -> Page[Feedback]:
        """Return a page of feedback, newest first."""
        cursors = self.cursors("feedback")
        position = cursors.read(query.cursor)
        found = await self.runner.read(
            lambda tx: feedback.list_page(tx, self.actor, query, position)
        )
        return cursors.page(found, query.limit, lambda last: [last.created_at_us, last.feedback_id])

    async def count(self, query: StatsQuery) -> Sequence[FeedbackCount]:
        """Count thumbs by window and type of agent, oldest first; empty windows are left out.

        Raises:
            InvalidInput: ``too_many_windows``, if there are more than ``COUNTS_MAX``.
        """
        found = await self.runner.read_alone(lambda tx: feedback.count(tx, self.actor, query))
        if len(found) > COUNTS_MAX:
            raise InvalidInput(
                f"there are more than {COUNTS_MAX} counts; narrow the range or widen the window",
                code="too_many_windows",
            )
        return found
