"""The error tree: every class has one code, and errors travel between processes."""

from __future__ import annotations

import pickle

import pytest

from hansard.core import errors
from hansard.core.errors import Conflict, HansardError

KINDS: list[type[HansardError]] = HansardError.__subclasses__()
ALL: list[type[HansardError]] = [HansardError, *KINDS]


def test_tree_is_split_by_who_must_act() -> None:
    assert {kind.__name__ for kind in KINDS} == {
        "InvalidInput",
        "Unauthorized",
        "NotFound",
        "Conflict",
        "LimitReached",
        "UpstreamFailed",
        "Unavailable",
        "Corrupt",
    }
    assert len({kind.default_code for kind in ALL}) == len(ALL)


@pytest.mark.parametrize("kind", KINDS)
def test_every_class_is_described_in_the_picture(kind: type[HansardError]) -> None:
    assert kind.__name__ in str(errors.__doc__)


def test_error_survives_pickling() -> None:
    error = Conflict("seq is taken", code="seq_conflict", next_seq=7)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is Conflict
    assert (copy.message, copy.code, copy.details) == (str(error), "seq_conflict", {"next_seq": 7})
