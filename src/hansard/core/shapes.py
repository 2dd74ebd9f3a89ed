"""Shapes of JSON: Structs that msgspec reads values into."""

from __future__ import annotations

from typing import Annotated, TypeVar

from msgspec import Meta, Struct
from msgspec.json import Decoder

S = TypeVar("S", bound=type[Struct])

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""A time as it goes out and comes in: RFC 3339."""


def described(shape: S) -> S:
    """Let msgspec describe a shape, and all that it holds, at import.

    It does so when a shape is first read into, and two threads that are first at once get in
    each other's way: one reads by a description that the other has half made.
    """
    Decoder(shape)
    return shape
