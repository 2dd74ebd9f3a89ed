"""Identifiers: chosen by callers, and made here."""

from __future__ import annotations

import os
import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansard.core.errors import InvalidInput
from hansard.core.ids import check_id, check_strict_id, make_ulid, make_ulids

ALWAYS_REFUSED = [
    "",
    "a b",
    "a/b",
    "a\n",
    "\n",
    "a\0",
    "é",
    "x" * 129,
    "a%",
    "../..",
    None,
    5,
    b"a",
]


@pytest.mark.parametrize("value", ALWAYS_REFUSED)
def test_bad_id_is_refused_by_noun(value: Any) -> None:
    for check in (check_id, check_strict_id):
        with pytest.raises(InvalidInput) as caught:
            check(value, "turn_id")
        assert (caught.value.code, caught.value.details) == ("invalid_id", {"field": "turn_id"})


@pytest.mark.parametrize("value", ["a", "-", "A_z-9", "x" * 128])
def test_good_id_is_returned(value: str) -> None:
    assert check_id(value, "id") == check_strict_id(value, "id") == value


@pytest.mark.parametrize("value", ["event:hook", "v1.2", ":"])
def test_colon_and_dot_are_for_the_wider_rule_only(value: str) -> None:
    assert check_id(value, "id") == value
    with pytest.raises(InvalidInput):
        check_strict_id(value, "id")


@given(st.integers(0, 2**48 * 1000 - 1), st.binary(min_size=16, max_size=16))
def test_ulid_holds_its_time_and_entropy(now_us: int, entropy: bytes) -> None:
    ulid = make_ulid(now_us, lambda _: entropy)
    assert re.fullmatch("[0-7][0-9A-HJKMNP-TV-Z]{25}", ulid)
    value = 0
    for character in ulid:
        value = value * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(character)
    assert value >> 80 == now_us // 1000
    low_bits = [byte % 32 for byte in entropy]
    assert [value >> shift & 31 for shift in range(75, -1, -5)] == low_bits


@given(st.lists(st.integers(0, 2**45), min_size=2, max_size=2))
def test_ulids_sort_by_time(times_ms: list[int]) -> None:
    ulids = [make_ulid(time_ms * 1000) for time_ms in times_ms]
    if times_ms[0] != times_ms[1]:
        assert (ulids[0] < ulids[1]) == (times_ms[0] < times_ms[1])
    else:
        assert ulids[0][:10] == ulids[1][:10]


def test_programs_that_seed_get_distinct_ids_and_their_own_numbers() -> None:
    random.seed(0)
    first = make_ulids(0, 2)
    drawn = random.random()
    random.seed(0)
    assert not {*first} & {*make_ulids(0, 2)}
    assert random.random() == drawn


def test_child_of_a_fork_makes_other_ids() -> None:
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.write(theirs, make_ulids(0, 1)[0].encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(ours, 26).decode() not in make_ulids(0, 1)
    os.close(ours)
    os.close(theirs)
