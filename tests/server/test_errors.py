"""The one table of statuses."""

from __future__ import annotations

import json

import pytest

from hansard.core import errors
from hansard.core.errors import HansardError
from hansard.server.errors import STATUS_BY_CLASS, crash, failure, status_of


def test_every_class_of_errors_has_a_status() -> None:
    classes = {kind for kind in vars(errors).values() if isinstance(kind, type)}
    assert {kind for kind in classes if issubclass(kind, HansardError)} == STATUS_BY_CLASS.keys()


class Special(errors.Conflict):
    """A class that a floor below keeps to itself."""


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidInput("x"), 422),
        (errors.InvalidInput("x", code="index_out_of_range"), 400),
        (errors.InvalidInput("x", code="unsupported_media_type"), 415),
        (errors.InvalidInput("x", code="request_timeout"), 408),
        (errors.Unauthorized("x"), 401),
        (errors.Unauthorized("x", code="forbidden"), 403),
        (errors.NotFound("x"), 404),
        (errors.Conflict("x"), 409),
        (errors.Conflict("x", code="version_mismatch"), 412),
        (errors.LimitReached("x"), 429),
        (errors.LimitReached("x", code="body_too_large"), 413),
        (errors.UpstreamFailed("x"), 502),
        (errors.Unavailable("x"), 503),
        (errors.Corrupt("x"), 500),
        (HansardError("x"), 500),
        (Special("x"), 409),
    ],
    ids=repr,
)
def test_status_follows_class_and_code(error: HansardError, status: int) -> None:
    assert status_of(error) == status


def test_failure_has_one_shape() -> None:
    reply = failure(errors.Conflict("taken", code="session_exists", session_id="s"))
    assert json.loads(reply.body) == {
        "error": {"code": "session_exists", "message": "taken", "details": {"session_id": "s"}},
        "detail": "taken",
    }


def test_details_that_are_no_json_become_text() -> None:
    details = json.loads(failure(errors.NotFound("x", path=ValueError("y"))).body)["error"]
    assert details["details"] == {"path": "y"}


def test_crash_says_nothing_of_the_inside() -> None:
    assert json.loads(failure(crash()).body)["error"]["code"] == "internal"
