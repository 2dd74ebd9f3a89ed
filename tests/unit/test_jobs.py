"""Lanes: jobs wait for threads, and are answered even where none is left."""

from __future__ import annotations

import threading

import pytest

from hansard.core.errors import Unavailable
from hansard.store.jobs import BACKLOG_MAX, Done, Job, Lanes, Outcome


def job(done: Done = lambda _: None, *, key: str | None = None, size_bytes: int = 0) -> Job:
    return Job(None, None, done, 0.0, ("tenant", key) if key else None, size_bytes)


def test_jobs_are_taken_in_order_and_so_many_together() -> None:
    lanes = Lanes(most=2, most_bytes=10)
    jobs = [job(size_bytes=size) for size in (1, 1, 20, 1)]
    for one in jobs:
        lanes.put(one)
    assert [lanes.take() for _ in range(3)] == [jobs[:2], jobs[2:3], jobs[3:]]


def test_jobs_of_a_session_wait_for_the_one_under_way() -> None:
    lanes = Lanes()
    first, second, other = job(key="s"), job(key="s"), job(key="t")
    lanes.put(first)
    assert lanes.take() == [first]
    lanes.put(second)
    lanes.put(other)
    assert lanes.take() == [other]
    lanes.finish([first])
    assert lanes.take() == [second]


def test_sleeper_is_woken_for_what_was_put() -> None:
    """Whether it slept already or not: then it finds the jobs by itself."""
    lanes, taken = Lanes(most=8), list[list[Job]]()
    thread = threading.Thread(target=lambda: taken.append(lanes.take()))
    thread.start()
    jobs = [job(), job()]
    for one in jobs:
        lanes.put(one)
    lanes.wake()
    thread.join()
    assert taken[0] == jobs[: max(1, len(taken[0]))]


def test_closed_lanes_are_emptied_and_take_no_more() -> None:
    lanes, told = Lanes(), list[Outcome]()
    waiting = job()
    lanes.put(waiting)
    lanes.close()
    assert [lanes.take(), lanes.take()] == [[waiting], []]
    with pytest.raises(Unavailable) as caught:
        lanes.put(job())
    assert caught.value.code == "closed"
    lanes.pass_on(job(told.append))
    assert [getattr(outcome.error, "code", None) for outcome in told] == ["closed"]


def test_full_lanes_refuse_jobs_but_not_those_passed_on() -> None:
    lanes = Lanes(most=BACKLOG_MAX + 1)
    for _ in range(BACKLOG_MAX):
        lanes.put(job())
    with pytest.raises(Unavailable) as caught:
        lanes.put(job())
    assert caught.value.code == "overloaded"
    lanes.pass_on(job())
    assert len(lanes.take()) == BACKLOG_MAX + 1
