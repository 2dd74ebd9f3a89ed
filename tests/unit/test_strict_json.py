"""JSON at the edge: what is refused, and the two forms in which the rest is written."""

from __future__ import annotations

import enum
import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given

from hansard.core.errors import InvalidInput
from hansard.core.strict_json import DEPTH_MAX, canonicalize, check_text, dumps, loads
from tests import json_values

REFUSED_TEXTS = {
    "empty": "",
    "truncated": '{"a": [1, 2',
    "two values": "{} {}",
    "nan": "[NaN]",
    "infinity": "[Infinity]",
    "negative infinity": '{"a": -Infinity}',
    "float out of range": "[1e400]",
    "integer of too many digits": "1" * 5_000,
    "key twice": '{"a": 1, "a": 1}',
    "key twice, deep": '[{"b": {"a": 1, "\\u0061": 2}}]',
    "lone surrogate": '["\\ud83d"]',
    "lone low surrogate in a key": '{"\\udc00": 1}',
    "NUL": '["a\\u0000b"]',
    "NUL in a key": '{"\\u0000": 1}',
    "NUL after an escaped backslash": '["\\\\\\u0000"]',
    "too deep": "[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1),
    "far too deep": "[" * 200_000,
    "too deep, in objects": '{"a":' * (DEPTH_MAX + 1) + "1" + "}" * (DEPTH_MAX + 1),
    "comment": "[1] // one",
    "single quotes": "{'a': 1}",
}


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def circular() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


REFUSED_VALUES = {
    "nan": [float("nan")],
    "infinity": {"a": float("inf")},
    "lone surrogate": ["\ud83d"],
    "lone surrogate in a key": {"\udc00": 1},
    "bytes": {"a": b"b"},
    "set": [{1}],
    "object": [object()],
    "too many digits": [10**5_000],
    "circular": circular(),
    "far too deep": nested(100_000),
}


@pytest.mark.parametrize("text", REFUSED_TEXTS.values(), ids=REFUSED_TEXTS.keys())
def test_unacceptable_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        loads(text)
    assert caught.value.code == "invalid_json"
    with pytest.raises(InvalidInput):
        loads(text.encode())


@pytest.mark.parametrize("data", [b'"\xff"', b"\xff\xfe{\x00}\x00", b'"\xed\xa0\xbd"'])
def test_other_encodings_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="UTF-8"):
        loads(data)


@pytest.mark.parametrize("value", REFUSED_VALUES.values(), ids=REFUSED_VALUES.keys())
def test_unacceptable_value_is_refused_in_both_forms(value: Any) -> None:
    for write in (dumps, canonicalize):
        with pytest.raises(InvalidInput) as caught:
            write(value)
        assert caught.value.code == "invalid_json"


@pytest.mark.parametrize("value", [["a\0b"], {"\0": 1}, nested(DEPTH_MAX + 1)])
def test_storage_refuses_what_it_could_not_read_back(value: Any) -> None:
    with pytest.raises(InvalidInput):
        dumps(value)


@pytest.mark.parametrize("text", ['"\\\\u0000"', '"\\ud83d\\ude00"', '"\\uffff"', '"\x7f"'])
def test_lookalikes_are_accepted(text: str) -> None:
    assert loads(dumps(loads(text))) == json.loads(text)


def test_deepest_value_is_accepted() -> None:
    assert loads(dumps(nested(DEPTH_MAX))) == nested(DEPTH_MAX)
    assert loads(dumps([nested(3)] * DEPTH_MAX)) == [nested(3)] * DEPTH_MAX


@given(json_values.anything)
def test_stored_form_reads_back_equal(value: Any) -> None:
    text = dumps(value)
    assert loads(text) == value
    assert dumps(loads(text)) == text  # order of keys, 1 apart from 1.0, -0.0 apart from 0.0
    assert loads(json.dumps(value)) == value


@given(json_values.interoperable)
def test_canonical_form_is_rfc_8785(value: Any) -> None:
    assert canonicalize(value) == rfc8785.dumps(value)


@given(json_values.anything)
def test_canonical_form_survives_storage(value: Any) -> None:
    assert canonicalize(loads(dumps(value))) == canonicalize(value)


@given(json_values.objects)
def test_order_of_keys_does_not_change_the_canonical_form(value: dict[str, Any]) -> None:
    assert canonicalize(dict(reversed(value.items()))) == canonicalize(value)


def test_long_integers_keep_every_digit() -> None:
    first, second = 2**53 + 1, 2**53 + 2
    assert canonicalize([first]) == b"[9007199254740993]"
    assert canonicalize([first]) != canonicalize([second])
    assert loads(dumps([-(10**300)])) == [-(10**300)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"\U0001f600": 1, "\ufb33": 2}, '{"\U0001f600":1,"\ufb33":2}'),  # UTF-16 order
        ([1e21, 1e-7, 4.5, 100.0, -0.0], "[1e+21,1e-7,4.5,100,0]"),
        ({"b": [], "a": {}}, '{"a":{},"b":[]}'),
        ((1, 2.5), "[1,2.5]"),
    ],
)
def test_canonical_form_by_example(value: Any, expected: str) -> None:
    assert canonicalize(value) == expected.encode()


def test_keys_that_are_no_strings_are_written_alike_in_both_forms() -> None:
    class Level(enum.IntEnum):
        HIGH = 3

    assert dumps({1: 1.5, 2: Level.HIGH}) == '{"1":1.5,"2":3}'
    assert canonicalize({1: 1.5, 2: Level.HIGH}) == b'{"1":1.5,"2":3}'


@pytest.mark.parametrize("text", ["a\0", "\ud800", "x" * 11, 5, None])
def test_unacceptable_text_field_is_refused_by_name(text: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_text(text, "title", length_max=10)
    assert caught.value.details.get("field", "title") == "title"


@given(json_values.texts)
def test_acceptable_text_field_is_returned(text: str) -> None:
    assert check_text(text, "title", length_max=12) == text
