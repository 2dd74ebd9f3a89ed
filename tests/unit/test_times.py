"""Times: microseconds inside, RFC 3339 outside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansard.core.errors import InvalidInput
from hansard.core.times import check_us, format_us, parse_us

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_US = (datetime.min.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
LATEST_US = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


@given(st.integers(EARLIEST_US, LATEST_US))
def test_written_time_reads_back(time_us: int) -> None:
    text = format_us(time_us)
    assert len(text) == len("2023-11-14T22:13:20.000001Z")
    assert parse_us(text) == time_us


@given(st.datetimes(timezones=st.just(UTC)), st.integers(-23, 23), st.integers(0, 59))
def test_written_order_is_the_order_of_time(moment: datetime, hours: int, minutes: int) -> None:
    later = moment + min(
        timedelta(hours=abs(hours), minutes=minutes), datetime.max.replace(tzinfo=UTC) - moment
    )
    first, second = (format_us((at - EPOCH) // timedelta(microseconds=1)) for at in (moment, later))
    assert (first < second) == (moment < later)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:01z", 1_000_000),
        ("1970-01-01 01:00:00+01:00", 0),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("1970-01-01T00:00:00.1Z", 100_000),
        ("1970-01-01T00:00:00.123456789Z", 123_456),
        ("1970-01-01T00:00:00.000000999-00:00", 0),
    ],
)
def test_every_form_of_rfc_3339_is_read(text: str, expected: int) -> None:
    assert parse_us(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2023-11-14",
        "2023-11-14T22:13:20",  # no zone
        "2023-11-14T22:13Z",
        "20231114T221320Z",
        "2023-02-30T00:00:00Z",
        "2023-11-14T25:00:00Z",
        "2023-11-14T22:13:20.Z",
        "2023-11-14T22:13:20.1234567890Z",
        "2023-11-14T22:13:20+0100",
        "2023-11-14T22:13:20+25:00",
        "\uff12\uff10\uff12\uff13-11-14T22:13:20Z",
        "2023-11-14T22:13:20Z\n",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",  # before the first year, hence not writable
        "9999-12-31T23:59:59-01:00",
        1_700_000_000,
        None,
    ],
)
def test_anything_else_is_refused_by_field(text: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_us(text, "created_after")
    assert (caught.value.code, caught.value.details["field"]) == ("invalid_time", "created_after")


@pytest.mark.parametrize("time_us", [EARLIEST_US, -1, 0, LATEST_US])
def test_time_that_can_be_written_is_returned(time_us: int) -> None:
    assert check_us(time_us, "created_after") == time_us
    assert parse_us(format_us(time_us)) == time_us


@pytest.mark.parametrize("time_us", [EARLIEST_US - 1, LATEST_US + 1, 10**30, 1.0, "0", True, None])
def test_time_that_cannot_be_written_is_refused(time_us: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_us(time_us, "created_after")
    assert (caught.value.code, caught.value.details["field"]) == ("invalid_time", "created_after")
