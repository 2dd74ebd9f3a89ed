"""Query parameters: text in, a typed struct out.

Each parameter is given at most once and written in one way (``10``, ``true``); names that
an endpoint does not know are ignored, as proxies and browsers add their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

from msgspec import Struct

from hansard.core.errors import InvalidInput

_PARAMETERS_MAX = 64  # bounds the work of one URL
_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


class QueryReader:
    """Reads the query string of one endpoint."""

    def __init__(self, shape: type[Struct]) -> None:
        self._shape = shape
        self._absent = shape()
        self._readers: Mapping[str, Callable[[str, str], Any]] = {
            name: _reader(hint) for name, hint in get_type_hints(shape).items()
        }

    def read(self, query_string: bytes) -> Any:
        """Read a query string.

        Raises:
            InvalidInput: With code ``invalid_query`` and the parameter's name.
        """
        if not query_string:
            return self._absent
        try:
            pairs = parse_qsl(
                query_string.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=_PARAMETERS_MAX,
            )
        except ValueError as exc:
            raise InvalidInput("the query cannot be read", code="invalid_query") from exc
        given: dict[str, Any] = {}
        for name, text in pairs:
            if name in given:
                raise _refuse(name, "is given twice")
            if name in self._readers:
                given[name] = self._readers[name](name, text)
        return self._shape(**given)


def _reader(hint: Any) -> Callable[[str, str], Any]:
    kinds = get_args(hint) if get_origin(hint) is not None else (hint,)
    return _read_bool if bool in kinds else _read_int if int in kinds else _read_text


def _read_text(_name: str, text: str) -> str:
    return text


def _read_int(name: str, text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise _refuse(name, "must be a whole number")
    return int(text)


def _read_bool(name: str, text: str) -> bool:
    if text not in _BOOLEANS:
        raise _refuse(name, "must be true or false")
    return _BOOLEANS[text]


def _refuse(name: str, reason: str) -> InvalidInput:
    return InvalidInput(f"{name} {reason}", code="invalid_query", field=name)
