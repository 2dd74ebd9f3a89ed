"""JSON as it may enter the record, and its two written forms.

``loads`` refuses what one backend or reader could not hold: NaN and infinities, duplicate
keys, lone surrogates, NUL, nesting deeper than ``DEPTH_MAX``. ``dumps`` keeps the order of
keys and is what is stored; ``canonicalize`` is RFC 8785 and is what is hashed.

One extension of RFC 8785: an integer beyond 2**53 is written with all its digits, since
rounding it would give two different records one digest.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import rfc8785

from hansard.core.errors import InvalidInput

DEPTH_MAX = 64

_STORED = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_SORTED = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), allow_nan=False, sort_keys=True
)
_STRING = json.JSONEncoder(ensure_ascii=False).encode
# Ten times as fast and the same bytes, but for floats (NaN would be null) and odd types.
_FAST = msgspec.json.Encoder()
_FAST_SORTED = msgspec.json.Encoder(order="sorted")
_PLAIN = frozenset({str, bool, int, type(None)})
_NUL = "\\u0000"


def loads(data: bytes | str, *, depth_max: int = DEPTH_MAX) -> Any:
    """Parse one JSON text; ``depth_max`` is larger where it wraps what the record holds.

    Raises:
        InvalidInput: With code ``invalid_json``, if it is not JSON or not acceptable.
    """
    try:
        text = data if isinstance(data, str) else data.decode()
        value = _DECODER.decode(text)
    except RecursionError as exc:
        raise _too_deep(depth_max) from exc
    except UnicodeDecodeError as exc:
        raise _refuse("not UTF-8") from exc
    except json.JSONDecodeError as exc:
        raise _refuse(f"{exc.msg} at character {exc.pos}") from exc
    except ValueError as exc:
        raise _refuse(str(exc)) from exc
    if text.count("[") + text.count("{") > depth_max:
        _check_depth(value, depth_max)
    if "\\u" in text:
        _check_text(_STRING(value))
    return value


def dumps(value: Any, *, depth_max: int = DEPTH_MAX) -> str:
    """Write compact JSON in the given order of keys, for storage.

    Raises:
        InvalidInput: If the value has something that ``loads`` would refuse.
    """
    try:
        text = _FAST.encode(value).decode() if _is_plain(value) else _STORED.encode(value)
    except RecursionError as exc:
        raise _too_deep(depth_max) from exc
    except UnicodeEncodeError as exc:
        raise _refuse("a lone surrogate") from exc
    except (ValueError, TypeError) as exc:
        raise _refuse(str(exc)) from exc
    if text.count("[") + text.count("{") > depth_max:
        _check_depth(value, depth_max)
    _check_text(text)
    return text


def canonicalize(value: Any) -> bytes:
    r"""Write the canonical form of RFC 8785, as UTF-8.

    Raises:
        InvalidInput: If the value is not acceptable JSON.

    >>> canonicalize({"b": 1.0, "a": "é"})
    b'{"a":"\xc3\xa9","b":1}'
    """
    try:
        if _is_plain(value):
            return _FAST_SORTED.encode(value)
        return "".join(_write(json.loads(_SORTED.encode(value)))).encode()
    except RecursionError as exc:
        raise _too_deep(DEPTH_MAX) from exc
    except UnicodeEncodeError as exc:
        raise _refuse("a lone surrogate") from exc
    except (ValueError, TypeError) as exc:
        raise _refuse(str(exc)) from exc


def snapshot(value: Any) -> Any:
    """Copy a JSON value in one piece, whatever other threads do to it meanwhile.

    Raises:
        InvalidInput: If the value is not acceptable JSON.
    """
    try:
        return loads(_STORED.encode(value))  # the encoder keeps the interpreter's lock
    except RecursionError as exc:
        raise _too_deep(DEPTH_MAX) from exc
    except (ValueError, TypeError) as exc:
        raise _refuse(str(exc)) from exc


def write(value: Any) -> tuple[str, bytes]:
    """Write both forms, for less than ``dumps`` and ``canonicalize`` cost.

    Raises:
        InvalidInput: If the value is not acceptable JSON.
    """
    if not _is_plain(value):
        return dumps(value), canonicalize(value)
    try:
        text = _FAST.encode(value).decode()
    except UnicodeEncodeError as exc:
        raise _refuse("a lone surrogate") from exc
    except ValueError as exc:  # a number of too many digits
        raise _refuse(str(exc)) from exc
    if _NUL in text:
        _check_text(text)
    return text, _FAST_SORTED.encode(value)


def check_text(value: str, field: str, *, length_max: int) -> str:
    """Return a text field if it can be stored: no NUL, no lone surrogate, not too long."""
    if not isinstance(value, str):
        raise InvalidInput(f"{field} must be a string", code="invalid_field", field=field)
    if len(value) > length_max:
        raise InvalidInput(
            f"{field} is longer than {length_max} characters", code="invalid_field", field=field
        )
    if not value.isascii() or "\0" in value:
        _check_text(_STRING(value))
    return exact(value)


def check_optional_text(value: str | None, field: str, *, length_max: int) -> str | None:
    """Return what ``check_text`` does, or None if there is no text."""
    return None if value is None else check_text(value, field, length_max=length_max)


def exact(text: str) -> str:
    """A text as itself: a member of a ``str`` enumeration, for one, is more than that."""
    return text if type(text) is str else str.__str__(text)


def _refuse(reason: str) -> InvalidInput:
    return InvalidInput(f"not acceptable JSON: {reason}", code="invalid_json", reason=reason)


def _too_deep(depth_max: int) -> InvalidInput:
    return _refuse(f"nested deeper than {depth_max}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number is out of range")
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_float
)


def _check_text(text: str) -> None:
    """Check JSON text for what a string may not hold."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise _refuse("a lone surrogate") from exc
    if _NUL in text and re.search(r"(?<!\\)(?:\\\\)*\\u0000", text):
        raise _refuse("a NUL character")


def _check_depth(value: Any, depth_max: int) -> None:
    level = [value]
    for _ in range(depth_max):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, (dict, list, tuple))
        ]
        if not level:
            return
    raise _too_deep(depth_max)


def _is_plain(value: Any, levels: int = DEPTH_MAX) -> bool:
    """Tell whether any sorted form is that of RFC 8785: no float, no key beyond ASCII.

    Nor is it deeper than the record holds.
    """
    kind = type(value)
    if kind in _PLAIN:
        return True
    if kind is dict and levels:
        for key, item in value.items():
            if type(key) is not str or not key.isascii():
                return False
            if type(item) is not str and not _is_plain(item, levels - 1):
                return False
        return True
    return kind is list and levels > 0 and all(_is_plain(item, levels - 1) for item in value)


def _write(value: Any) -> list[str]:
    match value:
        case float():
            return [rfc8785.dumps(value).decode()]
        case dict():
            pieces = ["{"]
            for key in sorted(value, key=lambda key: key.encode("utf-16-be")):
                pieces += [_STRING(key), ":", *_write(value[key]), ","]
            pieces[-1 if len(pieces) > 1 else len(pieces) :] = ["}"]
            return pieces
        case list():
            pieces = ["["]
            for item in value:
                pieces += [*_write(item), ","]
            pieces[-1 if len(pieces) > 1 else len(pieces) :] = ["]"]
            return pieces
        case _:
            return [_STORED.encode(value)]
